"""What holds of any service: the store beside us, and a server that is asked over HTTP."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from served_api import served

from search.errors import IllegalMove
from search.errors import RequestKeyUsed
from search.home import Home
from search.owner import this_process
from search.recommendation import choose
from search.service.client import Client
from search.service.each_noise_rate import submit_each
from search.service.interface import Service
from search.service.local import LocalService
from search.service.told import all_trials
from search.service.told import sweep_told
from search.store import ProcessKind
from search.store import Store
from search.store import SweepState
from search.store import TrialState
from search.store import Verb
from trainers.errors import InvalidInput

FIELDS: dict[str, Any] = {"dataset": "digits", "noise_rate": 0.4, "trials": 3, "training": {"epochs": 1}}


@pytest.fixture(params=["store", "server"])
def service(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Iterator[Service]:
    if request.param == "store":
        yield LocalService(store, Home.resolve(tmp_path))
        return
    with served(store, tmp_path, required=False) as running, Client(running.url) as client:
        yield client


@pytest.fixture
def local(store: Store, tmp_path: Path) -> LocalService:
    """The other service of the same store, to compare with."""
    return LocalService(store, Home.resolve(tmp_path))


class TestSubmit:
    def test_a_submitted_sweep_is_queued_with_every_default_written_out(self, service: Service, store: Store) -> None:
        sweep = service.submit(FIELDS, priority=7)
        assert (sweep.state, sweep.priority, sweep.attended) == (SweepState.QUEUED, 7, False)
        assert sweep.spec["training"]["momentum"] == 0.9
        assert sweep.progress.planned == 3 + 9 + 3
        assert any("emphasis worker" in note for note in sweep.notes)
        assert [each.id for each in store.queue.first(10)] == [sweep.id]

    def test_the_same_key_twice_is_one_sweep(self, service: Service, store: Store) -> None:
        first = service.submit(FIELDS, request_key="mine")
        again = service.submit(FIELDS, request_key="mine")
        assert again.id == first.id
        assert len(store.sweeps()) == 1

    def test_without_a_key_two_submissions_are_two_sweeps(self, service: Service, store: Store) -> None:
        assert service.submit(FIELDS).id != service.submit(FIELDS).id
        assert len(store.sweeps()) == 2

    def test_a_key_that_was_used_for_another_sweep_is_refused_with_that_sweep(self, service: Service) -> None:
        first = service.submit(FIELDS, request_key="mine")
        with pytest.raises(RequestKeyUsed) as refused:
            service.submit({**FIELDS, "trials": 4}, request_key="mine")
        assert (refused.value.key, refused.value.sweep_id) == ("mine", first.id)

    @pytest.mark.parametrize(
        "wrong",
        [
            {"dataset": "digit", "noise_rate": 1.4, "trials": -3, "training": {"epoch": 3}},
            {},
            {"dataset": "digits", "noise_rate": [0.2, 0.4]},
            {"dataset": "digits", "noise_rate": "much", "space": {"kind": "grid", "beta": []}},
            {"dataset": "digits", "noise_rate": None, "noise_model": "file", "noise_file": "/nowhere.csv"},
            {"dataset": "digits", "noise_rate": 0.4, "space": [[8, 0.5], {"beta": 1}]},
        ],
    )
    def test_what_is_wrong_is_said_in_the_same_words(
        self, service: Service, local: LocalService, store: Store, wrong: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidInput) as expected:
            local.submit(wrong)
        for refuse in (service.submit, service.check):
            with pytest.raises(InvalidInput) as refused:
                refuse(wrong)
            assert [(e.field, e.problem, e.remedy) for e in refused.value.errors] == [
                (e.field, e.problem, e.remedy) for e in expected.value.errors
            ]
            assert as_json(refused.value) == as_json(expected.value)
        assert store.sweeps() == []

    @pytest.mark.parametrize("rate", [float("nan"), float("inf")])
    def test_numbers_that_json_has_not_are_refused_by_field(self, service: Service, rate: float) -> None:
        with pytest.raises(InvalidInput) as refused:
            service.submit({**FIELDS, "noise_rate": rate})
        assert [error.field for error in refused.value.errors] == ["noise_rate"]

    @pytest.mark.parametrize(
        ("given", "field"),
        [
            ({"priority": 10**9}, "priority"),
            ({"request_key": ""}, "request_key"),
            ({"request_key": "k" * 201}, "request_key"),
            ({"request_key": "schlüssel"}, "request_key"),
            ({"request_key": "a\r\nX-Forged: b"}, "request_key"),
        ],
    )
    def test_a_priority_or_key_that_cannot_be_kept_is_refused(
        self, service: Service, local: LocalService, store: Store, given: dict[str, Any], field: str
    ) -> None:
        with pytest.raises(InvalidInput) as refused:
            service.submit(FIELDS, **given)
        with pytest.raises(InvalidInput) as expected:
            local.submit(FIELDS, **given)
        assert str(refused.value) == str(expected.value)
        assert [error.field for error in refused.value.errors] == [field]
        assert store.sweeps() == []

    def test_checking_tells_what_a_submission_would_be_and_records_nothing(
        self, service: Service, store: Store
    ) -> None:
        checked = service.check(FIELDS)
        assert (checked.dataset, checked.noise_rate, checked.trials) == ("digits", 0.4, 15)
        assert store.sweeps() == []

    def test_several_noise_rates_are_a_sweep_each(self, service: Service, store: Store) -> None:
        several = {**FIELDS, "noise_rate": [0.2, 0.6]}
        first = [sweep.id for sweep in submit_each(service, several, request_key="mine")]
        assert [store.sweep(id).noise_rate for id in first] == [0.2, 0.6]
        assert [sweep.id for sweep in submit_each(service, several, request_key="mine")] == first

    def test_what_was_accepted_under_a_key_is_so_whatever_has_become_of_its_data(
        self, service: Service, store: Store, tmp_path: Path
    ) -> None:
        # As an answer tells where it is read: in letters that no header holds.
        file = tmp_path / "数据.npz"
        x, y = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32), np.arange(40) % 4
        np.savez(file, x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
        several = {"dataset": str(file), "noise_rate": [0.2, 0.3], "trials": 3, "training": {"epochs": 1}}
        one = {**several, "noise_rate": 0.4}
        first = [sweep.id for sweep in submit_each(service, several, request_key="several")]
        also = service.submit(one, request_key="one")
        file.unlink()
        assert [sweep.id for sweep in submit_each(service, several, request_key="several")] == first
        assert service.submit(one, request_key="one").id == also.id
        assert service.check(one, request_key="one").trials == also.progress.planned
        with pytest.raises(RequestKeyUsed):
            service.check({**one, "noise_rate": 0.5}, request_key="one")
        with pytest.raises(InvalidInput, match="no such file"):
            service.check(one)
        assert len(store.sweeps()) == 3

    def test_of_several_noise_rates_none_is_queued_where_one_is_wrong(self, service: Service, store: Store) -> None:
        with pytest.raises(InvalidInput) as refused:
            list(submit_each(service, {**FIELDS, "noise_rate": [0.2, 1.4, 0.2], "trials": -1}))
        assert [error.field for error in refused.value.errors] == ["trials", "noise_rate[1]", "noise_rate[2]"]
        assert store.sweeps() == []


class TestRead:
    def test_sweeps_are_told_alike(self, service: Service, local: LocalService, confirmed_sweep: RecordedSweep) -> None:
        told = service.sweep(confirmed_sweep.id)
        assert told.model_dump() == local.sweep(confirmed_sweep.id).model_dump()
        assert told.best is not None
        assert told.best.hyperparameters == {"beta": 16, "lambda": 1}

    def test_what_is_told_are_the_records_of_the_store(self, service: Service, confirmed_sweep: RecordedSweep) -> None:
        sweep, trials = sweep_told(service.sweep(confirmed_sweep.id)), all_trials(service, confirmed_sweep.id)
        assert (sweep, trials) == (confirmed_sweep.record, confirmed_sweep.trials)
        assert choose(sweep, trials) == choose(confirmed_sweep.record, confirmed_sweep.trials)

    def test_a_sweep_is_found_by_how_its_id_begins(self, service: Service, confirmed_sweep: RecordedSweep) -> None:
        assert service.sweep("digits-d").id == "digits-done"

    def test_an_unknown_sweep_is_refused_with_those_there_are(
        self, service: Service, local: LocalService, confirmed_sweep: RecordedSweep
    ) -> None:
        asks = [
            lambda asked: asked.sweep("digits-two"),
            lambda asked: asked.trials("digits-two"),
            lambda asked: list(asked.events("digits-two")),
            lambda asked: asked.ask("digits-two", Verb.PAUSE),
            lambda asked: asked.delete("digits-two"),
        ]
        for ask in asks:
            with pytest.raises(InvalidInput, match="digits-done") as refused:
                ask(service)
            with pytest.raises(InvalidInput) as expected:
                ask(local)
            assert refused.value.errors == expected.value.errors

    def test_an_id_with_signs_of_an_address_in_it_is_looked_for_as_it_is(
        self, service: Service, record_sweep: RecordSweep
    ) -> None:
        record_sweep("a sweep of? mine#1%2e")
        assert service.sweep("a sweep of?").id == "a sweep of? mine#1%2e"

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "../sweeps", "x" * 400])
    def test_what_can_be_no_id_is_no_sweep(self, service: Service, record_sweep: RecordSweep, name: str) -> None:
        record_sweep("mine")
        for ask in (service.sweep, service.trials, service.events, service.delete):
            with pytest.raises(InvalidInput) as refused:
                ask(name)
            assert [error.field for error in refused.value.errors] == ["sweep"]
        assert service.sweep("mine").state is SweepState.QUEUED

    def test_pages_lead_through_all_sweeps_newest_first(self, service: Service, record_sweep: RecordSweep) -> None:
        ids = [record_sweep(f"sweep-{number}").id for number in range(5)]
        found, cursor = [], None
        while True:
            page = service.sweeps(limit=2, cursor=cursor)
            found += [sweep.id for sweep in page.items]
            cursor = page.next
            if cursor is None:
                break
        assert found == ids[::-1]

    def test_only_what_was_asked_for(
        self, service: Service, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep
    ) -> None:
        record_sweep("other", dataset="cifar10", noise_rate=0.2, submitter="ada")
        for asked in (
            {"states": [SweepState.QUEUED, SweepState.RUNNING]},
            {"dataset": "cifar10"},
            {"noise_rate": 0.2},
            {"submitter": "ada"},
        ):
            assert [sweep.id for sweep in service.sweeps(**asked).items] == ["other"]

    @pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": 501}, {"cursor": "elsewhere"}])
    def test_a_page_that_there_is_not_is_refused(
        self, service: Service, local: LocalService, asked: dict[str, Any]
    ) -> None:
        with pytest.raises(InvalidInput) as expected:
            local.sweeps(**asked)
        with pytest.raises(InvalidInput) as refused:
            service.sweeps(**asked)
        assert refused.value.errors == expected.value.errors

    def test_recommendations_are_the_exported_objects(
        self, service: Service, local: LocalService, confirmed_sweep: RecordedSweep
    ) -> None:
        assert service.recommendations("digits", 0.4) == local.recommendations("digits", 0.4)
        with pytest.raises(InvalidInput) as refused:
            service.recommendations("digits", 0.8)
        with pytest.raises(InvalidInput) as expected:
            local.recommendations("digits", 0.8)
        assert as_json(refused.value) == as_json(expected.value)

    def test_a_sweeps_own_recommendation_is_the_exported_object(
        self, service: Service, local: LocalService, confirmed_sweep: RecordedSweep, record_sweep: RecordSweep
    ) -> None:
        (exported,) = local.recommendations("digits", 0.4)
        record_sweep("waiting")
        assert service.recommendation("digits-d") == exported
        for nothing, problem in (("waiting", "recommends nothing"), ("elsewhere", "no such sweep")):
            with pytest.raises(InvalidInput) as refused:
                service.recommendation(nothing)
            with pytest.raises(InvalidInput) as expected:
                local.recommendation(nothing)
            assert problem in str(expected.value)
            assert as_json(refused.value) == as_json(expected.value)

    def test_a_sweep_whose_recommendation_cce_beats_says_so(
        self, service: Service, record_sweep: RecordSweep
    ) -> None:
        sweep = record_sweep()
        sweep.confirmed((16, 1), 0.21, 0.23, 0.22)
        sweep.baseline(0.60, 0.63, 0.61)
        assert not [note for note in service.sweep(sweep.id).notes if "CCE" in note]
        sweep.done()
        (note,) = service.sweep(sweep.id).notes
        assert note.startswith("CCE is better here, by 0.393")

    def test_status_tells_who_works_what_runs_and_what_is_next(
        self, service: Service, store: Store, record_sweep: RecordSweep
    ) -> None:
        record_sweep("later")
        record_sweep("sooner", priority=1)
        store.claim_sweep(record_sweep("now").id, this_process(), is_alive=lambda owner, heartbeat: True)
        store.processes.say("here:1:2", ProcessKind.WORKER, {"resources": {"CPU": 2.0}})
        status = service.status()
        assert [sweep.id for sweep in status.running] == ["now"]
        assert [sweep.id for sweep in status.queue] == ["sooner", "later"]
        assert (status.sweeps[SweepState.QUEUED], status.waiting) == (2, 2)
        assert [worker.facts for worker in status.workers] == [{"resources": {"CPU": 2.0}}]
        assert status.servers == []


class TestSteer:
    def test_a_sweep_is_paused_resumed_and_cancelled_and_asking_again_changes_nothing(
        self, service: Service, record_sweep: RecordSweep
    ) -> None:
        sweep = record_sweep("mine")
        for verb, state in (
            (Verb.PAUSE, SweepState.PAUSED),
            (Verb.PAUSE, SweepState.PAUSED),
            (Verb.RESUME, SweepState.QUEUED),
            (Verb.RESUME, SweepState.QUEUED),
            (Verb.CANCEL, SweepState.CANCELLED),
            (Verb.CANCEL, SweepState.CANCELLED),
        ):
            assert service.ask(sweep.id, verb).state is state

    def test_an_illegal_move_is_refused_with_the_reason(
        self, service: Service, local: LocalService, record_sweep: RecordSweep
    ) -> None:
        record_sweep("mine")
        service.ask("mine", Verb.CANCEL)
        with pytest.raises(IllegalMove) as refused:
            service.ask("mine", Verb.RESUME)
        with pytest.raises(IllegalMove) as expected:
            local.ask("mine", Verb.RESUME)
        assert str(refused.value) == str(expected.value)
        assert (refused.value.asked, refused.value.state) == ("resume", "cancelled")

    def test_a_deleted_sweep_is_gone(self, service: Service, record_sweep: RecordSweep, store: Store) -> None:
        record_sweep("mine")
        service.delete("mine")
        assert store.sweeps() == []

    def test_a_sweep_that_runs_is_not_deleted(self, service: Service, record_sweep: RecordSweep, store: Store) -> None:
        store.claim_sweep(record_sweep("mine").id, this_process(), is_alive=lambda owner, heartbeat: True)
        with pytest.raises(IllegalMove, match="emphasis cancel mine"):
            service.delete("mine")
        assert [sweep.id for sweep in store.sweeps()] == ["mine"]


class TestEvents:
    def test_the_log_so_far_is_told_alike(
        self, service: Service, local: LocalService, confirmed_sweep: RecordedSweep
    ) -> None:
        events = list(service.events(confirmed_sweep.id))
        assert events == list(local.events(confirmed_sweep.id))
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert list(service.events(confirmed_sweep.id, after=len(events))) == []
        assert list(service.events(confirmed_sweep.id, after=len(events) - 1, follow=True)) == events[-1:]

    def test_a_message_with_ends_of_lines_of_any_kind_comes_whole(
        self, service: Service, local: LocalService, record_sweep: RecordSweep
    ) -> None:
        sweep = record_sweep("mine")
        sweep.searched((4, 1), None, state=TrialState.RUNNING)
        sweep.store.release_trial(sweep.trials[0].id, "one\u2028two\u2029three\x85four\nfive")
        events = list(service.events("mine"))
        assert events == list(local.events("mine"))
        assert events[-1].message == "one\u2028two\u2029three\x85four\nfive"

    def test_the_log_of_a_sweep_that_waits_ends_unless_it_is_followed(
        self, service: Service, record_sweep: RecordSweep
    ) -> None:
        record_sweep("mine")
        assert [event.kind for event in service.events("mine")] == ["submitted"]

    def test_following_goes_on_to_the_end_of_the_sweep(
        self, service: Service, record_sweep: RecordSweep, store: Store
    ) -> None:
        sweep = record_sweep("mine")
        events = service.events("mine", follow=True)
        assert next(events).kind == "submitted"
        threading.Thread(target=lambda: (store.add_event("mine", "hello"), sweep.done())).start()
        assert [event.message for event in events] == ["hello", "done"]


def as_json(error: InvalidInput) -> Any:
    """Its errors as JSON can say them: a tuple is a list there."""
    return json.loads(json.dumps([[e.field, e.value, e.problem, e.remedy] for e in error.errors], default=str))


class TestCatalogue:
    def test_what_a_spec_may_name_is_told_with_a_line_each(self, service: Service) -> None:
        datasets = {each.name: each for each in service.datasets()}
        assert "1,437 + 360 images" in str(datasets["digits"].description)
        assert {"kappa", "box", "gce"} <= {each.name for each in service.spaces()}
        supervisions = {each.name: each for each in service.supervisions()}
        assert [(each.name, each.default) for each in supervisions["gce"].hyperparameters] == [("q", 0.7)]
        assert [each.name for each in supervisions["gr"].hyperparameters][:2] == ["beta", "lambda"]

    def test_a_plugin_that_does_not_load_says_why(
        self, service: Service, install_package: Callable[..., None]
    ) -> None:
        install_package("emphasis.supervisions", {"broken": "example_missing:Thing"})
        (broken,) = [each for each in service.supervisions() if each.name == "broken"]
        assert broken.description is None
        assert "does not load" in str(broken.problem)
