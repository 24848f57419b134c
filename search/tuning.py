"""Ray Tune as the scheduler: it asks a sweep for trials, runs them in actors, hands back their reports."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import Protocol

# Read by Ray when it is imported: our record is our own, and Ctrl-C is handled by `Interruption`.
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

    from search.pack import Answer
    from search.pack import can_share_a_pack
    from search.pack import run_pack
    from search.task import TaskSettings

_RESULT = "emphasis"
_ERROR = re.compile(r"(?!ray\.)[A-Za-z_][\w.]*(Error|Exception): \S")
_QUIET = ("ray.tune", "ray.train", "ray.data", "ray.air")


class TrialSource(Protocol):
    """What Ray Tune drives: a sweep, as it hands out trials and takes in their reports."""

    @property
    def ended(self) -> bool:
        """Whether the sweep is to stop, whatever still runs."""

    def hand_out(self) -> Mapping[str, Any] | None:
        """The next order, ``trial_id`` among its keys; None to wait for running trials, empty at the end."""

    def ready(self) -> int:
        """How many trials could be handed out now, as far as is known before they are asked for."""

    def put_back(self, trial_id: str) -> None:
        """A trial that was handed out finds no place now; it is handed out again before any other."""

    def take_start(self, trial_id: str) -> None:
        """A trial that was handed out has found its place, and runs."""

    def take_report(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """A trial has reported; whether it is to be stopped."""

    def take_death(self, trial_id: str, with_its_node: bool, alone: bool, said: str | None) -> None:
        """A trial's process has died, by itself or since its node is gone; it runs again only if it is handed out anew.

        ``alone`` says whether the trial was the only one of the process, ``said`` the error that it ended with, where
        it could say one: of a GPU, say.
        """

    def look(self) -> None:
        """Called several times a second."""


def tune_trials(
    source: TrialSource,
    settings: TaskSettings,
    *,
    concurrency: int,
    lanes: int = 1,
    resources: Mapping[str, float],
    notes: Path,
) -> None:
    """Run the source's trials until it has no more.

    What is a trial to Ray Tune is a pack of ours: up to ``lanes`` trials that one process trains together. One that
    ends is followed by the next while the others go on.

    Args:
        source: Hands out trials and takes in reports. Called from this thread alone.
        settings: What the trials share.
        concurrency: Trials at once, over all packs.
        lanes: Trials of a pack, at most.
        resources: Of one pack's process, e.g. ``{"CPU": 1}``.
        notes: Folder for Ray Tune's own notes, removed afterwards.
    """
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    bridge = _Bridge(source, concurrency, lanes)
    trainable = tune.with_resources(functools.partial(_trainable, settings=settings, lanes=lanes), dict(resources))
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=bridge,
            scheduler=_Stopping(bridge),
            num_samples=-1,
            max_concurrent_trials=math.ceil(concurrency / lanes),
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=notes.name,
            storage_path=str(notes.parent),
            callbacks=[_Events(bridge, source)],
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


# Of a pack's process: what the driver has said to the report that was made last.
_answers: list[Answer] = []


def _trainable(config: dict[str, Any], settings: TaskSettings, lanes: int) -> None:
    numbers = itertools.count(1)

    def report(news: list[dict[str, Any]]) -> Answer:
        _answers.clear()
        # As text: Tune flattens dicts.
        tune.report({_RESULT: json.dumps({"number": next(numbers), "news": news})})
        return _answers[-1] if _answers else Answer()

    run_pack(settings, config["orders"], lanes, report)


def _take_answer(trainable: Any, answer: Answer) -> None:
    _answers.append(answer)


def _say(answer: Answer, trial: Any) -> None:
    """Tell a pack's process before the report that it waits in returns.

    No mailbox is needed, nor any waiting: an actor does what one caller tells it in the order in which it is told, and
    Tune tells it to go on only once its scheduler has decided.
    """
    actor = trial.temporary_state.ray_actor
    actor.execute.remote(functools.partial(_take_answer, answer=answer))


@dataclass(slots=True)
class _Pack:
    """What one process was ordered to train, as far as its reports tell.

    Args:
        like: One of its orders: those that join it can share a pack with this one.
        places: How many trials it trains at once: as many as it began with.
        unended: Ids of its trials that have not ended, in the order in which they were handed out.
        heard: The number of its last report.
    """

    like: Mapping[str, Any]
    places: int
    unended: list[str] = field(default_factory=list)
    heard: int = 0


class _Bridge(Searcher):  # type: ignore[misc]
    """Ray Tune's way to ask for configurations. Its trials are packs, and their ids end here."""

    def __init__(self, source: TrialSource, concurrency: int, lanes: int) -> None:
        super().__init__()
        self._source, self._concurrency, self._lanes = source, concurrency, lanes
        self._packs: dict[str, _Pack] = {}

    def suggest(self, trial_id: str) -> Any:
        first = self._source.hand_out()
        if first is None:
            return None
        if not first:
            return Searcher.FINISHED
        pack = self._packs[trial_id] = _Pack(first, self._lanes, [first["trial_id"]])
        orders = [dict(first), *self._more(pack)]
        pack.places = len(orders)
        return {"orders": orders}

    def _more(self, pack: _Pack) -> list[dict[str, Any]]:
        """Orders for a pack, as many as it has room for and there are at this moment."""
        orders = []
        while len(pack.unended) < self._share(pack) and self._unended() < self._concurrency:
            order = self._source.hand_out()
            if not order:
                break
            if not can_share_a_pack(pack.like, order):
                # For the next pack. The source keeps it meanwhile, so that it knows of all that has no process.
                self._source.put_back(order["trial_id"])
                break
            pack.unended.append(order["trial_id"])
            orders.append(dict(order))
        return orders

    def _share(self, pack: _Pack) -> int:
        """How many trials a pack is to train now: its places, unless others would go short of what is left."""
        if len(self._packs) == 1 or pack.places == 1:
            return pack.places
        left = self._unended() + self._source.ready()
        # By their places, since one may have begun with fewer than others.
        share = math.ceil(left * pack.places / sum(each.places for each in self._packs.values()))
        return min(pack.places, max(1, share))

    def _unended(self) -> int:
        return sum(len(pack.unended) for pack in self._packs.values())

    def take_start(self, trial: Any) -> None:
        """A pack has found its place."""
        for ours in self._packs[trial.trial_id].unended:
            self._source.take_start(ours)

    def take_report(self, trial: Any, result: Mapping[str, Any]) -> bool:
        """Hand a report on and answer it; whether the whole pack is to be stopped."""
        pack, report = self._packs[trial.trial_id], json.loads(result[_RESULT])
        if report["number"] <= pack.heard:  # Tune repeats the last one of a process that has nothing left to train
            return False
        pack.heard = report["number"]
        stopped = []
        for news in report["news"]:
            ours = news["trial_id"]
            stop = self._source.take_report(ours, news)
            if stop and news["ending"] is None:
                stopped.append(ours)
            if (stop or news["ending"] is not None) and ours in pack.unended:
                pack.unended.remove(ours)
        orders = self._more(pack)
        for order in orders:
            self._source.take_start(order["trial_id"])
        if stopped and not pack.unended:
            return True
        if stopped or orders:
            _say(Answer(stopped, orders), trial)
        return False

    def take_death(self, trial: Any) -> None:
        """A pack's process has died: none of its trials runs any more."""
        pack, report = self._packs.pop(trial.trial_id), _report_of_death(trial)
        with_its_node = _was_lost_with_its_node(report)
        # Backwards, since each is handed out again before all others.
        for ours in reversed(pack.unended):
            self._source.take_death(ours, with_its_node, alone=len(pack.unended) == 1, said=_last_error(report))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        if not error:  # of which more is heard
            del self._packs[trial_id]

    def save(self, checkpoint_path: str) -> None:
        """Nothing: the store is what survives."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to read back."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Tune pickles its searcher beside its notes. Ours holds the store, which nobody may find there.
        return (_Nothing, ())


class _Stopping(FIFOScheduler):  # type: ignore[misc]
    """Packs begin in the order in which they are handed out, and end where the source says so of all their trials."""

    def __init__(self, bridge: _Bridge) -> None:
        super().__init__()
        self._bridge = bridge

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        stop = self._bridge.take_report(trial, result)
        return str(FIFOScheduler.STOP if stop else FIFOScheduler.CONTINUE)

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Nothing, ())


class _Nothing:
    """What is left of a searcher in Tune's notes."""


class _Events(tune.Callback):  # type: ignore[misc]
    """Hears what a searcher is not told."""

    def __init__(self, bridge: _Bridge, source: TrialSource) -> None:
        self._bridge, self._source = bridge, source

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.take_start(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._bridge.take_death(trial)

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._source.look()

    def __reduce__(self) -> tuple[Any, ...]:
        return (_Nothing, ())


def _report_of_death(trial: Any) -> str:
    return Path(trial.error_file).read_text() if trial.error_file else ""


def _was_lost_with_its_node(report: str) -> bool:
    # Ray says only in words that it was the node; and for a node that is suddenly silent, that the process cannot be
    # reached: of one that dies alone it says that it died.
    return "its node has died" in report or "temporarily unavailable" in report


def _last_error(report: str) -> str | None:
    """The last error of the process's own in Ray's report, in a line; None where it was killed."""
    errors = [line for line in report.splitlines() if _ERROR.match(line)]
    return errors[-1].removeprefix("torch.") if errors else None


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
