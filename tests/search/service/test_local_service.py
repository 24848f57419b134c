"""What the service answers from the store beside it."""

from __future__ import annotations

import base64
import math
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_sweeps import EPOCHS
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep

from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes
from search.errors import IllegalMove
from search.errors import RequestKeyUsed
from search.home import Home
from search.newest_recommendations import recommendations
from search.service.local import LocalService
from search.service.sweep_views import NO_WORKER
from search.store import ProcessKind
from search.store import Store
from search.store import SweepState
from search.store import TrackingRecord
from search.store import TrialState
from search.store import Verb
from trainers.errors import FieldError
from trainers.errors import InvalidInput

TWO_CORES = ClusterResources((Nodes(cpus=2.0),))
FIELDS: dict[str, Any] = {"dataset": "digits", "noise_rate": 0.4, "trials": 4}


@pytest.fixture(params=["sqlite", "postgresql"])
def either_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    sqlite = f"sqlite:///{tmp_path / 'either.db'}"
    url = sqlite if request.param == "sqlite" else request.getfixturevalue("postgresql_url")
    with Store.open(url) as opened:
        yield opened


@pytest.fixture
def service(store: Store, tmp_path: Path) -> LocalService:
    return LocalService(store, Home.resolve(tmp_path))


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "data" / "vectors.npz"
    path.parent.mkdir()
    x = rng.normal(size=(40, 5)).astype(np.float32)
    y = np.arange(40) % 4
    np.savez(path, x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    return path


def refused(service: LocalService, **fields: Any) -> tuple[FieldError, ...]:
    with pytest.raises(InvalidInput) as caught:
        service.submit({**FIELDS, **fields})
    return caught.value.errors


# Submitting


def test_a_submission_is_queued_with_every_default_written_out(service: LocalService) -> None:
    told = service.asked_by("ada").submit(FIELDS, priority=3)
    assert (told.state, told.submitter, told.priority, told.attended) == (SweepState.QUEUED, "ada", 3, False)
    assert told.spec["training"]["epochs"] > 0
    assert told.progress.planned == 4 + 9 + 3
    assert service.store.sweep(told.id).spec == told.spec
    assert [event.message for event in service.events(told.id)] == ["submitted by ada"]


def test_everything_wrong_is_said_at_once(service: LocalService) -> None:
    errors = refused(service, noise_rate=7, supervison="gce", training={"epochs": 0}, limit_train=10**9)
    assert {error.field for error in errors} == {"noise_rate", "supervison", "training.epochs", "limit_train"}
    assert service.sweeps().items == []


def test_a_submission_has_one_noise_rate(service: LocalService) -> None:
    errors = refused(service, noise_rate=[0.2, 0.4], trials=0)
    assert {error.field for error in errors} == {"noise_rate", "trials"}


def test_checking_records_nothing(service: LocalService) -> None:
    checked = service.check(FIELDS)
    assert (checked.dataset, checked.noise_rate, checked.supervision, checked.trials) == ("digits", 0.4, "gr", 16)
    assert service.sweeps().items == []


def test_a_noise_rate_that_is_to_be_found_out_is_null(service: LocalService) -> None:
    told = service.submit({**FIELDS, "noise_rate": "unknown", "noise_model": "none"})
    assert told.noise_rate is None
    assert service.sweep(told.id).noise_rate is None


@pytest.mark.parametrize(
    ("given", "field"),
    [({"priority": 10**9}, "priority"), ({"request_key": ""}, "request_key"), ({"request_key": "a\nb"}, "request_key")],
)
def test_a_priority_or_key_that_no_database_holds_is_refused(
    service: LocalService, given: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        service.submit(FIELDS, **given)
    assert [error.field for error in caught.value.errors] == [field]


def test_that_no_worker_runs_is_said_while_the_sweep_waits(service: LocalService) -> None:
    told = service.submit(FIELDS)
    assert NO_WORKER in told.notes
    service.store.processes.say("node:1:2", ProcessKind.WORKER, {"resources": TWO_CORES.to_json()})
    assert NO_WORKER not in service.sweep(told.id).notes
    assert NO_WORKER not in service.submit(FIELDS).notes


def test_resources_that_no_worker_has_are_refused(service: LocalService) -> None:
    service.store.processes.say("node:1:2", ProcessKind.WORKER, {"resources": TWO_CORES.to_json()})
    (error,) = refused(service, resources={"gpus": 1})
    assert error.field == "resources.gpus"
    # One that cannot tell yet may have them.
    service.store.processes.say("node:2:2", ProcessKind.WORKER, {"resources": None})
    assert service.submit({**FIELDS, "resources": {"gpus": 1}}).state is SweepState.QUEUED


# Request keys


def test_the_same_key_gives_the_same_sweep(service: LocalService) -> None:
    first = service.submission(FIELDS, request_key="mine")
    again = service.submission(FIELDS, request_key="mine")
    assert (first.created, again.created) == (True, False)
    assert again.sweep.id == first.sweep.id
    assert service.asked_by("bo").submit(FIELDS, request_key="mine").id != first.sweep.id


def test_what_was_accepted_under_a_key_stays_so_when_it_could_not_be_submitted_any_more(service: LocalService) -> None:
    large = {**FIELDS, "resources": {"cpus": 4}}
    told = service.submit(large, request_key="nightly")
    service.store.processes.say("node:1:2", ProcessKind.WORKER, {"resources": TWO_CORES.to_json()})
    with pytest.raises(InvalidInput, match=r"resources\.cpus"):
        service.submit(large)
    assert service.submit(large, request_key="nightly").id == told.id


def test_fields_that_are_no_json_are_refused_with_a_key_as_without(service: LocalService) -> None:
    for key in (None, "mine"):
        with pytest.raises(InvalidInput, match="training"):
            service.submit({**FIELDS, "training": {1: 2, "epochs": 3}}, request_key=key)


@pytest.mark.parametrize("given", [{"fields": {**FIELDS, "trials": 5}}, {"fields": FIELDS, "priority": 1}])
def test_a_key_is_refused_for_anything_else(service: LocalService, given: dict[str, Any]) -> None:
    told = service.submit(FIELDS, request_key="mine")
    with pytest.raises(RequestKeyUsed) as caught:
        service.submit(request_key="mine", **given)
    assert caught.value.sweep_id == told.id


def test_fifty_who_submit_at_once_make_one_sweep_a_key(either_store: Store, tmp_path: Path) -> None:
    service = LocalService(either_store, Home.resolve(tmp_path))
    together = threading.Barrier(50)

    def submit(number: int) -> tuple[str, str, bool]:
        key = f"key-{number % 5}"
        together.wait()
        found = service.submission(FIELDS, request_key=key)
        return key, found.sweep.id, found.created

    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(submit, range(50)))
    ids = {(key, sweep_id) for key, sweep_id, _ in answers}
    assert len(ids) == 5
    assert Counter(key for key, _, created in answers if created) == {f"key-{number}": 1 for number in range(5)}
    assert {sweep.id for sweep in either_store.sweeps()} == {sweep_id for _, sweep_id in ids}


# Data roots


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("dataset", {"dataset": "{outside}/vectors.npz"}),
        ("dataset", {"dataset": "{inside}/../elsewhere/vectors.npz"}),
        ("dataset", {"dataset": "{inside}/link/vectors.npz"}),
        ("dataset", {"dataset": "~/vectors.npz"}),
        ("dataset", {"dataset": "vectors.npz"}),
        ("data_dir", {"data_dir": "{outside}"}),
        ("noise_file", {"noise_model": "file", "noise_file": "{inside}/link/labels.csv"}),
        ("training.weights", {"training": {"weights": "{outside}/weights.pt"}}),
        ("hyperparameters.matrix", {"supervision": "forward", "hyperparameters": {"matrix": "{outside}/T.npy"}}),
        ("space", {"supervision": "forward", "space": [{"matrix": "true"}, {"matrix": "{outside}/T.npy"}]}),
    ],
)
@pytest.mark.parametrize("there", [True, False])
def test_a_path_outside_the_roots_is_refused_whether_or_not_it_is_there(
    store: Store, tmp_path: Path, vectors: Path, field: str, fields: dict[str, Any], there: bool
) -> None:
    inside, outside = tmp_path / "data", tmp_path / "elsewhere"
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    if there:
        for name in ("vectors.npz", "labels.csv", "weights.pt", "T.npy"):
            (outside / name).write_bytes(vectors.read_bytes())
    service = LocalService(store, Home.resolve(tmp_path), data_roots=[inside])
    errors = refused(service, trials=None, **_filled(fields, inside=inside, outside=outside))
    assert {error.field for error in errors} == {field}
    (error,) = errors
    assert error.problem == "is outside the folders that this service reads"
    assert str(inside) in error.remedy
    assert "emphasis serve --data-root" in error.remedy


