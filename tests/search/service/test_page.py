"""The page at `/` in a real Chromium, over the real API and a real store."""

from __future__ import annotations

import json
import math
import re
import types
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import Literal
from typing import Union
from typing import get_args
from typing import get_origin

import httpx
import pytest
import sqlalchemy
from conftest import PATIENCE
from conftest import OpenPage
from pydantic import BaseModel
from recorded_sweeps import RecordedSweep
from recorded_sweeps import RecordSweep
from served_api import Served
from served_api import served

from search.reports.figures import write_figures
from search.service.allowed_hosts import AllowedHosts
from search.service.guard import Guard
from search.service.identity import Identity
from search.service.login import LOGIN_PATH
from search.service.login import OPEN_REQUESTS
from search.service.login import login_routes
from search.service.page import page_routes
from search.spec import SweepSpec
from search.store import EpochRecord
from search.store import Role
from search.store import Store
from search.store import SweepState
from search.store import TrialState
from search.store import Verb
from spaces import Configuration

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright (extra dev) is not installed")
sync_api.expect.set_options(timeout=PATIENCE)
expect = sync_api.expect

AUDIT = (Path(__file__).parent / "accessibility.js").read_text()
GCE_SPACE = {"kind": "ranges", "supervision": "gce", "dimensions": {"q": {"low": 0.05, "high": 1, "log": True}}}

Picture = Callable[..., None]


@pytest.fixture
def service(store: Store, tmp_path: Path) -> Iterator[Served]:
    with served(store, tmp_path, required=False, pages=page_routes()) as running:
        yield running


def run(sweep: RecordedSweep) -> None:
    """Have somebody run a sweep, as its lease says."""
    sweep.store.claim_sweep(sweep.id, "here:1:100", is_alive=lambda owner, at: True, lease_seconds=3600)


@pytest.fixture
def running_sweep(record_sweep: RecordSweep) -> RecordedSweep:
    """A sweep in the middle: six configurations, of which one failed and one was stopped early; two run."""
    sweep = record_sweep("digits-running", attended=False)
    run(sweep)
    sweep.baseline(0.61)
    for beta, lam, objective in ((12, 0.5, 0.93), (16, 1.0, 0.95), (30, 2.0, 0.90), (2, 1.2, 0.72)):
        sweep.searched((beta, lam), objective)
    sweep.searched((41, 2.1), None)
    sweep.searched((30, 0.5), 0.5, state=TrialState.PRUNED)
    sweep.searched((22, 1.3), None, state=TrialState.RUNNING)
    sweep.searched((9, 0.2), None, state=TrialState.WAITING)
    return sweep


@pytest.fixture
def done_sweep(record_sweep: RecordSweep) -> RecordedSweep:
    """A finished sweep: (16, 1) is recommended, (12, 0.5) cannot be told apart from it."""
    sweep = record_sweep("digits-done", attended=False)
    sweep.searched((12, 0.5), 0.97)
    sweep.searched((16, 1), 0.95)
    sweep.searched((30, 2), 0.90)
    sweep.baseline(0.60, 0.61, 0.62)
    sweep.confirmed((12, 0.5), 0.97, 0.93, 0.95)
    sweep.confirmed((16, 1), 0.95, 0.97, 0.96)
    sweep.done()
    return sweep


def at(service: Served, place: str = "") -> str:
    return f"{service.url}/#/{place}"


