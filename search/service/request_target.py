"""The path and query of a request as the caller wrote them."""

from __future__ import annotations

from urllib.parse import quote

from starlette.types import Scope


def request_target(scope: Scope) -> bytes:
    """Return path and query, still percent-encoded; every decoding and encoding anew may change what they mean."""
    target: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    query: bytes = scope["query_string"]
    return target + b"?" + query if query else target
