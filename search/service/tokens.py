"""The text of a token: made once, shown once, stored as its hash alone."""

from __future__ import annotations

import hashlib
import re
import secrets

from search.store import Role
from search.store import Store
from trainers.errors import FieldError
from trainers.errors import InvalidInput

_PREFIX = "emph_"
_BYTES = 32
_TOKEN = re.compile(rf"{_PREFIX}[A-Za-z0-9_-]{{43}}")


def new_token() -> str:
    """Return a new token: ``emph_`` and 43 characters that hold 256 random bits."""
    return _PREFIX + secrets.token_urlsafe(_BYTES)


def hash_token(text: str) -> str:
    """Return the SHA-256 of a token in hexadecimal, which is what the store keeps.

    A token is random through and through, so a fast hash without salt cannot be turned back.
    """
    return hashlib.sha256(text.encode()).hexdigest()


def looks_like_token(text: str) -> bool:
    """Whether the text has the form of a token; what has not need not be looked up."""
    return _TOKEN.fullmatch(text) is not None


# Sweeps and logs bear it, and what was asked without a token bears "local".
_NAME = re.compile(r"(?!local$)[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")


def issue_token(store: Store, name: str, role: Role) -> str:
    """Make a token and return its text, which is nowhere else.

    Args:
        store: Keeps its hash.
        name: Whose it is.
        role: What it allows.

    Raises:
        InvalidInput: The name cannot be used, or is or was another token's.
    """
    if not _NAME.fullmatch(name):
        problem = "is not a name of up to 64 letters, digits and . _ @ + - other than local"
        raise InvalidInput(FieldError("name", name, problem, "Give e.g. ada."))
    text = new_token()
    store.tokens.add(name, role, hash_token(text))
    return text