def focused(page: Any) -> str:
    """What has the keyboard's focus, by its id or text."""
    return str(page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()"))


def press_until(page: Any, wanted: str, key: str = "Tab") -> None:
    """Press a key until something has the focus, as somebody without a mouse does."""
    for _ in range(40):
        if focused(page) == wanted:
            return
        page.keyboard.press(key)
    raise AssertionError(f"{wanted!r} cannot be reached with {key}; the focus is on {focused(page)!r}")


# The list


def test_list_says_where_each_sweep_stands_and_what_it_found(
    service: Served, record_sweep: RecordSweep, running_sweep: RecordedSweep, done_sweep: RecordedSweep,
    open_page: OpenPage, picture: Picture,
) -> None:  # fmt: skip
    spec = {"noise_model": "asymmetric_cifar10"}
    record_sweep("cifar-queued", dataset="cifar10", noise_rate=0.2, backbone="resnet20", spec=spec, attended=False)
    page = open_page(at(service))
    rows = page.get_by_role("row")
    expect(rows).to_have_count(4)

    queued, done, running = rows.nth(1), rows.nth(2), rows.nth(3)
    expect(queued).to_contain_text("cifar10, noise rate 0.2 (asymmetric_cifar10)")
    expect(queued).to_contain_text(re.compile("resnet20.*queued.*No worker is running"))
    expect(done).to_contain_text(re.compile(r"done.*β = 16, λ = 1.*0\.960 intact accuracy, confirmed.*\+0\.350"))
    expect(running).to_contain_text(re.compile(r"running.*7 of \d+, 1 failed.*β = 16, λ = 1.*0\.950"))
    picture(page, "list-wide")


def test_list_follows_the_store_and_tells_of_it(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    sweep = record_sweep("waiting", attended=False)
    page = open_page(at(service))
    link = page.get_by_role("link", name="digits, noise rate 0.4")
    link.focus()
    expect(page.get_by_role("row").nth(1)).to_contain_text("queued")

    service.store.ask(sweep.id, Verb.CANCEL)
    record_sweep("later", noise_rate=0.2, attended=False)
    expect(page.get_by_role("row").nth(1)).to_contain_text("noise rate 0.2")
    expect(page.get_by_role("row").nth(2)).to_contain_text("cancelled")
    expect(page.locator("#announcements")).to_have_text("digits, noise rate 0.4: cancelled")
    expect(link).to_be_focused()


def test_list_names_the_noise_rate_once_it_has_been_found_out(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    sweep = record_sweep("unknown", noise_rate=math.nan, attended=False)
    page = open_page(at(service))
    link = page.get_by_role("row").get_by_role("link")
    expect(link).to_have_text("digits, unknown noise rate")
    service.store.settle(sweep.id, spec=sweep.record.spec, noise_rate=0.31, facts={})
    expect(link).to_have_text("digits, noise rate 0.31")


def test_list_is_filtered_and_read_page_by_page(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    for number in range(26):
        record_sweep(f"digits-{number:02d}", attended=False)
    record_sweep("other", dataset="cifar10", attended=False)
    service.store.ask("digits-03", Verb.PAUSE)
    page = open_page(at(service))
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(25)
    page.get_by_role("link", name="Older").click()
    expect(rows).to_have_count(2)
    expect(rows.last).to_contain_text("digits-00")

    page.get_by_label("State").select_option("paused")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("digits-03")
    page.get_by_label("State").select_option("")
    page.get_by_label("Dataset").fill("cifar10")
    page.get_by_label("Dataset").press("Enter")
    expect(rows).to_have_count(1)
    page.reload()  # the filter is in the address
    expect(page.get_by_label("Dataset")).to_have_value("cifar10")
    expect(rows).to_contain_text("other")
    page.get_by_label("State").select_option("done")
    expect(page.get_by_text("No sweep matches the filter.")).to_be_visible()


# Submitting


def test_sweep_is_submitted_with_the_keyboard_alone(
    service: Served, open_page: OpenPage, picture: Picture
) -> None:
    page = open_page(at(service))
    expect(page.get_by_text("Nothing was submitted yet.")).to_be_visible()
    picture(page, "list-empty")
    press_until(page, "New sweep")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="New sweep", level=1)).to_be_focused()

    for field, text in (("dataset", "digits"), ("noise_rate", "0.4"), ("trials", "12"), ("training-epochs", "3")):
        press_until(page, f"field-{field}")
        page.keyboard.type(text)
    press_until(page, "Submit the sweep")
    expect(page.locator("#plan")).to_contain_text("24 trials will be run.")
    picture(page, "form-filled")
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile("#/sweeps/digits-r40-"))

    (sweep,) = service.store.sweeps()
    assert (sweep.state, sweep.attended, sweep.noise_rate) == (SweepState.QUEUED, False, 0.4)
    spec = SweepSpec.recorded(sweep.spec)
    assert (spec.trials, spec.training.epochs) == (12, 3)
    assert str(sweep.request_key).startswith("page-")
    expect(page.get_by_role("heading", level=1)).to_have_text("digits, noise rate 0.4")


def test_wrong_field_is_explained_beside_it_in_the_words_of_the_api(
    service: Served, open_page: OpenPage, picture: Picture
) -> None:
    wrong = {"dataset": "digits", "noise_rate": 1.4, "space": {"kind": "box", "beta": [9, 3], "lam": [0, 3]}}
    answer = httpx.post(f"{service.url}/api/v1/validate", json=wrong, timeout=60)
    assert answer.status_code == 422
    said = {each["field"]: f"{each['problem']}. {each['remedy']}" for each in answer.json()["errors"]}

    page = open_page(at(service, "new"))
    rate = page.get_by_label("Noise rate", exact=True)
    page.get_by_label("Dataset").fill("digits")
    rate.fill("1.4")
    rate.press("Tab")
    expect(page.locator("#wrong-field-noise_rate")).to_have_text(said["noise_rate"])
    expect(rate).to_have_attribute("aria-invalid", "true")
    expect(rate).to_have_accessible_description(re.compile(re.escape(said["noise_rate"])))
    expect(page.locator("#announcements")).to_have_text(f"Noise rate: {said['noise_rate']}")

    page.get_by_label("Space").fill(json.dumps(wrong["space"]))
    page.get_by_role("button", name="Submit the sweep").click()
    summary = page.locator(".summary")
    expect(summary).to_be_focused()
    expect(summary.get_by_role("listitem")).to_have_text([f"{field}: {text}" for field, text in said.items()])
    picture(page, "form-wrong")
    assert service.store.sweeps() == []

    summary.get_by_role("link").first.click()
    assert focused(page) == "field-noise_rate"
    rate.fill("0.4")
    page.get_by_label("Space").fill("")
    expect(summary).to_be_hidden()
    expect(rate).not_to_have_attribute("aria-invalid", "true")


def test_advanced_field_is_opened_where_it_is_wrong(service: Served, open_page: OpenPage) -> None:
    page = open_page(at(service, "new"))
    page.get_by_label("Dataset").fill("digits")
    page.get_by_label("Noise rate", exact=True).fill("0.4")
    page.get_by_text("Advanced").click()
    page.get_by_label("Priority").fill("urgent")
    page.get_by_text("Advanced").click()
    page.get_by_role("button", name="Submit the sweep").click()
    expect(page.locator("#wrong-field-priority")).to_contain_text("integer")

    page.get_by_label("Priority").fill("7")
    page.get_by_label("Milestones").fill("0.75, 0.5")
    page.get_by_text("Advanced").click()
    page.get_by_role("button", name="Submit the sweep").click()
    expect(page.locator("#wrong-field-training-milestones")).to_have_text("are not ascending. Write [0.5, 0.75].")
    expect(page.locator("#wrong-field-training-milestones")).to_be_visible()


def test_another_like_it_begins_with_the_same_fields(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    spec = SweepSpec(dataset="digits", noise_rate=0.2, supervision="gce", space=GCE_SPACE, trials=8)
    sweep = record_sweep("before", spec=spec.to_json_dict(), supervision="gce", attended=False)
    page = open_page(at(service, f"sweeps/{sweep.id}"))
    page.get_by_role("link", name="Submit another like it").click()
    expect(page.get_by_label("Noise rate", exact=True)).to_have_value("0.2")
    expect(page.get_by_label("Supervision", exact=True)).to_have_value("gce")
    expect(page.get_by_label("Trials", exact=True)).to_have_value("8")
    expect(page.locator("#plan")).to_contain_text("trials will be run.")


def test_all_that_is_wrong_is_said_at_once(service: Served, open_page: OpenPage) -> None:
    page = open_page(at(service, "new"))
    page.get_by_label("Dataset").fill("digits")
    page.get_by_label("Noise rate", exact=True).fill("1.4")
    page.get_by_text("Advanced").click()
    page.get_by_label("Priority").fill("urgent")
    page.get_by_role("button", name="Submit the sweep").click()
    said = page.locator(".summary").get_by_role("listitem")
    expect(said).to_have_text([re.compile("^noise_rate"), re.compile("^priority")])
    expect(page.locator("#wrong-field-noise_rate")).to_contain_text("1")
    page.get_by_label("Noise rate", exact=True).fill("0.4")
    expect(page.locator("#wrong-field-noise_rate")).to_be_hidden()
    expect(page.locator("#wrong-field-priority")).to_contain_text("integer")


@pytest.mark.parametrize(
    ("recorded", "facts", "copied"),
    [
        ({"epochs": 4, "milestones": [24, 36]}, {"train_examples": 1437}, [0.5, 0.75]),
        ({"epochs": 4, "milestones": [12, 36]}, {"train_examples": 1537}, [0.25, 0.75]),  # no batch of one example
        ({"iterations": 90, "milestones": [30]}, {}, [0.33333333]),
        ({"epochs": 4, "milestones": [24, 36]}, {}, None),
        ({"iterations": 2, "milestones": [1, 1]}, {}, None),  # which no shares say
        ({"epochs": 4, "milestones": []}, {}, []),
    ],
)
def test_another_like_it_drops_its_learning_rate_at_the_same_shares_of_whatever_budget(
    recorded: dict[str, Any], facts: dict[str, int], copied: list[float] | None,
    service: Served, record_sweep: RecordSweep, open_page: OpenPage,
) -> None:  # fmt: skip
    training = {**recorded, "batch_size": 128, "milestone_unit": "iterations"}
    spec = SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.2, "training": training})
    sweep = record_sweep("before", spec=spec.to_json_dict(), facts=facts, attended=False)
    page = open_page(at(service, f"new?from={sweep.id}"))
    expect(page.get_by_label("Milestones")).to_be_visible()  # as all that is copied
    expect(page.locator("#plan")).to_contain_text("trials will be run.")
    begun = json.loads(page.get_by_label("The sweep as JSON").inner_text())["training"]
    expected = {**training, "milestones": copied}
    assert begun == {name: value for name, value in expected.items() if name != "milestone_unit" and value is not None}


