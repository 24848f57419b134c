"""Request keys: what was asked for under one is submitted once, however often it is asked for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from sqlalchemy import func
from sqlalchemy import select
from sqlalchemy.orm import Session

from search.errors import RequestKeyUsed
from search.store.models import Sweep


def hash_of(request: Mapping[str, Any], priority: int) -> str:
    """By which two requests are told apart."""
    text = json.dumps([_sorted(request), priority], default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def lock(session: Session, submitter: str, request_key: str) -> None:
    """Keep others on PostgreSQL from submitting under the key until the end of the transaction."""
    digest = hashlib.sha256(f"{submitter}\n{request_key}".encode()).digest()
    number = int.from_bytes(digest[:8], "big", signed=True)
    session.execute(select(func.pg_advisory_xact_lock(number)))


def find(session: Session, submitter: str, request_key: str, request_hash: str) -> Sweep | None:
    """The sweep that was submitted under the key, if one was.

    Raises:
        RequestKeyUsed: Something else was submitted under it.
    """
    same_key = select(Sweep).where(Sweep.submitter == submitter, Sweep.request_key == request_key)
    found = session.scalars(same_key).one_or_none()
    if found is not None and found.request_hash != request_hash:
        raise RequestKeyUsed(request_key, found.id)
    return found


def _sorted(value: Any) -> Any:
    """The value with its mappings in one order; whether it is any use is found out later."""
    if isinstance(value, Mapping):
        return sorted(((str(key), _sorted(each)) for key, each in value.items()), key=lambda item: item[0])
    return [_sorted(each) for each in value] if isinstance(value, list | tuple) else value
