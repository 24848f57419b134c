"""The text of a token: made once, shown once, stored as its hash alone."""

from __future__ import annotations

import hashlib
import re
import secrets

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