def test_form_has_every_field_of_a_sweep_with_its_choices(service: Served, open_page: OpenPage) -> None:
    page = open_page(at(service, "new"))
    form = page.evaluate(
        "Object.fromEntries([...document.querySelectorAll('form [name]')]"
        ".map((each) => [each.name, [...(each.options || [])].map((option) => option.value).filter(Boolean)]))"
    )
    fields = dict(leaves(SweepSpec))
    assert set(form) - {"priority"} == set(fields)
    for name, choices in fields.items():
        if choices:
            assert set(form[name]) == choices, name


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    """The fields of a model by dotted name, each with the words that it takes."""
    for name, field in model.model_fields.items():
        parts = get_args(field.annotation) if get_origin(field.annotation) in (Union, types.UnionType) else ()
        inner = [each for each in (field.annotation, *parts) if isinstance(each, type) and issubclass(each, BaseModel)]
        literal = [each for each in (field.annotation, *parts) if get_origin(each) is Literal]
        if inner and name != "space":
            yield from leaves(inner[0], f"{prefix}{name}.")
        else:
            # A number that may be a word too is typed.
            words = {str(word) for each in literal for word in get_args(each)} if name != "noise_rate" else set()
            yield f"{prefix}{name}", words


# One sweep


def test_page_of_a_sweep_follows_the_store(
    service: Served, running_sweep: RecordedSweep, open_page: OpenPage, picture: Picture
) -> None:
    page = open_page(at(service, f"sweeps/{running_sweep.id}"))
    points = page.locator(".map .point")
    board = page.get_by_role("table", name=re.compile("Leader board"))
    log = page.get_by_role("region", name="Log, newest first").get_by_role("listitem")
    expect(points).to_have_count(8)
    expect(points.locator(".done")).to_have_count(3)
    expect(points.locator(".running")).to_have_count(1)
    expect(points.locator(".best")).to_have_count(1)
    expect(board.get_by_role("row").nth(1)).to_contain_text(re.compile(r"β = 16, λ = 1.*best so far.*0\.950"))
    expect(board.get_by_role("row").last).to_contain_text(re.compile(r"cce.*baseline.*0\.610"))
    expect(page.locator(".map .axis-name")).to_have_text(["λ, emphasis focus", "β, emphasis spread", "intact accuracy"])
    expect(page.get_by_role("img", name=re.compile("^Map of intact accuracy over λ.*Best: β = 16"))).to_be_visible()
    picture(page, "sweep-running-wide")
    lines = log.count()

    running_sweep.searched((14, 0.8), 0.975)
    expect(points).to_have_count(9)
    expect(board.get_by_role("row").nth(1)).to_contain_text("β = 14, λ = 0.8")
    expect(page.locator("#announcements")).to_have_text("New best: β = 14, λ = 0.8, 0.975.")
    expect(log).to_have_count(lines + 2)
    expect(log.first).to_contain_text("Trial 9 done, 0.975")
    expect(page.locator(".found-strip")).to_contain_text(re.compile(r"β14λ0\.8.*0\.975.*CCE0\.610.*\+0\.365"))

    running_sweep.done()
    expect(page.locator(".standing")).to_contain_text("done")
    expect(page.locator("#announcements")).to_have_text("The sweep is done.")
    expect(page).to_have_title("digits, noise rate 0.4: done – Emphasis")