def test_a_path_inside_the_roots_is_read(store: Store, tmp_path: Path, vectors: Path) -> None:
    (tmp_path / "link").symlink_to(vectors.parent)
    service = LocalService(store, Home.resolve(tmp_path), data_roots=[vectors.parent])
    for path in (vectors, tmp_path / "link" / "vectors.npz"):
        assert service.submit({**FIELDS, "dataset": str(path)}).facts["num_classes"] == 4
    assert service.submit(FIELDS).dataset == "digits"


def test_without_any_root_no_file_is_read(store: Store, tmp_path: Path, vectors: Path) -> None:
    (error,) = refused(LocalService(store, Home.resolve(tmp_path), data_roots=[]), dataset=str(vectors))
    assert (error.field, error.problem) == ("dataset", "this service reads no files")


def _filled(value: Any, **places: Path) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, **places) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, **places) for inner in value]
    return value.format(**places) if isinstance(value, str) else value


# Reading


def test_pages_have_every_sweep_once_though_new_ones_come_and_old_ones_go(
    either_store: Store, tmp_path: Path, record_sweep: RecordSweep
) -> None:
    service = LocalService(either_store, Home.resolve(tmp_path))
    made = _some_sweeps(either_store, 7)
    seen, cursor = [], None
    while True:
        page = service.sweeps(limit=2, cursor=cursor)
        seen += [sweep.id for sweep in page.items]
        _some_sweeps(either_store, 1, start=100 + len(seen))
        service.ask(page.items[-1].id, Verb.CANCEL)
        service.delete(page.items[-1].id)
        if (cursor := page.next) is None:
            break
    assert seen == list(reversed(made))


