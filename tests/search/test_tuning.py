"""How the trials of a sweep are packed into processes: real store, plan and training, with a stand-in for Ray Tune.

Of Tune there is what it passes on, in the order in which it does; the processes of packs are calls in this thread.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from search import tuning
from search.home import Home
from search.interruption import Interruption
from search.owner import this_process
from search.packing import Packing
from search.packing import lanes_fused
from search.spec_reading import parse_specs
from search.store import Store
from search.store import TrialRecord
from search.store import TrialState
from search.submission import record_sweep
from search.sweep_run import SweepRun
from search.task import TaskSettings

EPOCHS = 2


class Killed(BaseException):
    """As a SIGKILL: nothing of the process runs afterwards."""


class Process:
    """A trial of Ray, and the handle to the actor that runs it."""

    error_file: Path | None = None

    def __init__(self, number: int, config: dict[str, Any]) -> None:
        self.trial_id, self.config = f"ray-{number}", config
        self.temporary_state = SimpleNamespace(ray_actor=SimpleNamespace(execute=SimpleNamespace(remote=self._execute)))

    def _execute(self, action: Callable[[Any], None]) -> None:
        action(self)


class PackedSweep:
    """A sweep whose packs are run one after the other."""

    def __init__(self, home: Path, store: Store, monkeypatch: pytest.MonkeyPatch, lanes: int, **fields: Any) -> None:
        self._monkeypatch, self._store = monkeypatch, store
        monkeypatch.setattr("search.pack._SECONDS_BETWEEN_REPORTS", 1e9)  # but for endings, and epochs that are judged
        given = {"dataset": "digits", "noise_rate": 0.4, "limit_train": 400, "confirm": {"seeds": 0}}
        (spec,) = parse_specs({**given, "training": {"epochs": EPOCHS}, **fields})
        prepared = TaskSettings.of(spec, home).load()
        sweep = record_sweep(store, spec, prepared, attended=True)
        lease = store.claim_sweep(sweep.id, this_process(), is_alive=lambda name, seen: True).lease
        recorder: Any = SimpleNamespace(notify=lambda sweep_id: None)
        self.run = SweepRun(store.fenced(lease), sweep, Home(home), recorder, None, Interruption())
        self.run.take_spec(spec, prepared)
        self.run.cluster = SimpleNamespace(loss=lambda: None)  # type: ignore[assignment]
        self.run.packing = Packing(spec.concurrency or lanes, lanes)
        self.run.plan = self.run.planned()
        self._settings = TaskSettings.of(spec, Home(home).checkpoints(sweep.id))
        self._lanes, self._number = lanes, 0
        self.bridge = tuning._Bridge(self.run, self.run.packing.trials, lanes)
        self._scheduler, self._events = tuning._Stopping(self.bridge), tuning._Events(self.bridge, self.run)
        self.at_once: list[int] = []

    def suggest(self) -> Process | None:
        """The next pack, which has found its place; None where there is none now."""
        self._number += 1
        config = self.bridge.suggest(f"ray-{self._number}")
        if not isinstance(config, dict):
            return None
        process = Process(self._number, config)
        self._events.on_trial_start(0, [], process)
        return process

    def train(self, process: Process, kill_when: Callable[[], bool] = lambda: False) -> None:
        """Run a pack as Tune does, to its end or until it is to be killed: looked at after each report."""
        last: dict[str, Any] = {}

        def report(metrics: dict[str, Any]) -> None:
            last.update(metrics)
            self.at_once.append(self.running())
            decision = self._scheduler.on_trial_result(None, process, metrics)
            if kill_when():
                raise Killed
            if decision == tuning.FIFOScheduler.STOP:
                raise SystemExit

        self._monkeypatch.setattr(tuning.tune, "report", report)
        try:
            tuning._trainable(process.config, self._settings, self._lanes)
            self._scheduler.on_trial_result(None, process, last)
        except SystemExit:
            pass
        except Killed:
            self.kill(process)
            return
        self.bridge.on_trial_complete(process.trial_id, result=last)

    def kill(self, process: Process) -> None:
        """Take in that a process has died."""
        self.bridge.on_trial_complete(process.trial_id, error=True)
        self._events.on_trial_error(0, [], process)

    def finish(self) -> list[list[str]]:
        """Run packs until there are no more; the trials that each began with."""
        packs = []
        while (process := self.suggest()) is not None:
            packs.append(ordered(process))
            self.train(process)
        self.run.raise_if_failed()
        return packs

    def running(self) -> int:
        return sum(trial.state is TrialState.RUNNING for trial in self.trials)

    @property
    def trials(self) -> list[TrialRecord]:
        return self._store.trials(self.run.sweep.id)


def ordered(process: Process) -> list[str]:
    return [order["trial_id"] for order in process.config["orders"]]


@pytest.fixture
def packed(tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., PackedSweep]]:
    yield lambda lanes, **fields: PackedSweep(tmp_path, store, monkeypatch, lanes, **fields)
    tuning._answers.clear()


def test_one_process_trains_all_trials_of_a_sweep_each_once_and_is_kept_full(
    packed: Callable[..., PackedSweep],
) -> None:
    sweep = packed(3, trials=6, confirm={"top": 1, "seeds": 2})

    (pack,) = sweep.finish()

    assert pack == [trial.id for trial in sweep.trials[:3]]
    # 6 of the search, 2 of CCE, 2 that confirm the best.
    assert [(trial.state, trial.attempts) for trial in sweep.trials] == [(TrialState.DONE, 1)] * 10
    # One report an ending, and whenever one came three were running, but for the last two.
    assert [sweep.at_once.count(lanes) for lanes in (1, 2, 3)] == [1, 1, 8]


def test_a_process_that_trains_one_at_a_time_goes_on_with_the_next_trial(packed: Callable[..., PackedSweep]) -> None:
    sweep = packed(1, trials=3)

    packs = sweep.finish()

    first, *_ = sweep.trials
    assert packs == [[first.id]]
    assert [(trial.state, trial.attempts) for trial in sweep.trials] == [(TrialState.DONE, 1)] * 3
    assert set(sweep.at_once) == {1}


def test_suggestions_that_are_handed_out_at_once_are_distinct_and_never_more_than_the_trials_at_once(
    packed: Callable[..., PackedSweep],
) -> None:
    sweep = packed(4, trials=20, concurrency=6, sampler="tpe")

    first, second = sweep.suggest(), sweep.suggest()

    assert first is not None
    assert second is not None
    assert [len(ordered(first)), len(ordered(second))] == [4, 2]
    values = {tuple(order["hyperparameters"].items()) for each in (first, second) for order in each.config["orders"]}
    assert len(values) == 6


class Orders:
    """A source of orders that are ready, None where it has to be asked again; what is told of them is of no account."""

    ended = False

    def __init__(self, *ids: str | None) -> None:
        self.left = deque(None if id is None else self._order(id) for id in ids)

    def _order(self, id: str) -> Mapping[str, Any]:
        return {"trial_id": id, "supervision": "gr", "hyperparameters": {}, "alone": id == "alone"}

    def add(self, *ids: str) -> None:
        self.left.extend(map(self._order, ids))

    def hand_out(self) -> Mapping[str, Any] | None:
        return self.left.popleft() if self.left else None

    def ready(self) -> int:
        return len(self.left)

    def put_back(self, trial_id: str) -> None:
        self.left.appendleft(self._order(trial_id))

    def take_start(self, trial_id: str) -> None:
        pass

    def take_report(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        return False

    def take_death(self, trial_id: str, with_its_node: bool, alone: bool, said: str | None) -> None:
        pass

    def look(self) -> None:
        pass


def test_a_pack_is_never_given_more_than_the_places_that_it_began_with() -> None:
    source = Orders("0", "1", None)
    bridge = tuning._Bridge(source, concurrency=9, lanes=3)
    first = Process(1, bridge.suggest("ray-1"))
    assert ordered(first) == ["0", "1"]

    source.add("2", "3", "4", "5")
    ended = {"number": 1, "news": [{"trial_id": "0", "ending": {"state": "done"}}]}
    bridge.take_report(first, {"emphasis": json.dumps(ended)})
    second = Process(2, bridge.suggest("ray-2"))

    assert ordered(second) == ["3", "4", "5"]  # which the first would have let wait, though it trains only two


def test_what_is_left_at_the_end_is_spread_over_the_packs() -> None:
    source = Orders(*map(str, range(8)))
    bridge = tuning._Bridge(source, concurrency=8, lanes=4)
    first, second = Process(1, bridge.suggest("ray-1")), Process(2, bridge.suggest("ray-2"))
    assert [len(ordered(first)), len(ordered(second))] == [4, 4]
    told: list[int] = []

    def end(process: Process, number: int, *ended: str) -> None:
        before = source.ready()
        news = [{"trial_id": trial_id, "ending": {"state": "done"}} for trial_id in ended]
        bridge.take_report(process, {"emphasis": json.dumps({"number": number, "news": news})})
        told.append(before - source.ready())

    # The search ends in both at once; then five trials that confirm its best are ready.
    end(first, 1, "0", "1", "2")
    end(second, 1, "4", "5", "6")
    source.add(*map(str, range(8, 13)))
    end(first, 2, "3")
    end(second, 2, "7")
    assert told == [0, 0, 3, 2]


def test_a_pack_that_began_with_one_trial_takes_no_share_from_another() -> None:
    source = Orders("alone", *map(str, range(9)))
    bridge = tuning._Bridge(source, concurrency=9, lanes=8)
    assert ordered(Process(1, bridge.suggest("ray-1"))) == ["alone"]
    assert len(ordered(Process(2, bridge.suggest("ray-2")))) == 8


def test_figures_that_cannot_be_imported_are_tried_once_meanwhile_and_disturb_nothing(
    packed: Callable[..., PackedSweep], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_figures.py").write_text(f"open({str(tmp_path / 'tries')!r}, 'a').write('x')\nraise OSError")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("search.sweep_run._FIGURES", "broken_figures")
    unhandled: list[object] = []
    monkeypatch.setattr(threading, "excepthook", unhandled.append)
    before = set(threading.enumerate())
    sweep = packed(1, trials=1, concurrency=2)
    process = sweep.suggest()

    for _ in range(3):
        assert sweep.suggest() is None  # nothing to hand out while the only trial runs
        for thread in set(threading.enumerate()) - before:
            thread.join()

    assert (tmp_path / "tries").read_text() == "x"
    assert unhandled == []
    assert process is not None
    sweep.train(process)
    assert sweep.trials[0].state is TrialState.DONE


def test_a_killed_process_puts_its_unended_trials_back_in_their_order(packed: Callable[..., PackedSweep]) -> None:
    sweep = packed(3, trials=5)
    process = sweep.suggest()
    assert process is not None

    sweep.train(process, kill_when=lambda: sum(trial.state.finished for trial in sweep.trials) == 1)
    states = [trial.state for trial in sweep.trials]
    packs = sweep.finish()

    assert states == [TrialState.DONE, *[TrialState.WAITING] * 3]
    assert packs == [[trial.id for trial in sweep.trials[1:4]]]
    assert [trial.attempts for trial in sweep.trials] == [1, 2, 2, 2, 1]
    assert {trial.state for trial in sweep.trials} == {TrialState.DONE}


# As Ray writes it; the second and third of a process that was killed.
OF_A_GPU = """Failure # 1 (occurred at 2026-11-27_04-36-08)
ray::ImplicitFunc.train() (pid=29488, ip=192.0.2.2)
  File "pack.py", line 8, in train
    raise torch.AcceleratorError("CUDA error: no kernel image is available for execution on the device\\nCUDA")
