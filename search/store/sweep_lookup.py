"""Which sweep people mean: they give its id whole, or the first characters of it."""

from __future__ import annotations

import difflib

from sqlalchemy import select
from sqlalchemy.orm import Session

from search.store.models import Sweep
from trainers.errors import FieldError
from trainers.errors import InvalidInput


def sweep_named(session: Session, wanted: str) -> Sweep:
    """The sweep of this id, or the only one whose id begins so.

    Raises:
        InvalidInput: No sweep or several sweeps match; the message names those that there are.
    """
    row = session.get(Sweep, wanted)
    if row is not None:
        return row
    newest_first = select(Sweep).order_by(Sweep.created_at.desc(), Sweep.id.desc())
    matching = session.scalars(newest_first.where(Sweep.id.startswith(wanted, autoescape=True)).limit(1000)).all()
    # SQLite's LIKE ignores case, PostgreSQL's does not; an id is exact on both.
    matching = [row for row in matching if wanted and row.id.startswith(wanted)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        ids = [row.id for row in matching]
        problem = f"{len(ids)} sweeps begin with it"
    else:
        ids = list(session.scalars(newest_first.with_only_columns(Sweep.id).limit(1000)))
        problem = "there is no such sweep"
        near = difflib.get_close_matches(wanted, ids, n=5, cutoff=0.5)
        ids = near or ids
    if ids:
        remedy = f"Use one of: {', '.join(ids[:5])}" + (", ..." if len(ids) > 5 else "") + "."
    else:
        remedy = "No sweep is recorded here yet: start one with `emphasis run`, or check --home."
    raise InvalidInput(FieldError("sweep", wanted, problem, remedy))
