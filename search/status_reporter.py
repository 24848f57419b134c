"""From the trials of a running sweep to how it stands, for displays."""

from __future__ import annotations

import time
from collections.abc import Sequence
from statistics import fmean
from statistics import median

from search.leaderboard import LeaderboardRow
from search.leaderboard import best_so_far
from search.spec import SweepSpec
from search.standings import is_baseline
from search.status import OnStatus
from search.status import SweepStatus
from search.store import Phase
from search.store import Progress
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialRecord
from search.store import TrialState


class StatusReporter:
    """Shows how a sweep stands: what it does, the best so far, and how long it will take.

    Args:
        on_status: Called with each status.
    """

    def __init__(self, on_status: OnStatus | None) -> None:
        self._on_status = on_status or (lambda status: None)
        self._started = time.monotonic()
        self._message = ""
        self._best: LeaderboardRow | None = None
        self._best_is_known, self._best_due_at = True, 0.0
        self._began: dict[str, float] = {}
        self._durations: list[float] = []
        self._at_once = 1

    @property
    def message(self) -> str:
        """What is being done."""
        return self._message

    @message.setter
    def message(self, message: str) -> None:
        if message != self._message:
            self._best_due_at = 0.0
        self._message = message

    @property
    def best_is_due(self) -> bool:
        """Whether a trial has ended that the best does not count yet, and it may be looked for again."""
        return not self._best_is_known and time.monotonic() >= self._best_due_at

    def take_start(self, trial_id: str) -> None:
        """A trial runs."""
        # By this process's clock: a trial that an earlier one left behind may have begun days ago.
        self._began[trial_id] = time.monotonic()

    def take_end(self, trial: TrialRecord) -> None:
        """A trial has ended."""
        # What was stopped early says nothing of those that are trained to the end.
        if trial.id in self._began and trial.state is not TrialState.PRUNED:
            self._durations.append(time.monotonic() - self._began[trial.id])
        self._best_is_known = False

    def show(self, sweep: SweepRecord, spec: SweepSpec, trials: Sequence[TrialRecord], state: SweepState) -> None:
        """Show how the sweep stands now."""
        if self.best_is_due:
            started = time.monotonic()
            self._best, self._best_is_known = best_so_far(sweep, trials), True
            # It takes longer the more trials there are: two per cent of the time at most.
            self._best_due_at = started + 50 * (time.monotonic() - started)
        progress = Progress.of(trials)
        self._at_once = max(self._at_once, progress.running)
        planned = progress.total
        if state is not SweepState.DONE:
            # Fewer than are asked for may be left to confirm.
            planned = max(spec.number_of_trials().total, planned)
        left = planned - progress.finished
        # Trials of one sweep cost much the same, but the first of each process waits for its start.
        remaining = median(self._durations) * left / self._at_once if self._durations else None
        baselines = [
            trial.objective
            for trial in trials
            if trial.phase is Phase.BASELINE and is_baseline(trial) and trial.objective is not None
        ]
        self._on_status(
            SweepStatus(
                sweep_id=sweep.id,
                dataset=sweep.dataset,
                noise_rate=sweep.noise_rate,
                state=state,
                progress=progress,
                planned=planned,
                best=self._best,
                baseline_objective=fmean(baselines) if baselines else None,
                elapsed_seconds=time.monotonic() - self._started,
                remaining_seconds=remaining,
                message=self._message,
            )
        )