def test_trial_shows_its_curve_from_the_map_and_from_the_table(
    service: Served, running_sweep: RecordedSweep, open_page: OpenPage
) -> None:
    page = open_page(at(service, f"sweeps/{running_sweep.id}"))
    title = page.locator("#curve-title")
    expect(title).to_have_text("Trial 2: β = 16, λ = 1")  # the best one's, unless another is chosen
    page.locator(".point[data-trial='1']").click()
    expect(title).to_have_text("Trial 1: β = 12, λ = 0.5")
    expect(page.locator(".curve .line.intact").first).to_be_visible()

    button = page.get_by_role("button", name="Show the curve of trial 4")
    button.focus()
    page.keyboard.press("Enter")
    expect(title).to_have_text("Trial 4: β = 2, λ = 1.2")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(button).to_be_focused()
    expect(page.get_by_role("img", name=re.compile("Accuracies over 4 epochs.*0.720"))).to_be_visible()


def test_curve_of_a_few_epochs_marks_whole_ones(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    sweep = record_sweep("short", attended=False)
    run(sweep)
    sweep.searched((12, 0.5), None, state=TrialState.RUNNING)
    service.store.record_epochs("short-0000", [EpochRecord("short-0000", 2, 24, 1.0, 0.1, 0.5, 0.5, 0.5, 1.0)])
    page = open_page(at(service, "sweeps/short"))
    expect(page.get_by_role("img", name=re.compile("Accuracies over 2 epochs"))).to_be_visible()
    expect(page.locator(".curve text[text-anchor=middle]")).to_have_text(["0", "1", "2", "epoch"])


def test_curve_that_is_asked_for_is_seen_and_told(
    service: Served, running_sweep: RecordedSweep, open_page: OpenPage
) -> None:
    page = open_page(at(service, f"sweeps/{running_sweep.id}"), width=390, height=600)
    button = page.get_by_role("button", name="Show the curve of trial 1")
    button.click()
    expect(page.locator("#curve-title")).to_be_in_viewport()
    expect(page.locator("#announcements")).to_have_text("Learning curve of Trial 1: β = 12, λ = 0.5")
    expect(button).to_be_focused()


def test_older_trials_are_shown_with_the_focus_on_the_first_of_them(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    sweep = record_sweep("long", attended=False)
    for number in range(52):
        sweep.searched((number, 0.5), 0.9)
    page = open_page(at(service, "sweeps/long"))
    page.get_by_role("button", name="Show 2 older trials").press("Enter")
    expect(page.get_by_role("button", name="Show the curve of trial 1", exact=True)).to_be_focused()


def test_curve_and_log_come_once_the_service_answers_again(
    service: Served, done_sweep: RecordedSweep, open_page: OpenPage
) -> None:
    page = open_page(at(service, f"sweeps/{done_sweep.id}"))
    title = page.locator("#curve-title")
    expect(title).to_have_text("Trial 1: β = 16, λ = 1")
    refused_once(page, "**/trials/0/epochs")
    page.locator(".point[data-trial='0']").click()
    expect(title).to_have_text("Trial 0: β = 12, λ = 0.5")

    refused_once(page, "**/events?**")
    page.reload()
    log = page.get_by_role("region", name="Log, newest first").get_by_role("listitem")
    expect(log.first).to_contain_text("done")
    expect(log.last).to_contain_text("submitted")


def refused_once(page: Any, address: str) -> None:
    """Have the first request for an address answered as to somebody who asks too often."""
    problem = json.dumps({"title": "Too many requests", "detail": "Ask again in 1 s."})
    answer = {"status": 429, "body": problem, "content_type": "application/problem+json"}
    page.route(address, lambda route: route.fulfill(**answer), times=1)


def test_what_has_not_changed_is_not_read_again(
    service: Served, done_sweep: RecordedSweep, running_sweep: RecordedSweep, open_page: OpenPage
) -> None:
    page = open_page(at(service, f"sweeps/{done_sweep.id}"))
    log = page.get_by_role("region", name="Log, newest first").get_by_role("listitem")
    expect(log.last).to_contain_text("submitted")
    expect(page.locator("#curve-title")).to_be_visible()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url.partition("/api/v1/sweeps/")[2]))
    for _ in range(2):  # what follows from the first is asked before the second
        look_again(page, done_sweep)
    assert set(asked) == {done_sweep.id, f"{done_sweep.id}/figures"}

    page.goto(at(service, f"sweeps/{running_sweep.id}"))
    expect(page.locator(".point[data-trial='7'] .running")).to_have_count(1)
    asked.clear()
    running_sweep.searched((14, 0.8), 0.975)
    expect(page.locator(".point[data-trial='9'] .best")).to_have_count(1)
    # The first that had not finished is number 7.
    assert {each for each in asked if "/trials?" in each} == {f"{running_sweep.id}/trials?limit=500&after=6"}


