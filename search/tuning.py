"""Ray Tune as the scheduler: it asks a sweep for trials, runs them in actors, hands back their reports."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from typing import Protocol

# Read by Ray when it is imported: our record is our own, and Ctrl-C is handled by the orchestrator.
os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
os.environ.setdefault("TUNE_DISABLE_SIGINT_HANDLER", "1")
os.environ.setdefault("TUNE_PRINT_ALL_TRIAL_ERRORS", "0")
# Tune's older output is silent where it is asked to be.
os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")
# A death is a death: what is started again after it, and how often, the source decides.
os.environ.setdefault("RAY_TRAIN_COUNT_PREEMPTION_AS_FAILURE", "1")
# Nothing is ever restored from Tune's snapshots; the store is the authority.
os.environ.setdefault("TUNE_GLOBAL_CHECKPOINT_S", "86400")

from search.collections_spared import no_collections

# This is what a trial's process imports first.
with no_collections():
    from ray import tune
    from ray.tune.schedulers import FIFOScheduler
    from ray.tune.search import Searcher

    from search.task import TaskSettings
    from search.trial import run_trial

_RESULT = "emphasis"
_QUIET = ("ray.tune", "ray.train", "ray.data", "ray.air")


class TrialSource(Protocol):
    """What Ray Tune drives: a sweep, as it hands out trials and takes in their reports."""

    @property
    def ended(self) -> bool:
        """Whether the sweep is to stop, whatever still runs."""

    def hand_out(self) -> Mapping[str, Any] | None:
        """The next order, ``trial_id`` among its keys; None to wait for running trials, empty at the end."""

    def take_start(self, trial_id: str) -> None:
        """A trial that was handed out has found its place, and runs."""

    def take_report(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """A trial has reported; whether it is to be stopped."""

    def take_death(self, trial_id: str, with_its_node: bool) -> None:
        """A trial's process has died, alone or since its node is gone; it runs again only if it is handed out anew."""

    def look(self) -> None:
        """Called several times a second."""


def tune_trials(
    source: TrialSource,
    settings: TaskSettings,
    *,
    concurrency: int,
    resources: Mapping[str, float],
    notes: Path,
) -> None:
    """Run the source's trials until it has no more.

    Args:
        source: Hands out trials and takes in reports. Called from this thread alone.
        settings: What the trials share.
        concurrency: Trials at once.
        resources: Of one trial, e.g. ``{"CPU": 1}``.
        notes: Folder for Ray Tune's own notes, removed afterwards.
    """
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    bridge = _Bridge(source)
    trainable = tune.with_resources(functools.partial(_trainable, settings=settings), dict(resources))
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=bridge,
            scheduler=_Stopping(bridge),
            num_samples=-1,
            max_concurrent_trials=concurrency,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=notes.name,
            storage_path=str(notes.parent),
            callbacks=[_Events(source)],
            stop=_Stop(source),
            failure_config=tune.FailureConfig(max_failures=0),
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(notes)


def _trainable(config: dict[str, Any], settings: TaskSettings) -> None:
    run_trial(settings, config["order"], _report)


def _report(result: dict[str, Any]) -> None:
    # As text: Tune flattens dicts.
    tune.report({_RESULT: json.dumps(result)})


class _Bridge(Searcher):  # type: ignore[misc]
    """Ray Tune's way to ask for configurations. Its trial ids end here."""

    def __init__(self, source: TrialSource) -> None:
        super().__init__()
        self._source = source
        self._ids: dict[str, str] = {}

    def suggest(self, trial_id: str) -> Any:
        order = self._source.hand_out()
        if order is None:
            return None
        if not order:
            return Searcher.FINISHED
        self._ids[trial_id] = order["trial_id"]
        return {"order": dict(order)}

    def take_report(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Hand a report on; whether its trial is to be stopped."""
        return self._source.take_report(self._ids[trial_id], json.loads(result[_RESULT]))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        ours = self._ids.pop(trial_id)
        if result is not None and _RESULT in result:
            self._source.take_report(ours, json.loads(result[_RESULT]))

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is what survives."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to read back."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its searcher beside its notes. Ours holds the store, which nobody may find there.
        return (_Nothing, ())


class _Stopping(FIFOScheduler):  # type: ignore[misc]
    """Trials begin in the order in which they are handed out, and end where the source says so."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = self._bridge.take_report(trial.trial_id, result)
        return str(FIFOScheduler.STOP if stop else FIFOScheduler.CONTINUE)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Nothing, ())


class _Nothing:
    """What is left of a searcher in Tune's notes."""


class _Events(tune.Callback):  # type: ignore[misc]
    """Hears what a searcher is not told."""

    def __init__(self, source: TrialSource) -> None:
        self._source = source

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._source.take_start(_ours(trial))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._source.take_death(_ours(trial), _was_lost_with_its_node(trial))

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._source.look()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Nothing, ())


def _ours(trial: Any) -> str:
    ours: str = trial.config["order"]["trial_id"]
    return ours


def _was_lost_with_its_node(trial: Any) -> bool:
    # Ray says only in words that it was the node; and for a node that is suddenly silent, that the process cannot be
    # reached: of one that dies alone it says that it died.
    said = Path(trial.error_file).read_text() if trial.error_file else ""
    return "its node has died" in said or "temporarily unavailable" in said


class _Stop(tune.Stopper):  # type: ignore[misc]
    """Ends everything once the sweep has ended."""

    def __init__(self, source: TrialSource) -> None:
        self._source = source

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._source.ended

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Nothing, ())
