"""What a reader sees of a recorded sweep in MLflow's own pages, behind the gateway, in a real Chromium."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import PATIENCE
from conftest import OpenPage
from recorded_sweeps import RecordedSweep
from serving import GatedMlflow
from serving import served

from search.home import Home
from search.parent_summary import summarise
from search.reports.figures import write_figures
from search.service.allowed_hosts import AllowedHosts
from search.service.guard import Guard
from search.service.identity import Identity
from search.service.mlflow_gateway import gateway
from search.service.tokens import new_token
from search.store import Role
from search.store import Store
from search.tracking import Projection
from search.tracking.best_view import NAME
from search.tracking.interface import direct_run_url

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright (extra dev) is not installed")
sync_api.expect.set_options(timeout=PATIENCE)
expect = sync_api.expect

READER = Identity("rob", Role.READER)
RUN_NAME = "β=12.25 λ=0.5 (0.958) digits r=0.4"

# As many letters of a link in the list of runs as its column has room for, in this browser's font.
VISIBLE_TEXT = """(link) => {
    const text = document.createTreeWalker(link, NodeFilter.SHOW_TEXT).nextNode();
    const end = link.closest('.ag-cell').getBoundingClientRect().right;
    const range = document.createRange();
    let length = 0;
    for (; length < text.length; length += 1) {
        range.setStart(text, 0);
        range.setEnd(text, length + 1);
        if (range.getBoundingClientRect().right > end) break;
    }
    return text.data.slice(0, length);
}"""

Picture = Callable[..., None]


@dataclass(frozen=True)
class Recorded:
    """A finished sweep as MLflow serves it.

    Args:
        address: Of MLflow's pages.
        experiment: MLflow's id of the experiment.
        parent: Page of the sweep's run.
    """

    address: str
    experiment: str
    parent: str


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    home = Home.resolve(tmp_path_factory.mktemp("home"))
    server = GatedMlflow(home.path)
    try:
        server.wait()  # first, so that the tables are made once
        guard = Guard(lambda hash: READER, lambda: True, AllowedHosts("127.0.0.1"))
        with served(gateway(server.address, guard)) as address, Store.open(home.store_url) as store:
            parent = record(store, home, address)
            from mlflow import MlflowClient

            experiment = MlflowClient(home.tracking_uri).get_experiment_by_name("emphasis/digits")
            yield Recorded(address, experiment.experiment_id, parent)
    finally:
        server.kill()


def record(store: Store, home: Home, address: str) -> str:
    """Record a finished sweep, with its figures, in the store and in MLflow; the page of its run."""
    id = "digits-r40-260101-120000-3f9a1c"
    store.create_sweep(
        id=id,
        spec={"space": {"kind": "kappa"}, "transform": "exp", "normalise": "batch", "noise_model": "symmetric"},
        dataset="digits",
        noise_rate=0.4,
        backbone="mlp",
        supervision="gr",
        data_hash="data",
        versions={"emphasis": "0.1.0"},
    )
    sweep = RecordedSweep(store, id)
    sweep.searched((12.25, 0.5), 0.95)
    sweep.searched((16, 1.5), 0.90)
    sweep.baseline(0.61)
    sweep.confirmed((12.25, 0.5), 0.958)
    sweep.done()
    write_figures(store, id, home.figures(id))
    mlflow = Projection(store, home.tracking_uri, home.artifact_root, lambda id: summarise(store, home, id))
    mlflow.sync_sweep(id)
    cursor = store.tracking.cursor(id)
    assert cursor is not None
    return direct_run_url(address, cursor.run_id)


def logged_in(open_page: OpenPage, recorded: Recorded) -> Any:
    """The list of runs, as somebody has it who has closed MLflow's assistant once and asked for nothing else."""
    closed = {"name": "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "value": "true"}
    kept = {"cookies": [], "origins": [{"origin": recorded.address, "localStorage": [closed]}]}
    page = open_page(recorded.address, width=1500, height=950, ours=False, storage_state=kept)
    page.get_by_label("Token").fill(new_token())
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"{recorded.address}/**")
    page.goto(f"{recorded.address}/#/experiments/{recorded.experiment}/runs")
    return page


def test_list_of_runs_shows_the_best_pair_in_the_name_and_in_a_saved_view_as_columns(
    recorded: Recorded, open_page: OpenPage, picture: Picture
) -> None:
    page = logged_in(open_page, recorded)
    name = page.get_by_role("link", name=RUN_NAME)
    expect(name).to_be_visible()
    picture(page, "mlflow-runs-unconfigured")
    assert name.evaluate(VISIBLE_TEXT).startswith("β=12.25 λ=0.5")

    page.get_by_role("button", name="Views").click()
    page.get_by_role("menuitem", name=NAME).click()
    for column, value in (("best.beta", "12.25"), ("best.lambda", "0.5"), ("best.intact_train_accuracy", "0.9580")):
        expect(page.locator(f".ag-header-cell[col-id='tags.`{column}`']")).to_have_text(column)
        expect(page.locator(f".ag-cell[col-id='tags.`{column}`']")).to_have_text(value)
    picture(page, "mlflow-runs-best-view")


def test_parent_shows_its_description_and_figures_and_leads_to_its_trials_curves(
    recorded: Recorded, open_page: OpenPage, picture: Picture
) -> None:
    page = logged_in(open_page, recorded)
    page.get_by_role("link", name=RUN_NAME).click()
    expect(page.get_by_text("Recommended: β = 12.25, λ = 0.5")).to_be_visible()
    expect(page.get_by_role("cell", name="best.intact_train_accuracy")).to_be_visible()
    picture(page, "mlflow-parent")

    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("objective_map.png").click()
    image = page.locator("main img, [class*=image] img").first
    expect(image).to_be_visible()
    assert image.evaluate("image => image.naturalWidth") > 500
    picture(page, "mlflow-figure")

    page.goto(recorded.parent)
    page.get_by_role("link", name="β=12.25 λ=0.5 seed 0").click()
    page.get_by_role("tab", name="Model metrics").click()
    expect(page.get_by_text("intact_train_accuracy").first).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer path.js-line").first).to_be_visible()
    picture(page, "mlflow-curves")
