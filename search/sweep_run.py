"""The trials of a sweep while they run, as Ray Tune drives them: the sweep is its `search.tuning.TrialSource`."""

from __future__ import annotations

import importlib
import math
import os
import threading
from collections import Counter
from collections.abc import Callable
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC
from datetime import datetime
from functools import partial
from typing import Any

from search.cluster import Cluster
from search.errors import LeaseLost
from search.errors import RayUnavailable
from search.errors import StoreUnavailable
from search.errors import SweepFailed
from search.home import Home
from search.interruption import Interruption
from search.objective import SearchObjective
from search.packing import Packing
from search.plan import Pause
from search.plan import SweepPlan
from search.spec import SweepSpec
from search.status import OnStatus
from search.status_reporter import StatusReporter
from search.store import Accuracies
from search.store import EpochRecord
from search.store import Phase
from search.store import Store
from search.store import SweepRecord
from search.store import SweepState
from search.store import TrialState
from search.submission import spec_of
from search.task import PreparedTask
from search.tracking import Recorder
from search.waiting import Waiting
from trainers.engines.checkpoint import checkpoint_path
from trainers.errors import EmphasisError

_FIGURES = "search.reports.figures"
# Nodes come and go, and that is no fault of a trial; unless it takes each down that it is put on.
_MOST_LOST_NODES = 10


