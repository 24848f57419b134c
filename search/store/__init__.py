"""The store: the sole authority on sweeps, trials, attempts and epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.store.records import Accuracies
from search.store.records import AttemptRecord
from search.store.records import AttemptState
from search.store.records import EpochRecord
from search.store.records import EventRecord
from search.store.records import Lease
from search.store.records import Phase
from search.store.records import ProcessKind
from search.store.records import ProcessRecord
from search.store.records import Progress
from search.store.records import Role
from search.store.records import SweepRecord
from search.store.records import SweepState
from search.store.records import TokenRecord
from search.store.records import TrackingRecord
from search.store.records import TrialRecord
from search.store.records import TrialState
from search.store.records import utc_now
from search.store.states import Verb

if TYPE_CHECKING:
    from search.store.repository import Store

__all__ = [
    "Accuracies",
    "AttemptRecord",
    "AttemptState",
    "EpochRecord",
    "EventRecord",
    "Lease",
    "Phase",
    "ProcessKind",
    "ProcessRecord",
    "Progress",
    "Role",
    "Store",
    "SweepRecord",
    "SweepState",
    "TokenRecord",
    "TrackingRecord",
    "TrialRecord",
    "TrialState",
    "Verb",
    "utc_now",
]


def __getattr__(name: str) -> object:
    # Who asks a server needs the words of a store and not SQLAlchemy.
    if name == "Store":
        from search.store.repository import Store

        return Store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