torch.AcceleratorError: CUDA error: no kernel image is available for execution on the device
CUDA kernel errors might be asynchronously reported at some other API call
"""
KILLED = """Failure # 1 (occurred at 2026-11-27_04-36-10)
The actor died unexpectedly before finishing this task.
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR
"""
ACTOR_DIED = "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.\n"


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        (OF_A_GPU, "AcceleratorError: CUDA error: no kernel image is available for execution on the device"),
        (KILLED, None),
        (ACTOR_DIED, None),
    ],
)
def test_a_trial_whose_process_could_say_why_it_ended_fails_with_that_reason(
    packed: Callable[..., PackedSweep], tmp_path: Path, report: str, reason: str | None
) -> None:
    sweep = packed(1, trials=1, max_retries=1)
    (tmp_path / "error.txt").write_text(report)
    while (process := sweep.suggest()) is not None:
        process.error_file = tmp_path / "error.txt"
        sweep.kill(process)
    (trial,) = sweep.trials
    assert trial.reason == f"its process died 2 times{f': {reason}' if reason else ' (killed, or out of memory)'}"


@pytest.mark.parametrize(("max_retries", "together"), [(2, 2), (1, 1), (0, 1)])
def test_what_kills_a_process_is_found_by_a_last_try_alone(
    packed: Callable[..., PackedSweep], max_retries: int, together: int
) -> None:
    sweep = packed(3, trials=4, max_retries=max_retries)
    packs = []
    while (process := sweep.suggest()) is not None:
        packs.append(ordered(process))
        deadly = sweep.trials[1].id
        if deadly in packs[-1]:
            sweep.kill(process)
        else:
            sweep.train(process)
    sweep.run.raise_if_failed()

    first, second, third, fourth = [trial.id for trial in sweep.trials]
    assert packs == [[first, second, third]] * together + [[first], [second], [third], [fourth]]
    done, failed = TrialState.DONE, TrialState.FAILED
    assert [trial.state for trial in sweep.trials] == [done, failed, done, done]


@pytest.mark.parametrize("lanes", [3, 1])
def test_a_lane_that_is_stopped_early_leaves_the_others_running(
    packed: Callable[..., PackedSweep], lanes: int
) -> None:
    # The paper's good setting first, and CCE's weights after it: they cannot pass it at half of the budget.
    space = [{"beta": 16, "lam": 1}, {"beta": 0, "lam": 0}, {"beta": 20, "lam": 1}, {"beta": 0, "lam": 1}]
    fields = {"limit_train": None, "training": {"epochs": 12, "learning_rate": 0.05}, "early_stopping": "asha"}
    sweep = packed(lanes, space=space, **fields)

    assert len(sweep.finish()) == 1
    states = [trial.state for trial in sweep.trials]
    assert (states[0], states[1], states[3]) == (TrialState.DONE, TrialState.PRUNED, TrialState.PRUNED)
    for trial in sweep.trials:
        epochs = len(sweep.run.store.epochs(trial.id))
        assert trial.attempts == 1
        assert (epochs < 12) == (trial.state is TrialState.PRUNED)
        if epochs < 12:
            assert trial.reason == f"stopped early by asha after epoch {epochs}"


def test_trials_that_differ_in_the_task_are_left_for_the_next_pack(packed: Callable[..., PackedSweep]) -> None:
    space = [{"q": 0.5, "dropout": rate, "learning_rate": 0.02 + rate / 100} for rate in (0.1, 0.1001)]
    space += [{"q": q, "dropout": 0.1, "learning_rate": 0.01 * q} for q in (0.7, 0.8, 0.9)]
    sweep = packed(3, supervision="gce", space=space)

    process = sweep.suggest()
    assert process is not None
    # Whatever happens now, the plan knows of the trial that was left: a sweep that is taken up begins with it.
    later = sweep.run.planned().next()
    assert isinstance(later, TrialRecord)
    left = [trial for trial in sweep.trials if trial.state is TrialState.WAITING]
    sweep.train(process)
    packs = [ordered(process), *sweep.finish()]

    first, second, *others = [trial.id for trial in sweep.trials]
    assert [trial.id for trial in left] == [second]
    assert packs == [[first], [second], others]
    assert [(trial.state, trial.attempts) for trial in sweep.trials] == [(TrialState.DONE, 1)] * 5


@pytest.mark.parametrize(
    ("fields", "lanes"),
    [
        ({}, 8),
        ({"supervision": "gce", "space": [{"q": 0.7, "learning_rate": 0.1}]}, 8),
        ({"supervision": "gce", "space": [{"q": 0.7, "dropout": 0.1}]}, 1),
    ],
)
def test_as_many_lanes_as_the_engine_trains_best_share_a_process_unless_their_tasks_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], lanes: int
) -> None:
    (spec,) = parse_specs({"dataset": "digits", "noise_rate": 0.4, **fields})
    task = TaskSettings.of(spec, tmp_path).load().task
    assert lanes_fused(spec, task) == 1
    monkeypatch.setattr("trainers.training.lanes_at_once", lambda task, supervision: 8)
    assert lanes_fused(spec, task) == lanes