class SweepRun:
    """The trials of a sweep while they run: each event goes to the store first, then to the plan, then to MLflow."""

    cluster: Cluster | None = None
    waiting: Waiting
    plan: SweepPlan
    prepared: PreparedTask
    packing = Packing(trials=1)

    def __init__(
        self,
        store: Store,
        sweep: SweepRecord,
        home: Home,
        recorder: Recorder,
        on_status: OnStatus | None,
        interruption: Interruption,
    ) -> None:
        self.store, self.sweep = store, sweep
        self._home, self._recorder = home, recorder
        self._reporter = StatusReporter(on_status)
        self.spec = spec_of(sweep)
        self._interruption = interruption
        self._error: Exception | None = None
        self._deaths: Counter[tuple[str, bool]] = Counter()
        self._figures_imported = False
        self._objective = SearchObjective.recorded(sweep.spec, sweep.noise_rate, sweep.facts)

    def take_spec(self, spec: SweepSpec, prepared: PreparedTask) -> None:
        """Take the spec and data that the sweep was found to have."""
        self.spec, self.prepared = spec, prepared
        self.sweep = self.store.sweep(self.sweep.id)
        self._objective = SearchObjective.recorded(self.sweep.spec, self.sweep.noise_rate, self.sweep.facts)

    def planned(self) -> SweepPlan:
        """The plan of what is missing."""
        task = self.prepared.task
        return SweepPlan(
            self.store,
            self.sweep.id,
            self.spec,
            task.dataset.num_classes,
            task.epochs,
            task.evaluate_every,
            self._objective_after,
        )

    def _objective_after(self, epoch: EpochRecord) -> float | None:
        accuracies = _accuracies(epoch)
        return self._objective.value(accuracies) if accuracies is not None else None

    @property
    def ended(self) -> bool:
        """Whether something has ended the sweep early."""
        return self._error is not None or self._interruption.reason is not None

    def interrupted_by(self, error: BaseException) -> str | None:
        """Why the sweep was interrupted, if an error means that and not that the sweep failed."""
        # While Ray starts, SIGTERM meets a handler of Ray's own, which exits.
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return self._interruption.reason or self._interruption.by_signal
        if isinstance(error, StoreUnavailable | LeaseLost | RayUnavailable):
            return str(error)  # what comes back finds the sweep as it was
        if isinstance(error, EmphasisError):
            return None
        # Ray's own errors say in many ways that it has died.
        return self._interruption.reason or (self.cluster.loss() if self.cluster is not None else None)

    def raise_if_failed(self) -> None:
        """Raise what ended the sweep early, if anything did."""
        self._interruption.raise_if_requested()
        if self._error is not None:
            raise self._error
        if not self.plan.is_complete():
            raise SweepFailed(self.sweep.id, "Ray ended before all trials were run")

    def hand_out(self) -> Mapping[str, Any] | None:
        """Order the next trial; None to wait for those that run, empty at the end."""
        order: Mapping[str, Any] | None = self._guarded(self._hand_out, {})
        return order

    def ready(self) -> int:
        """How many trials could be ordered now."""
        return int(self._guarded(self.plan.ready, 0))

    def put_back(self, trial_id: str) -> None:
        """Have a trial that found no place ordered again before any other."""
        self.plan.put_back(self.plan.trial(trial_id))

    def take_start(self, trial_id: str) -> None:
        """Record that a trial has found its place, and runs."""
        self._guarded(partial(self._start_attempt, trial_id), None)

    def take_report(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Record a report; whether the trial is to be stopped."""
        return bool(self._guarded(partial(self._take_report, trial_id, result), False))

    def take_death(self, trial_id: str, with_its_node: bool, alone: bool, said: str | None) -> None:
        """Have a trial whose process died run again, or record that it failed where it has died too often."""
        self._guarded(partial(self._take_death, trial_id, with_its_node, alone, said), None)

    def look(self) -> None:
        """Say what the sweep waits for, where none of its trials runs."""
        self._guarded(self._look, None)

    def tell(self, message: str, state: SweepState = SweepState.RUNNING) -> None:
        """Show how the sweep stands."""
        self._reporter.message = message
        self._show(state)

    def _guarded(self, action: Callable[[], Any], otherwise: Any) -> Any:
        # Ray Tune would wrap an error of ours, or go on; the first ends the sweep and is raised once Tune is over.
        if self.ended:
            return otherwise
        try:
            return action()
        except Exception as error:
            self._error = error
            return otherwise

    def _hand_out(self) -> Mapping[str, Any] | None:
        self._record_given_up()
        trial = self.plan.next()
        if trial is Pause.WAIT:
            self._import_figures()
            return None
        if isinstance(trial, Pause):
            return {}
        # The baseline is what it is, whatever the sweep fixes; so are a grid's cells of other supervisions.
        searched = trial.supervision == self.spec.supervision and trial.phase is not Phase.BASELINE
        fixed = self.spec.fixed if searched else {}
        return {
            "trial_id": trial.id,
            "supervision": trial.supervision,
            "hyperparameters": {**fixed, **trial.hyperparameters},
            "noise_rate": trial.noise_rate,
            "seed": trial.seed,
            "noise_seed": trial.noise_seed,
            "judged": self.plan.judged_epochs(trial),
            # Who it is that kills the process of a pack shows at the last try, which is nobody else's.
            "alone": self._deaths[trial.id, False] >= max(1, self.spec.max_retries),
        }

    def _import_figures(self) -> None:
        """Import what draws the figures, once, in another thread: it takes a while, and a core has nothing to do."""
        if not self._figures_imported:
            self._figures_imported = True
            threading.Thread(target=_import_quietly, args=(_FIGURES,)).start()

    def _start_attempt(self, trial_id: str) -> None:
        self.store.start_attempt(trial_id, os.uname().nodename, os.getpid())
        self._reporter.take_start(trial_id)
        trial = self.store.trial(trial_id)
        self.plan.update(trial)
        self._recorder.notify(self.sweep.id)
        self.tell("confirming" if trial.phase is Phase.CONFIRM else "searching")

    def _running(self) -> int:
        return sum(trial.state is TrialState.RUNNING for trial in self.plan.trials())

    def _look(self) -> None:
        reason = self.waiting.reason(running=self._running() > 0)
        if reason is not None and reason != self._reporter.message:
            self.tell(reason)
            self._recorder.notify(self.sweep.id)  # no trial may have told MLflow of it yet
        elif self._reporter.best_is_due:
            self._show()

    def _take_death(self, trial_id: str, with_its_node: bool, alone: bool, said: str | None) -> None:
        if self._went_with_ray() or self.plan.trial(trial_id).state.finished:
            return
        self._deaths[trial_id, with_its_node] += 1
        deaths = self._deaths[trial_id, with_its_node]
        what = "node was lost" if with_its_node else "process died"
        # Of several it was perhaps another that killed their process: each has a try of its own.
        shared = not (alone or with_its_node)
        if shared or deaths <= (_MOST_LOST_NODES if with_its_node else self.spec.max_retries):
            self.store.release_trial(trial_id, f"its {what}" + (f": {said}" if said else ""))
            self.plan.put_back(self.store.trial(trial_id))
        else:
            times = "once" if deaths == 1 else f"{deaths} times"
            why = "" if with_its_node else " (killed, or out of memory)"
            why = f": {said}" if said else why
            self._finish(trial_id, {"state": "failed", "reason": f"its {what} {times}{why}"})
        self._recorder.notify(self.sweep.id)

    def _went_with_ray(self) -> bool:
        """Whether a trial's process died because all of Ray did, which is not the trial's doing."""
        loss = self.cluster.loss() if self.cluster is not None else None
        if loss is not None:
            self._interruption.request(loss)
        return loss is not None

    def _take_report(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        trial = self.plan.trial(trial_id)
        if trial.state.finished:
            return trial.state is TrialState.PRUNED
        epochs = [_epoch_record(trial_id, epoch) for epoch in result["epochs"]]
        if epochs:
            self.store.record_epochs(trial_id, epochs)
        reason = self.plan.see_epochs(trial, epochs)
        ending = result["ending"]
        if ending is None and reason is not None:
            ending = {"state": "pruned", "reason": reason, **self._reached(trial_id)}
        if ending is not None:
            self._finish(trial_id, {**result.get("facts", {}), **ending})
        self._recorder.notify(self.sweep.id)
        return reason is not None

    def _reached(self, trial_id: str) -> dict[str, Any]:
        """What a trial that is stopped has come to, as an ending says it."""
        epochs = self.store.epochs(trial_id)
        evaluated = [found for epoch in epochs if (found := _accuracies(epoch)) is not None]
        best = max(evaluated, key=lambda each: each.test, default=None)
        return {
            "final": asdict(evaluated[-1]) if evaluated else None,
            "best": asdict(best) if best else None,
            "seconds": epochs[-1].seconds if epochs else None,
        }

    def _finish(self, trial_id: str, ending: Mapping[str, Any]) -> None:
        final, best = (Accuracies(**ending[name]) if ending.get(name) else None for name in ("final", "best"))
        state = TrialState(ending["state"])
        objective = self._objective.value(final) if final is not None and state is TrialState.DONE else None
        if state is TrialState.DONE and objective is None:
            state, ending = TrialState.FAILED, {**ending, "reason": f"it has no {self._objective.metric}"}
        reason = "\n".join(text for text in (ending.get("reason"), ending.get("detail")) if text) or None
        trial = self.store.finish_trial(
            trial_id,
            state,
            objective=objective,
            final=final,
            best=best,
            reason=reason,
            train_seconds=ending.get("seconds"),
            noise_hash=ending.get("noise_hash"),
            realised_noise_rate=ending.get("realised_noise_rate"),
            computed_by=ending.get("computed_by"),
        )
        checkpoint_path(self._home.checkpoints(self.sweep.id), trial_id).unlink(missing_ok=True)
        self._reporter.take_end(trial)
        self.plan.update(trial)
        self._record_given_up()
        self._show()

    def _record_given_up(self) -> None:
        for trial, reason in self.plan.given_up():
            self.plan.update(self.store.finish_trial(trial.id, TrialState.PRUNED, reason=reason))

    def _show(self, state: SweepState = SweepState.RUNNING) -> None:
        trials = list(self.plan.trials()) if hasattr(self, "plan") else self.store.trials(self.sweep.id)
        self._reporter.show(self.sweep, self.spec, trials, state)


def _import_quietly(module: str) -> None:
    with suppress(Exception):  # what is wrong with it is said where it is used
        importlib.import_module(module)


def _accuracies(epoch: EpochRecord) -> Accuracies | None:
    """What an epoch was evaluated to; None where it was not."""
    if epoch.test_accuracy is None:
        return None
    measured = (
        epoch.test_accuracy,
        epoch.corrupted_train_accuracy,
        epoch.intact_train_accuracy,
        epoch.validation_accuracy,
    )
    return Accuracies(epoch.epoch, *(math.nan if accuracy is None else accuracy for accuracy in measured))


def _epoch_record(trial_id: str, epoch: Mapping[str, Any]) -> EpochRecord:
    evaluation, running = epoch["evaluation"] or {}, epoch["running"] or {}
    return EpochRecord(
        trial_id=trial_id,
        epoch=epoch["epoch"],
        iteration=epoch["iteration"],
        train_loss=epoch["train_loss"],
        learning_rate=epoch["learning_rate"],
        test_accuracy=evaluation.get("test"),
        corrupted_train_accuracy=evaluation.get("corrupted_train"),
        intact_train_accuracy=evaluation.get("intact_train"),
        validation_accuracy=evaluation.get("validation"),
        running_corrupted_train_accuracy=running.get("corrupted_train"),
        running_intact_train_accuracy=running.get("intact_train"),
        seconds=epoch["seconds"],
        recorded_at=datetime.fromtimestamp(epoch["recorded_at"], UTC),
    )