def test_that_a_recommendation_failed_on_fresh_seeds_is_noted(
    service: LocalService, record_sweep: RecordSweep
) -> None:
    sweep = record_sweep("lost")
    sweep.confirmed((16, 1), None, 0.90, 0.90)
    sweep.done()
    assert service.sweep("lost").notes == ["It failed on 1 fresh seed, which the means leave out."]


def test_filters_leave_out_the_rest(service: LocalService, record_sweep: RecordSweep) -> None:
    record_sweep("one", dataset="cifar10", noise_rate=0.2, submitter="ada")
    record_sweep("two", noise_rate=0.6, submitter="bo")
    record_sweep("three", submitter="bo").done()

    def ids(**given: Any) -> list[str]:
        return [sweep.id for sweep in service.sweeps(**given).items]

    assert ids() == ["three", "two", "one"]
    assert ids(dataset="cifar10") == ["one"]
    assert ids(noise_rate=0.6) == ["two"]
    assert ids(submitter="bo", states=[SweepState.DONE, SweepState.FAILED]) == ["three"]
    assert ids(states=[SweepState.FAILED]) == []


def test_a_sweep_whose_process_died_is_found_by_the_state_that_it_is_shown_in(
    service: LocalService, record_sweep: RecordSweep
) -> None:
    for id, lease in (("waits", None), ("left", -1), ("runs", 3600), ("dropped", -1), ("late", None)):
        record_sweep(id)
        if lease is not None:
            service.store.claim_sweep(id, "elsewhere:1:1.0", is_alive=lambda owner, at: True, lease_seconds=lease)
    service.ask("dropped", Verb.CANCEL)

    def pages(*states: SweepState) -> list[list[str]]:
        found, cursor = [], None
        while not found or cursor is not None:
            page = service.sweeps(states=states, limit=1, cursor=cursor)
            assert {sweep.state for sweep in page.items} <= set(states)
            found.append([sweep.id for sweep in page.items])
            cursor = page.next
        return found

    assert pages(SweepState.QUEUED) == [["late"], ["left"], ["waits"]]
    assert pages(SweepState.RUNNING) == [["runs"]]
    assert pages(SweepState.CANCELLED) == [["dropped"]]
    assert pages(SweepState.CANCELLING) == [[]]
    status = service.status()
    assert [sweep.id for sweep in status.running] == ["runs"]
    counted = {state: count for state, count in status.sweeps.items() if count}
    assert counted == {SweepState.QUEUED: 3, SweepState.RUNNING: 1, SweepState.CANCELLED: 1}


