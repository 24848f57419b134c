"""How a running sweep stands, as displays show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from search.leaderboard import LeaderboardRow
from search.store import Progress
from search.store import SweepState


@dataclass(frozen=True, slots=True)
class SweepStatus:
    """A moment of a sweep.

    Attributes:
        sweep_id: The sweep.
        dataset: Its dataset.
        noise_rate: Its nominal noise rate.
        state: Where it stands.
        progress: Trials by state.
        planned: Trials that there will be.
        best: The best configuration so far.
        baseline_objective: Mean objective of the CCE trials that are done; None before the first.
        elapsed_seconds: Since this process took the sweep up.
        remaining_seconds: Estimated from the trials that are done; None before the first.
        message: What is being done.
    """

    sweep_id: str
    dataset: str
    noise_rate: float
    state: SweepState
    progress: Progress
    planned: int
    best: LeaderboardRow | None
    baseline_objective: float | None
    elapsed_seconds: float
    remaining_seconds: float | None
    message: str


OnStatus = Callable[[SweepStatus], None]
