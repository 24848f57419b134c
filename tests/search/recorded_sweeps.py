"""Put sweeps into a store as a finished or running search leaves them."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy import update

from search.store import Accuracies
from search.store import EpochRecord
from search.store import Phase
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialRecord
from search.store import TrialState
from search.store import utc_now
from search.store.models import Sweep
from spaces import Configuration

EPOCHS = 4
Point = Configuration | tuple[float, float] | None


@dataclass
class RecordedSweep:
    """Adds trials to one sweep of a store; GR may be named by its (beta, lam), CCE by None."""

    store: Store
    id: str

    @property
    def record(self) -> SweepRecord:
        return self.store.sweep(self.id)

    @property
    def trials(self) -> list[TrialRecord]:
        return self.store.trials(self.id)

    def searched(self, point: Point, *objectives: float | None, **given: Any) -> None:
        self._add(Phase.SEARCH, point, objectives, **given)

    def confirmed(self, point: Point, *objectives: float | None, **given: Any) -> None:
        self._add(Phase.CONFIRM, point, objectives, **given)

    def baseline(self, *objectives: float | None, **given: Any) -> None:
        self._add(Phase.BASELINE, None, objectives, **given)

    def done(self) -> None:
        self.store.finish_sweep(self.id, SweepState.DONE)

    def fell_asleep(self) -> None:
        """Leave it as a person's laptop does that ran it and has been asleep for an hour."""
        self.store.claim_sweep(self.id, "laptop:1:1.0", is_alive=lambda owner, at: True)
        with self.store._writing() as session:
            past = utc_now() - timedelta(hours=1)
            session.execute(update(Sweep).where(Sweep.id == self.id).values(heartbeat_at=past))

    def _add(
        self,
        phase: Phase,
        point: Point,
        objectives: Sequence[float | None],
        state: TrialState = TrialState.DONE,
        tests: Sequence[float] | None = None,
        first_seed: int | None = None,
        first_repeat: int = 0,
        params: dict[str, float] | None = None,
    ) -> None:
        known = {
            (t.supervision, tuple(sorted(t.hyperparameters.items()))): t.configuration for t in self.trials
        }
        if not isinstance(point, Configuration):
            point = Configuration.of("gr", beta=point[0], lam=point[1]) if point else Configuration("cce")
        supervision, hyperparameters = point.supervision, point.as_dict()
        key = (supervision, tuple(sorted(hyperparameters.items())))
        configuration = known.get(key, len(known))
        seed = first_seed if first_seed is not None else (0 if phase is Phase.SEARCH else 100)
        for repeat, objective in enumerate(objectives, start=first_repeat):
            trial = self.store.add_trial(
                self.id,
                phase=phase,
                configuration=configuration,
                repeat=repeat,
                supervision=supervision,
                hyperparameters=hyperparameters,
                params=params or {},
                noise_rate=self.record.noise_rate,
                seed=seed + repeat,
                noise_seed=1000 + seed + repeat,
            )
            if state is TrialState.WAITING:
                continue
            self.store.start_attempt(trial.id, "here", 1)
            if objective is not None:
                self._finish(trial.id, objective, state, tests[repeat - first_repeat] if tests else objective - 0.02)
            elif state.finished:
                self.store.finish_trial(trial.id, TrialState.FAILED, reason="the loss is not finite")

    def _finish(self, trial_id: str, objective: float, state: TrialState, test: float) -> None:
        reached = Accuracies(epoch=EPOCHS, test=test, corrupted_train=0.5 * objective, intact_train=objective)
        curve = [
            EpochRecord(
                trial_id=trial_id,
                epoch=epoch,
                iteration=12 * epoch,
                train_loss=1 / epoch,
                learning_rate=0.1,
                # As a sweep that evaluates every second epoch reports it.
                test_accuracy=test * epoch / EPOCHS if epoch % 2 == 0 else None,
                corrupted_train_accuracy=0.5 * objective * epoch / EPOCHS if epoch % 2 == 0 else None,
                intact_train_accuracy=objective * epoch / EPOCHS if epoch % 2 == 0 else None,
                seconds=0.1 * epoch,
            )
            for epoch in range(1, EPOCHS + 1)
        ]
        self.store.record_epochs(trial_id, curve)
        self.store.finish_trial(
            trial_id,
            state,
            objective=objective,
            final=reached,
            best=reached,
            reason="stopped early" if state is TrialState.PRUNED else None,
            noise_hash=f"hash of {trial_id}",
            realised_noise_rate=0.39,
            train_seconds=0.4,
            computed_by={"host": f"host of {trial_id}", "engine": "solo", "device": "cpu", "precision": "fp32"},
        )


RecordSweep = Callable[..., RecordedSweep]
