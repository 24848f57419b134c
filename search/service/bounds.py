"""How much may be asked for at once, and what a submission may be called; the same here and over the wire."""

from __future__ import annotations

from trainers.errors import FieldError
from trainers.errors import InvalidInput

MOST_ITEMS = 500
"""Items of one page."""

MOST_PRIORITY = 1_000_000

LONGEST_KEY = 200


def check_limit(limit: int) -> None:
    """Refuse a page of nothing, or of too much.

    Raises:
        InvalidInput: The limit cannot be used.
    """
    if not 1 <= limit <= MOST_ITEMS:
        raise InvalidInput(
            FieldError("limit", limit, f"is not between 1 and {MOST_ITEMS}", "Read the rest page by page.")
        )


def check_priority(priority: int) -> None:
    """Refuse a priority that no column holds.

    Raises:
        InvalidInput: It cannot be used.
    """
    if not -MOST_PRIORITY <= priority <= MOST_PRIORITY:
        problem = f"is not between {-MOST_PRIORITY} and {MOST_PRIORITY}"
        raise InvalidInput(FieldError("priority", priority, problem, "Give a small whole number; 0 is usual."))


def check_request_key(key: str | None) -> None:
    """Refuse a request key that no header carries.

    Raises:
        InvalidInput: It cannot be used.
    """
    if key is not None and not (0 < len(key) <= LONGEST_KEY and key.isascii() and key.isprintable()):
        problem = f"is no text of 1 to {LONGEST_KEY} printable ASCII characters"
        raise InvalidInput(FieldError("request_key", key[:20], problem, "Give a random name, e.g. a UUID."))
