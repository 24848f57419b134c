"""The store: the sole authority on sweeps, trials, attempts and epochs."""

from search.store.records import Accuracies
from search.store.records import AttemptRecord
from search.store.records import AttemptState
from search.store.records import EpochRecord
from search.store.records import Phase
from search.store.records import Progress
from search.store.records import SweepRecord
from search.store.records import SweepState
from search.store.records import TrackingRecord
from search.store.records import TrialRecord
from search.store.records import TrialState
from search.store.records import utc_now
from search.store.repository import Store

__all__ = [
    "Accuracies",
    "AttemptRecord",
    "AttemptState",
    "EpochRecord",
    "Phase",
    "Progress",
    "Store",
    "SweepRecord",
    "SweepState",
    "TrackingRecord",
    "TrialRecord",
    "TrialState",
    "utc_now",
]
