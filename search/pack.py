"""A pack of trials, as it runs inside a Ray actor: train and report them; knows nothing of stores or studies."""

from __future__ import annotations

import os
import time
import traceback
from collections import deque
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace
from pathlib import Path
from typing import Any

from search.hyperparameters import TASK_FIELDS
from search.hyperparameters import split
from search.hyperparameters import supervision_with
from search.task import PreparedTask
from search.task import TaskSettings
from trainers.engines.checkpoint import checkpoint_path
from trainers.engines.choice import fastest_engine
from trainers.errors import EmphasisError
from trainers.errors import InvalidInput
from trainers.training import Checkpoints
from trainers.training import Decision
from trainers.training import Ending
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import TrainingTask
from trainers.training import check_lanes
from trainers.training import train

# A report has its trials wait 20 ms for the driver, whose CPU time they lack besides; an epoch of digits takes 50. So
# reports carry all the epochs since the last, and a pack whose epochs are long reports each.
_SECONDS_BETWEEN_REPORTS = 5.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What the driver has to say to a report.

    Args:
        stopped: Ids of the pack's trials that are not to go on; nobody waits for their endings.
        orders: More trials, in the place of those that have ended.
    """

    stopped: Sequence[str] = ()
    orders: Sequence[Mapping[str, Any]] = ()


Report = Callable[[list[dict[str, Any]]], Answer]


def run_pack(settings: TaskSettings, orders: Sequence[Mapping[str, Any]], lanes: int, report: Report) -> None:
    """Train the ordered configurations, and those that come in their place, and report them.

    Args:
        settings: What the trials of the sweep share.
        orders: Each with ``trial_id``, ``supervision``, ``hyperparameters`` (training fields among them take the place
            of the sweep's), ``noise_rate``, ``seed``, ``noise_seed``, ``judged`` with the epochs
            after which it may be stopped, and ``alone``; any two `can_share_a_pack`.
        lanes: How many are trained together, at most.
        report: Takes a plain dict for each trial that there is news of, ``{"trial_id": ..., "epochs": [...], "facts":
            {...}, "ending": None}``, the last of a trial with its ending; it returns once the driver has taken them in,
            with its answer. It does not return where nothing of the pack is to go on. Whatever goes wrong with a trial
            is its ending too, since the others, and the next of this process, may do better.
    """
    import torch

    torch.set_num_threads(settings.cpus)
    pack = _Pack(settings, orders, lanes, report)
    while pack.has_work:
        pack.train()


def can_share_a_pack(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two orders can be of one pack: neither is to be trained alone, and they are of one task."""
    first, second = one["hyperparameters"], other["hyperparameters"]
    return not (one["alone"] or other["alone"]) and all(first.get(name) == second.get(name) for name in TASK_FIELDS)


@dataclass(slots=True)
class _Trial:
    """An order whose lane is trained, with what was not yet reported of it."""

    order: Mapping[str, Any]
    facts: dict[str, Any]
    epochs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def id(self) -> str:
        trial_id: str = self.order["trial_id"]
        return trial_id


class _Pack:
    """The trials of one process: those that wait for a lane, and those that have one."""

    def __init__(
        self, settings: TaskSettings, orders: Sequence[Mapping[str, Any]], lanes: int, report: Report
    ) -> None:
        self._settings, self._most_lanes, self._report = settings, lanes, report
        self._checkpoints = Path(settings.checkpoints)
        self._waiting = deque(orders)
        # Those that an error has left, each to be trained by itself.
        self._apart: deque[Mapping[str, Any]] = deque()
        self._training: dict[str, _Trial] = {}
        self._stopped: set[str] = set()
        self._notes: dict[str, str] = {}
        self._reported_at = time.monotonic()

    @property
    def has_work(self) -> bool:
        """Whether any trial waits for a lane."""
        return bool(self._waiting or self._apart)

    def train(self) -> None:
        """Train what waits, and all that takes the place of what has ended, until nothing is left or training fails."""
        apart = bool(self._apart)
        lanes: list[Lane] = []
        most = 1 if apart else self._most_lanes
        while len(lanes) < most and (lane := self._next_of(self._apart if apart else self._waiting)) is not None:
            lanes.append(lane)
        if not lanes:
            return
        order = self._training[lanes[0].id].order
        try:
            train(
                self._task(order),
                lanes,
                self._on_epoch,
                Checkpoints(self._checkpoints),
                on_end=self._on_end,
                refill=None if apart or order["alone"] else self._next_lane,
                # What went wrong may have been the engine's doing, and so may the deaths before a last try: after a
                # capture that fails nothing can be relied on. The reference engine can train whatever can be.
                engine="solo" if apart or order["alone"] else "auto",
                # Places that nobody is there for now would be computed all the same.
                at_once=len(lanes),
            )
        except Exception as error:
            if _has_lost_its_gpu(error):
                raise  # nothing will ever be trained in this process again
            self._go_on_after(error, apart)

    def _next_lane(self) -> Lane | None:
        return self._next_of(self._waiting)

    def _next_of(self, orders: deque[Mapping[str, Any]]) -> Lane | None:
        """The lane of the next trial that can be trained; those that cannot are reported on the way."""
        while orders:
            order = orders.popleft()
            try:
                lane, told = self._lane(order)
            except Exception as error:
                self._fail(_Trial(order, {}), error)
            else:
                self._training[lane.id] = _Trial(order, told)
                return lane
        return None

    def _lane(self, order: Mapping[str, Any]) -> tuple[Lane, dict[str, Any]]:
        """The lane of an order, and what is told of its labels."""
        prepared = _prepared(self._settings)
        labels, validation_labels = prepared.divided(prepared.labels(order["noise_rate"], order["noise_seed"]))
        supervision = supervision_with(order["supervision"], order["hyperparameters"])
        _, searched = split(order["hyperparameters"])
        own = {name: value for name, value in searched.items() if name not in TASK_FIELDS}
        lane = Lane(order["trial_id"], supervision, labels, order["seed"], validation_labels, **own)
        check_lanes(self._task(order), [lane])
        return lane, {"noise_hash": labels.fingerprint, "realised_noise_rate": labels.realised_rate}

    def _task(self, order: Mapping[str, Any]) -> TrainingTask:
        _, searched = split(order["hyperparameters"])
        shared = {name: value for name, value in searched.items() if name in TASK_FIELDS}
        return replace(_prepared(self._settings).task, **shared)

    def _on_epoch(self, epoch: EpochReport) -> Decision | None:
        if epoch.lane_id not in self._stopped:
            trial = self._training[epoch.lane_id]
            told = asdict(epoch)
            if (computed_by := told.pop("computed_by")) is not None:
                trial.facts["computed_by"] = {"host": os.uname().nodename, **computed_by}
            trial.epochs.append({**told, "recorded_at": time.time()})
            if epoch.epoch in trial.order["judged"] or time.monotonic() - self._reported_at >= _SECONDS_BETWEEN_REPORTS:
                self._send()
        return Decision.STOP if epoch.lane_id in self._stopped else None

    def _on_end(self, result: LaneResult) -> None:
        trial = self._training.pop(result.lane_id)
        if trial.id in self._stopped:
            return
        ending = _ending(result)
        if not ending["reason"]:
            notes = (self._notes.get(trial.id), _prepared(self._settings).undecodable_note())
            ending["reason"] = "\n".join(note for note in notes if note) or None
        self._send(trial, ending)

    def _fail(self, trial: _Trial, error: Exception) -> None:
        known = isinstance(error, EmphasisError)
        said = [str(error) if known else f"{type(error).__name__}: {error}", self._notes.get(trial.id)]
        reason = "\n".join(text for text in said if text)
        detail = "" if known else traceback.format_exc(limit=-8)
        self._send(trial, {"state": "failed", "reason": reason, "detail": detail})

    def _send(self, ended: _Trial | None = None, ending: dict[str, Any] | None = None) -> None:
        """Report all epochs that were not yet, and the ending of a trial that has one."""
        news: list[tuple[_Trial, dict[str, Any] | None]] = [
            (trial, None) for trial in self._training.values() if trial.epochs
        ]
        if ended is not None:
            news.append((ended, ending))
        parts = [
            {"trial_id": trial.id, "epochs": trial.epochs, "facts": trial.facts, "ending": its_ending}
            for trial, its_ending in news
        ]
        for trial, _ in news:
            trial.epochs = []
        answer = self._report(parts)
        self._reported_at = time.monotonic()
        self._stopped |= set(answer.stopped)
        self._waiting += answer.orders

    def _go_on_after(self, error: Exception, apart: bool) -> None:
        """Have the trials that an error has left untrained train again, from their checkpoints; or fail the last one.

        What ended the training of several lanes may be the doing of one of them, of their being together, or of the
        engine: each is trained by itself then, by the reference engine, so that it fails the one that it belongs to.
        Where it was a GPU's memory, half as many are trained at a time from here on.
        """
        left = [trial for trial in self._training.values() if trial.id not in self._stopped]
        self._training.clear()
        orders = [trial.order for trial in left]
        if self._removed_damaged(left, error):
            (self._apart if apart else self._waiting).extendleft(reversed(orders))
        elif len(left) > 1 and _is_out_of_memory(error):
            self._most_lanes = min(self._most_lanes, len(left)) // 2
            for trial in left:
                self._notes[trial.id] = f"trained {self._most_lanes} at a time, since {len(left)} ran out of memory"
            self._waiting.extendleft(reversed(orders))
        elif apart or (len(left) == 1 and self._was_trained_by_the_reference(left[0])):
            for trial in left:
                self._fail(trial, error)
        else:
            first = f"{len(left)} trials that were trained together" if len(left) > 1 else "its first try"
            for trial in left:
                self._notes[trial.id] = f"trained alone, since {first} ended with {type(error).__name__}: {error}"
            self._apart.extend(orders)

    def _was_trained_by_the_reference(self, trial: _Trial) -> bool:
        if trial.order["alone"]:
            return True
        supervision = supervision_with(trial.order["supervision"], trial.order["hyperparameters"])
        return fastest_engine(self._task(trial.order), supervision) == "solo"

    def _removed_damaged(self, trials: Sequence[_Trial], error: Exception) -> bool:
        """Whether it was checkpoints that could not be used, which are gone now: those trials start over."""
        if not isinstance(error, InvalidInput) or {problem.field for problem in error.errors} != {"checkpoint"}:
            return False
        # Cut off by a full disk, or written by another release: it saves time and decides nothing.
        named = {problem.value for problem in error.errors}
        paths = [path for trial in trials if str(path := checkpoint_path(self._checkpoints, trial.id)) in named]
        with suppress(OSError):
            for path in paths:
                path.unlink()
            return bool(paths)
        return False


def _has_lost_its_gpu(error: Exception) -> bool:
    """Whether a kernel has gone wrong in a way that every later one of this process does too."""
    import torch

    return isinstance(error, torch.AcceleratorError) and not isinstance(error, torch.OutOfMemoryError)


def _ending(result: LaneResult) -> dict[str, Any]:
    done = result.ending is Ending.COMPLETED and result.final is not None
    return {
        "state": "done" if done else "failed",
        "reason": result.reason or None,
        "final": asdict(result.final) if result.final else None,
        "best": asdict(result.best) if result.best else None,
        "seconds": result.seconds,
    }


def _is_out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)


_prepared_tasks: dict[str, PreparedTask] = {}


def _prepared(settings: TaskSettings) -> PreparedTask:
    """The task of this process: an actor trains many trials of one sweep on data that is loaded once."""
    key = repr(settings)
    if key not in _prepared_tasks:
        _prepared_tasks.clear()
        _prepared_tasks[key] = settings.load()
    return _prepared_tasks[key]