def look_again(page: Any, sweep: RecordedSweep) -> None:
    """Have the page of a sweep read anew, as when somebody comes back to it."""
    with page.expect_response(f"**/api/v1/sweeps/{sweep.id}"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")


def test_of_thousands_of_trials_and_lines_the_newest_are_shown_and_that_is_said(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    sweep = record_sweep("large", attended=False)
    run(sweep)
    sweep.searched((12, 0.5), 0.5)
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5002) INSERT INTO "
    same = "configuration + i, repeat, supervision, hyperparameters, params, noise_rate, seed, noise_seed, state"
    with service.store._writing() as session:
        session.execute(
            sqlalchemy.text(
                f"{numbers} trials (id, sweep_id, number, phase, {same.replace(' + i', '')}) "
                f"SELECT 'large-' || i, sweep_id, i, phase, {same} FROM trials, n WHERE number = 0"
            )
        )
        session.execute(
            sqlalchemy.text(
                f"{numbers} events (sweep_id, number, at, level, kind, message, data) "
                "SELECT sweep_id, 10 + i, at, level, 'log', 'line ' || i, '{}' FROM events, n WHERE number = 1"
            )
        )
    page = open_page(at(service, "sweeps/large"))

    expect(page.get_by_text("Map and table have the newest 5,000 of 5,003 trials.")).to_be_visible()
    rows = page.get_by_role("table", name=re.compile("Trials")).get_by_role("row")
    expect(rows.nth(1)).to_contain_text("5002")
    expect(page.get_by_role("button", name="Show 4950 older trials")).to_be_visible()
    log = page.get_by_role("region", name="Log, newest first").get_by_role("listitem")
    expect(log.first).to_contain_text("line 5002")
    expect(log).to_have_count(500)
    with page.expect_request("**/events?**") as asked:
        page.reload()
    assert asked.value.url.endswith(f"events?after={10 + 5002 - 500}")


def test_buttons_do_what_the_state_allows(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage, picture: Picture
) -> None:
    sweep = record_sweep("steered", attended=False)
    page = open_page(at(service, f"sweeps/{sweep.id}"))
    buttons = page.locator(".actions > .buttons button")

    expect(buttons).to_have_text(["Pause", "Cancel"])
    page.get_by_role("button", name="Pause").press("Enter")
    expect(buttons).to_have_text(["Resume", "Cancel", "Delete"])
    assert sweep.record.state is SweepState.PAUSED
    expect(buttons.first).to_be_focused()  # the one that was pressed is gone
    page.get_by_role("button", name="Resume").click()
    expect(buttons).to_have_text(["Pause", "Cancel"])
    assert sweep.record.state is SweepState.QUEUED

    page.get_by_role("button", name="Cancel").click()
    dialog = page.get_by_role("dialog", name="Cancel this sweep?")
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    picture(page, "dialog", whole=False)
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert sweep.record.state is SweepState.QUEUED
    page.get_by_role("button", name="Cancel").click()
    dialog.get_by_role("button", name="Cancel the sweep").click()
    expect(buttons).to_have_text(["Delete"])
    assert sweep.record.state is SweepState.CANCELLED

    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete the sweep").click()
    expect(page.get_by_text("Nothing was submitted yet.")).to_be_visible()
    assert service.store.sweeps() == []


def test_what_was_not_answered_may_not_have_been_done(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    record_sweep("steered", attended=False)
    page = open_page(at(service, "sweeps/steered"), ours=False)
    page.route("**/pause", lambda route: route.abort())
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("alert")).to_contain_text("may not have been done. Try again")


def test_what_is_refused_meanwhile_is_said(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    sweep = record_sweep("steered", attended=False)
    page = open_page(at(service, f"sweeps/{sweep.id}"))
    pause = page.get_by_role("button", name="Pause")
    expect(pause).to_be_visible()
    before = httpx.get(f"{service.url}/api/v1/sweeps/steered", timeout=60).text
    page.route("**/api/v1/sweeps/steered", lambda route: route.fulfill(body=before, content_type="application/json"))
    service.store.ask(sweep.id, Verb.CANCEL)  # and the page does not hear of it
    pause.click()
    refusal = page.get_by_role("alert")
    expect(refusal).to_contain_text("It was cancelled, which is final")
    with page.expect_response("**/api/v1/sweeps/steered"):
        pass  # it goes on reading, which does not take the reason away
    expect(refusal).to_contain_text("It was cancelled, which is final")


def test_finished_sweep_has_figures_and_its_export(
    service: Served, done_sweep: RecordedSweep, record_sweep: RecordSweep, open_page: OpenPage, picture: Picture
) -> None:
    newer = record_sweep("newer")
    newer.searched((8, 0.5), 0.99)
    newer.done()
    write_figures(service.store, done_sweep.id, service.service.home.figures(done_sweep.id))
    page = open_page(at(service, f"sweeps/{done_sweep.id}"))
    image = page.get_by_role("img", name="Figure: objective map")
    image.scroll_into_view_if_needed()
    expect(image).to_have_js_property("complete", True)
    assert image.evaluate("image => image.naturalWidth") > 500
    board = page.get_by_role("table", name=re.compile("Leader board"))
    expect(board.get_by_role("row").nth(1)).to_contain_text(re.compile("recommended, 3 fresh seeds.*0.960.*± 0.006"))
    expect(board.get_by_role("row").nth(2)).to_contain_text("tied with the best")
    page.evaluate("document.querySelectorAll('img').forEach((image) => { image.loading = 'eager'; })")
    # Not `wait_for_function`: it waits by evaluating text, which the page's policy forbids.
    for one in page.locator("img").all():
        expect(one).to_have_js_property("complete", True)
    picture(page, "sweep-done-wide")

    export = page.get_by_role("link", name="Export the recommendation")
    found = httpx.get(service.url + "/" + str(export.get_attribute("href")), timeout=60).json()
    assert (found["provenance"]["sweep_id"], found["recommended"]["beta"]) == (done_sweep.id, 16)


def test_sweep_that_failed_says_why_and_that_nothing_has_come_of_it(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage, picture: Picture
) -> None:
    sweep = record_sweep("failed", attended=False)
    run(sweep)
    sweep.searched((12, 0.5), None)
    sweep.store.finish_sweep(sweep.id, SweepState.FAILED, "All trials failed. Lower `training.learning_rate`.")
    page = open_page(at(service, "sweeps/failed"))
    for place in (".standing", ".log"):
        expect(page.locator(place).locator("code")).to_have_text("training.learning_rate")
    for place in (".leaderboard", ".map"):
        expect(page.locator(place)).to_contain_text("No configuration has finished.")
    expect(page.locator(".curve")).to_contain_text("No epoch was evaluated.")
    expect(page.locator("main")).not_to_contain_text("yet.")
    picture(page, "sweep-failed")


def test_map_gives_the_best_the_brightest_colour_and_marks_cce_above_it(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage, picture: Picture
) -> None:
    equal = record_sweep("equal", attended=False)
    for beta in (8, 12):
        equal.searched((beta, 1), 0.9)
    page = open_page(at(service, "sweeps/equal"))
    brightest = "rgb(253 231 37)"
    expect(page.locator(".point .best")).to_have_attribute("fill", brightest)
    expect(page.locator(".point .done")).to_have_attribute("fill", brightest)
    expect(page.locator(".map text.cce")).to_have_count(0)

    worse = record_sweep("worse", attended=False)
    for beta, reached in ((8, 0.8), (12, 0.9)):
        worse.searched((beta, 1), reached)
    worse.baseline(0.97)
    page.goto(at(service, "sweeps/worse"))
    expect(page.locator(".map text.cce")).to_have_text(["CCE", "above"])
    # As in the figure the colours begin in the middle of the two.
    expect(page.locator(".bar text")).to_have_text(["0.86", "0.88", "CCE", "above", "intact accuracy"])
    picture(page, "sweep-below-cce")


def test_emphasis_that_was_not_searched_is_named_beside_what_was(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    sweep = record_sweep("line", attended=False, spec={"hyperparameters": {"lam": 0.5}})
    sweep.searched(Configuration.of("gr", beta=12), 0.9)
    page = open_page(at(service, "sweeps/line"))
    expect(page.locator(".found-strip")).to_contain_text("β12λ, fixed0.5intact accuracy0.900")


def test_other_supervisions_are_drawn_over_what_they_search(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage, picture: Picture
) -> None:
    gce = record_sweep("gce", supervision="gce", spec={"space": GCE_SPACE}, attended=False)
    for q, objective in ((0.1, 0.82), (0.3, 0.86), (0.7, 0.9), (0.95, None)):
        gce.searched(Configuration.of("gce", q=q), objective)
    gce.baseline(0.7)
    words = record_sweep("forward", supervision="forward", attended=False)
    for matrix in ("true", "estimated"):
        words.searched(Configuration.of("forward", matrix=matrix), 0.9)

    page = open_page(at(service, f"sweeps/{gce.id}"))
    expect(page.locator(".map .axis-name")).to_have_text(["q", "intact accuracy"])
    expect(page.locator(".map .point")).to_have_count(4)
    expect(page.locator(".map text.cce")).to_have_text("CCE 0.700")
    picture(page, "sweep-gce")
    page.goto(at(service, f"sweeps/{words.id}"))
    expect(page.get_by_text("What is searched is no number: see the trials below.")).to_be_visible()
    expect(page.get_by_role("table", name=re.compile("Trials"))).to_contain_text("forward, matrix = estimated")


# Everybody's page


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_view_is_accessible(
    scheme: str, service: Served, running_sweep: RecordedSweep, done_sweep: RecordedSweep,
    record_sweep: RecordSweep, open_page: OpenPage, picture: Picture,
) -> None:  # fmt: skip
    for state in (SweepState.DONE, SweepState.FAILED):
        service.store.finish_sweep(record_sweep(f"that-{state}", attended=False).id, state, "a reason")
    service.store.ask(record_sweep("that-paused", attended=False).id, Verb.PAUSE)
    service.store.ask(record_sweep("that-cancelled", attended=False).id, Verb.CANCEL)
    page = open_page(at(service), scheme=scheme)
    expect(page.get_by_role("row")).to_have_count(7)
    assert page.evaluate(AUDIT) == []
    picture(page, f"list-{scheme}")

    page.goto(at(service, "new"))
    page.get_by_text("Advanced").click()
    page.get_by_label("Dataset").fill("no such data")
    page.get_by_role("button", name="Submit the sweep").click()
    expect(page.locator(".summary")).to_be_visible()
    assert page.evaluate(AUDIT) == []
    picture(page, f"form-{scheme}")

    for sweep in (running_sweep, done_sweep):
        page.goto(at(service, f"sweeps/{sweep.id}"))
        expect(page.locator("#curve-title")).to_contain_text("Trial")
        page.get_by_text("What was asked for").click()
        assert page.evaluate(AUDIT) == []
        picture(page, f"sweep-{sweep.record.state}-{scheme}")
    page.get_by_role("button", name="Delete").click()
    assert page.evaluate(AUDIT) == []


def test_narrow_screen_needs_no_sideways_scrolling(
    service: Served, running_sweep: RecordedSweep, done_sweep: RecordedSweep, record_sweep: RecordSweep,
    open_page: OpenPage, picture: Picture,
) -> None:  # fmt: skip
    record_sweep("long-name", dataset=2 * "animals_collected_by_volunteers", attended=False)
    page = open_page(at(service), width=320, height=640)
    expect(page.get_by_role("row")).to_have_count(4)
    page.goto(at(service, "sweeps/long-name"))
    expect(page.get_by_role("heading", level=1)).to_contain_text("animals")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    for name, place in (("list", ""), ("form", "new"), ("sweep", f"sweeps/{running_sweep.id}")):
        page.goto(at(service, place))
        if name == "list":
            expect(page.get_by_role("row")).to_have_count(4)
        if name == "sweep":
            expect(page.locator(".map .point").first).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        page.set_viewport_size({"width": 390, "height": 844})
        picture(page, f"{name}-narrow")
        page.set_viewport_size({"width": 320, "height": 640})


def test_focus_is_seen_and_the_content_can_be_skipped_to(
    service: Served, running_sweep: RecordedSweep, open_page: OpenPage
) -> None:
    page = open_page(at(service, f"sweeps/{running_sweep.id}"))
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the content"
    page.keyboard.press("Enter")
    expect(page.locator("#view")).to_be_focused()
    page.keyboard.press("Tab")
    assert focused(page) == "Sweeps"
    press_until(page, "Pause")
    style = "getComputedStyle(document.activeElement)"
    assert page.evaluate(f"{style}.outlineStyle") == "solid"
    assert page.evaluate(f"parseFloat({style}.outlineWidth)") >= 2


def test_nothing_that_is_recorded_becomes_markup(
    service: Served, record_sweep: RecordSweep, open_page: OpenPage
) -> None:
    evil = "<img src=x onerror=alert(1)>"
    sweep = record_sweep("evil", dataset=evil, attended=False)
    sweep.searched((12, 0.5), None)
    service.store.add_event(sweep.id, evil)
    service.store.finish_sweep(sweep.id, SweepState.FAILED, evil)
    page = open_page(at(service, "sweeps/evil"))
    expect(page.locator(".log")).to_contain_text(evil)
    expect(page.get_by_role("heading", level=1)).to_contain_text(evil)
    assert page.locator("main img").count() == 0


def test_page_is_served_so_that_only_its_own_files_can_run(service: Served) -> None:
    answer = httpx.get(service.url, timeout=60)
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert {policy[each] for each in ("script-src", "style-src", "img-src", "connect-src")} == {"'self'"}
    assert policy["frame-ancestors"] == "'none'"
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son[a-z]+=|\sstyle=", answer.text)
    for file in re.findall(r'(?:src|href)="(page/[^"]+)"', answer.text):
        found = httpx.get(f"{service.url}/{file}", timeout=60)
        assert (found.status_code, found.headers["x-content-type-options"]) == (200, "nosniff"), file
        again = httpx.get(f"{service.url}/{file}", headers={"If-None-Match": found.headers["etag"]}, timeout=60)
        assert again.status_code == 304
    assert httpx.get(f"{service.url}/page/__init__.py", timeout=60).status_code == 404


def test_missing_sweep_is_said_and_not_asked_for_again(
    service: Served, running_sweep: RecordedSweep, open_page: OpenPage
) -> None:
    page = open_page(at(service, "sweeps/nothing"))
    expect(page.get_by_role("alert")).to_contain_text("no such sweep")

    page.goto(at(service, f"sweeps/{running_sweep.id}"))
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    running_sweep.done()
    service.store.delete_sweep(running_sweep.id)
    look_again(page, running_sweep)
    expect(page.get_by_role("heading")).to_have_text(["No such sweep"])
    expect(page.get_by_role("alert")).to_contain_text("no such sweep")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.get_by_role("link", name="All sweeps").click()
    expect(page.get_by_text("Nothing was submitted yet.")).to_be_visible()
    assert not [url for url in asked if running_sweep.id in url]


def test_who_is_not_logged_in_is_asked_for_a_token_and_comes_back(
    store: Store, tmp_path: Path, record_sweep: RecordSweep, open_page: OpenPage, picture: Picture
) -> None:
    sweep = record_sweep("secret", attended=False)

    def find(hash: str) -> Identity | None:
        record = store.tokens.find(hash)
        return None if record is None else Identity(record.name, record.role)

    guard = Guard(find, lambda: True, AllowedHosts("127.0.0.1"))
    routes = [*page_routes(), *login_routes(guard)]
    with served(store, tmp_path, pages=routes, open_requests=OPEN_REQUESTS, login_path=LOGIN_PATH) as service:
        page = open_page(at(service, f"sweeps/{sweep.id}"))
        page.wait_for_url(re.compile("/login"))
        page.get_by_label("Token").fill(service.token("ada", Role.READER))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("digits")

        # Who may only read is not offered what would be refused.
        expect(page.get_by_text("ada (reads only)")).to_be_visible()
        expect(page.get_by_role("button")).to_have_text(["Log out"])
        expect(page.get_by_role("link", name="New sweep")).to_have_count(0)
        picture(page, "reader")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(re.compile("/login"))

        page.goto(at(service, f"sweeps/{sweep.id}"))
        page.get_by_label("Token").fill(service.token("bea"))
        page.keyboard.press("Enter")
        expect(page.get_by_text("bea", exact=True)).to_be_visible()
        pause = page.get_by_role("button", name="Pause")
        expect(pause).to_be_visible()
        store.tokens.revoke("bea")
        pause.click()
        page.wait_for_url(re.compile(r"/login\?next=%2F%23%2Fsweeps%2Fsecret"))
        page.get_by_label("Token").fill(service.token("cleo"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_contain_text("digits")

        # What was typed is there again.
        page.goto(at(service, "new"))
        expect(page.get_by_label("Supervision", exact=True).get_by_role("option")).not_to_have_count(1)
        page.get_by_text("Advanced").click()
        for entered in (page.get_by_label("Fetch missing files").check, page.get_by_label("Dataset").focus):
            with page.expect_response("**/validate"):
                entered()
        store.tokens.revoke("cleo")
        page.keyboard.type("digits")
        page.keyboard.press("Tab")
        page.wait_for_url(re.compile("/login"))
        page.get_by_label("Token").fill(service.token("dora"))
        page.keyboard.press("Enter")
        expect(page.get_by_label("Dataset")).to_have_value("digits")
        expect(page.get_by_label("Fetch missing files")).to_be_visible()
        expect(page.get_by_label("Fetch missing files")).to_be_checked()

        # But not for the next who logs in here.
        page.get_by_label("Dataset").fill("cifar10")
        page.get_by_role("button", name="Log out").click()
        page.wait_for_url(re.compile("/login"))
        page.get_by_label("Token").fill(service.token("eve"))
        page.keyboard.press("Enter")
        expect(page.get_by_text("eve", exact=True)).to_be_visible()
        page.goto(at(service, "new"))
        expect(page.get_by_label("Supervision", exact=True).get_by_role("option")).not_to_have_count(1)
        expect(page.get_by_label("Dataset")).to_have_value("")
        page.close()


def test_what_was_sent_without_an_answer_is_no_second_sweep_after_a_reload(
    service: Served, store: Store, open_page: OpenPage
) -> None:
    page = open_page(at(service, "new"), ours=False)
    page.get_by_label("Dataset").fill("digits")
    page.get_by_label("Noise rate").fill("0.4")

    def lose_the_answer(route: Any) -> None:
        route.fetch()
        route.abort()

    page.route("**/api/v1/sweeps", lose_the_answer)
    page.get_by_role("button", name="Submit the sweep").click()
    expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("No answer")
    assert len(store.sweeps()) == 1
    page.unroute("**/api/v1/sweeps")
    page.reload()
    expect(page.get_by_label("Dataset")).to_have_value("digits")
    page.get_by_role("button", name="Submit the sweep").click()
    page.wait_for_url(re.compile("/#/sweeps/"))
    assert len(store.sweeps()) == 1
