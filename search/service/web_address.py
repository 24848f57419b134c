"""What is an address on the web, as users write it."""

from __future__ import annotations

import httpx


def web_address(text: str) -> httpx.URL | None:
    """The address that a text is; None unless it begins with http:// or https:// and names a host."""
    try:
        found = httpx.URL(text)
    except httpx.InvalidURL:
        return None
    return found if found.scheme in ("http", "https") and found.host else None