def test_the_dataset_asked_for_may_be_the_folder_or_file_that_was_submitted(
    service: LocalService, record_sweep: RecordSweep, vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_sweep("ours", dataset="vectors", spec={"dataset": str(vectors)})
    record_sweep("another", dataset="vectors", spec={"dataset": "/another/vectors.npz"})
    monkeypatch.chdir(vectors.parent)

    def ids(dataset: str) -> list[str]:
        return [sweep.id for sweep in service.sweeps(dataset=dataset).items]

    assert ids(str(vectors)) == ids("vectors.npz") == ids("./vectors.npz") == ["ours"]
    assert ids("vectors") == ["another", "ours"]
    assert ids("/nowhere/vectors.npz") == ids("~nobody-here/vectors.npz") == []


# What no moment is in another zone, and what no database takes, among them.
WRONG_PLACES = ["0001-01-01T00:00:00+23:00 x", "9999-12-31T23:59:59-23:00 x", "2026-01-01T00:00:00+00:00 a\x00b"]
WRONG_CURSORS = [base64.urlsafe_b64encode(place.encode()).decode() for place in WRONG_PLACES]


@pytest.mark.parametrize("cursor", ["", "?", "bm90aGluZw==", "é", "MjAyNi0wMS0wMSB4", *WRONG_CURSORS])
def test_a_cursor_that_is_none_is_refused(either_store: Store, tmp_path: Path, cursor: str) -> None:
    service = LocalService(either_store, Home.resolve(tmp_path))
    with pytest.raises(InvalidInput) as caught:
        service.sweeps(cursor=cursor)
    assert caught.value.errors[0].field == "cursor"


@pytest.mark.parametrize("limit", [0, 501])
def test_a_page_is_not_without_bounds(service: LocalService, limit: int) -> None:
    for read in (service.sweeps, lambda limit: service.trials("x", limit=limit)):
        with pytest.raises(InvalidInput) as caught:
            read(limit=limit)
        assert caught.value.errors[0].field == "limit"


def test_a_finished_sweep_tells_what_it_recommends(service: LocalService, confirmed_sweep: RecordedSweep) -> None:
    (listed,) = service.sweeps().items
    best = listed.best
    assert best is not None
    assert (best.supervision, best.hyperparameters) == ("gr", {"beta": 16.0, "lambda": 1.0})
    assert best.objective == pytest.approx(0.96)
    assert (best.seeds, best.confirmed, best.objective_name) == (3, True, "intact_train_accuracy")
    assert listed.baseline_objective == pytest.approx(0.61)
    assert service.sweep(confirmed_sweep.id).best == best


def test_a_sweep_of_which_few_were_left_to_confirm_has_as_many_trials_as_it_has_run_once_it_is_done(
    service: LocalService, record_sweep: RecordSweep
) -> None:
    sweep = record_sweep(spec={**FIELDS, "supervision": "gr", "confirm": {"top": 3, "seeds": 1}})
    for beta, objective in ((8, 0.9), (12, None), (16, None), (20, None)):
        sweep.searched((beta, 0.5), objective)
    sweep.baseline(0.8)
    sweep.confirmed((8, 0.5), 0.9)
    assert service.sweep(sweep.id).progress.planned == 4 + 3 + 1
    sweep.done()
    assert service.sweep(sweep.id).progress.planned == 4 + 1 + 1


def test_a_running_sweep_tells_what_leads_its_search(service: LocalService, record_sweep: RecordSweep) -> None:
    sweep = record_sweep("running")
    assert service.sweep("running").best is None
    sweep.searched((8, 0.5), 0.9)
    sweep.searched((12, 0.5), 0.95)
    sweep.searched((12, 1), None, state=TrialState.FAILED)
    sweep.baseline(0.5, 0.7)
    (told,) = service.sweeps().items
    assert told.best is not None
    assert (told.best.hyperparameters, told.best.confirmed) == ({"beta": 12.0, "lambda": 0.5}, False)
    assert told.baseline_objective == pytest.approx(0.6)
    assert (told.progress.done, told.progress.failed) == (4, 1)


def test_a_sweep_whose_process_is_gone_does_not_run(service: LocalService, record_sweep: RecordSweep) -> None:
    record_sweep("left")
    service.store.claim_sweep("left", "elsewhere:1:1.0", is_alive=lambda owner, at: True, lease_seconds=-1)
    assert service.store.sweep("left").state is SweepState.RUNNING
    assert service.sweep("left").state is SweepState.QUEUED


@pytest.mark.parametrize(
    ("verb", "state"),
    [(Verb.RESUME, SweepState.QUEUED), (Verb.PAUSE, SweepState.PAUSED), (Verb.CANCEL, SweepState.CANCELLED)],
)
def test_a_sweep_whose_process_is_gone_does_what_it_is_asked_without_a_worker(
    service: LocalService, record_sweep: RecordSweep, verb: Verb, state: SweepState
) -> None:
    record_sweep("asleep").fell_asleep()
    assert service.ask("asleep", verb).state is state
    assert service.store.sweep("asleep").state is state
    assert service.store.sweep("asleep").owner is None


def test_a_sweep_whose_process_is_gone_can_be_deleted_without_a_worker(
    service: LocalService, record_sweep: RecordSweep
) -> None:
    record_sweep("asleep").fell_asleep()
    service.delete("asleep")
    assert service.sweeps().items == []


def test_a_sweep_is_named_by_how_its_id_begins(service: LocalService, confirmed_sweep: RecordedSweep) -> None:
    assert service.sweep("digits-d").id == confirmed_sweep.id
    for read in (service.sweep, service.trials, service.log, service.figures, service.events):
        with pytest.raises(InvalidInput) as caught:
            read("cifar")
        assert caught.value.errors[0].field == "sweep"


def test_trials_are_paged_by_number(service: LocalService, confirmed_sweep: RecordedSweep) -> None:
    first = service.trials(confirmed_sweep.id, limit=20)
    assert [trial.number for trial in first.items] == list(range(20))
    rest = service.trials(confirmed_sweep.id, after=first.next or 0, limit=20)
    assert [trial.number for trial in rest.items] == list(range(20, len(confirmed_sweep.trials)))
    assert rest.next is None
    assert first.items[0].hyperparameters == {"beta": 12.0, "lambda": 0.5}


def test_a_curve_has_null_where_nothing_was_evaluated(service: LocalService, confirmed_sweep: RecordedSweep) -> None:
    curve = service.curve(confirmed_sweep.id, 1)
    assert [epoch.epoch for epoch in curve.items] == list(range(1, EPOCHS + 1))
    assert [epoch.intact_train_accuracy is None for epoch in curve.items] == [True, False, True, False]
    with pytest.raises(InvalidInput) as caught:
        service.curve(confirmed_sweep.id, 1000)
    assert caught.value.errors[0].field == "trial"


def test_recommendations_are_those_of_the_export(service: LocalService, confirmed_sweep: RecordedSweep) -> None:
    expected = [each.as_dict() for each in recommendations(service.store, "digits", 0.4)]
    assert service.recommendations("digits", 0.4) == expected
    with pytest.raises(InvalidInput):
        service.recommendations("cifar10")


def test_the_page_in_mlflow_is_told_once_mlflow_has_the_sweep(
    store: Store, tmp_path: Path, record_sweep: RecordSweep
) -> None:
    service = LocalService(store, Home.resolve(tmp_path), mlflow_url="http://127.0.0.1:5000/")
    record_sweep("sweep")
    assert service.sweep("sweep").mlflow_url is None
    with pytest.raises(InvalidInput):
        service.mlflow_page("sweep")
    store.tracking.save("sweep", TrackingRecord("sweep", "0123abcd"))
    assert service.sweeps().items[0].mlflow_url == "http://127.0.0.1:5000/#/runs/0123abcd"
    assert service.mlflow_page("sweep") == "http://127.0.0.1:5000/#/runs/0123abcd"


# The log


def test_a_log_is_read_page_by_page(service: LocalService, record_sweep: RecordSweep) -> None:
    sweep = record_sweep("sweep")
    for number in range(2, 6):
        service.store.add_event("sweep", f"line {number}")
    first = service.log("sweep", limit=3)
    assert ([event.number for event in first.items], first.ended) == ([1, 2, 3], False)
    assert [event.number for event in service.log("sweep", after=first.next).items] == [4, 5]
    assert service.log("sweep", after=5) == service.log("sweep", after=5)
    sweep.done()
    assert service.log("sweep", limit=3).ended is False
    assert service.log("sweep", after=3).ended is True


def test_a_followed_log_ends_with_the_sweep_and_lacks_nothing(
    service: LocalService, record_sweep: RecordSweep
) -> None:
    sweep = record_sweep("sweep")
    heard: list[int] = []
    begun = threading.Event()

    def follow() -> None:
        for event in service.events("sweep", follow=True):
            heard.append(event.number)
            begun.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert begun.wait(60)
    for _ in range(3):
        service.store.add_event("sweep", "a line")
    sweep.done()
    thread.join(60)
    assert not thread.is_alive()
    assert heard == [event.number for event in service.store.events("sweep")]
    assert len(heard) == 5


# Steering


def test_to_ask_again_changes_nothing_and_the_log_names_who_asked(
    service: LocalService, record_sweep: RecordSweep
) -> None:
    record_sweep("sweep")
    ada = service.asked_by("ada")
    for verb, state in ((Verb.PAUSE, "paused"), (Verb.RESUME, "queued"), (Verb.CANCEL, "cancelled")):
        assert ada.ask("sweep", verb).state == state
        assert ada.ask("swee", verb).state == state
    asked = [event.message for event in service.events("sweep")][1:]
    assert asked == [
        "paused: asked to pause by ada",
        "queued: asked to resume by ada",
        "cancelled: asked to cancel by ada",
    ]
    with pytest.raises(IllegalMove):
        ada.ask("sweep", Verb.RESUME)


def test_deleting_takes_figures_and_checkpoints_too(service: LocalService, record_sweep: RecordSweep) -> None:
    sweep = record_sweep("sweep")
    sweep.searched((8, 0.5), 0.9)
    for folder in (service.home.figures("sweep"), service.home.checkpoints("sweep")):
        folder.mkdir(parents=True)
        (folder / "file.png").write_bytes(b"")
    service.store.claim_sweep("sweep", "me", is_alive=lambda owner, at: True, lease_seconds=60)
    with pytest.raises(IllegalMove):
        service.delete("sweep")
    assert service.figures("sweep") == ["file.png"]
    service.store.release_sweep("sweep", "stopped")
    service.delete("sweep")
    assert service.sweeps().items == []
    assert not service.home.figures("sweep").exists()
    assert not service.home.checkpoints("sweep").exists()


def test_no_number_that_is_told_is_not_finite(service: LocalService, record_sweep: RecordSweep) -> None:
    assert record_sweep("unsettled", noise_rate=math.nan).id == service.sweep("unsettled").id
    assert service.sweep("unsettled").noise_rate is None
    # A data set without a test set.
    record_sweep("sweep").searched((8, 0.5), 0.9, tests=[math.nan])
    told = service.sweep("sweep")
    assert told.best is not None
    assert told.best.test_accuracy is None
    assert service.trials("sweep").items[0].test_accuracy is None


def _some_sweeps(store: Store, count: int, start: int = 0) -> list[str]:
    ids = [f"sweep-{number:03d}" for number in range(start, start + count)]
    for id in ids:
        store.create_sweep(
            id=id,
            spec={},
            dataset="digits",
            noise_rate=0.4,
            backbone="mlp",
            supervision="gr",
            data_hash="data",
            versions={},
        )
    return ids
