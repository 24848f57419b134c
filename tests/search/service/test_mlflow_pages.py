"""What somebody sees of a recorded sweep in MLflow's own pages, in a real Chromium."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from conftest import PATIENCE
from conftest import OpenPage
from recorded_sweeps import RecordedSweep

from search.home import Home
from search.orchestrator import summarise
from search.reports.figures import write_figures
from search.store import Store
from search.tracking import Projection
from search.tracking import ui_command
from search.tracking.best_view import NAME
from search.tracking.best_view import run_list_url

sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright (extra dev) is not installed")
sync_api.expect.set_options(timeout=PATIENCE)
expect = sync_api.expect

Picture = Callable[..., None]


@dataclass(frozen=True)
class Recorded:
    """A finished sweep as MLflow serves it, at the address of its pages."""

    address: str
    parent: str
    experiment: str

    @property
    def runs(self) -> str:
        return f"{self.address}/#/experiments/{self.experiment}/runs"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Recorded]:
    home = Home.resolve(tmp_path_factory.mktemp("home"))
    with Store.open(home.store_url) as store:
        store.create_sweep(
            id="digits-r40-260101-120000-3f9a1c",
            spec={"space": {"kind": "kappa"}, "transform": "exp", "normalise": "batch", "noise_model": "symmetric"},
            dataset="digits",
            noise_rate=0.4,
            backbone="mlp",
            supervision="gr",
            data_hash="data",
            versions={"emphasis": "0.1.0"},
        )
        (record,) = store.sweeps()
        sweep = RecordedSweep(store, record.id)
        sweep.searched((12.25, 0.5), 0.95)
        sweep.searched((16, 1.5), 0.90)
        sweep.baseline(0.61)
        sweep.confirmed((12.25, 0.5), 0.958)
        sweep.done()
        write_figures(store, sweep.id, home.figures(sweep.id))
        record_in_mlflow = Projection(
            store, home.tracking_uri, home.artifact_root, lambda sweep_id: summarise(store, home, sweep_id)
        )
        record_in_mlflow.sync_sweep(sweep.id)
        address = f"http://127.0.0.1:{free_port()}"
        link = str(record_in_mlflow.sweep_url(sweep.id, address))
    found = re.search(r"experiments/(\d+)/runs/(\w+)", link)
    assert found
    server = serve(home, address)
    yield Recorded(address, parent=link, experiment=found[1])
    server.send_signal(signal.SIGTERM)
    server.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def serve(home: Home, address: str) -> subprocess.Popen[bytes]:
    """MLflow's server on the recorded SQLite, as `emphasis ui` starts it."""
    command, environment = ui_command(home.tracking_uri, home.artifact_root, port=int(address.rpartition(":")[2]))
    output = (home.path / "mlflow.log").open("wb")
    server = subprocess.Popen(command, env=environment, cwd=home.path, stdout=output, stderr=subprocess.STDOUT)
    while True:
        assert server.poll() is None, (home.path / "mlflow.log").read_text()
        try:
            urllib.request.urlopen(f"{address}/health", timeout=60).close()
            return server
        except OSError:
            time.sleep(0.1)


def open_in(open_page: OpenPage, recorded: Recorded) -> Any:
    """The list of runs, as somebody has it who has closed MLflow's assistant once and asked for nothing else."""
    closed = {"name": "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "value": "true"}
    kept = {"cookies": [], "origins": [{"origin": recorded.address, "localStorage": [closed]}]}
    return open_page(recorded.runs, width=1500, height=950, ours=False, storage_state=kept)


def cells(page: Any, column: str) -> Any:
    """The cells of a column of the list of runs."""
    return page.locator(f".ag-cell[col-id='{column}']")


def test_list_of_runs_shows_the_best_pair_in_the_name_and_in_a_saved_view_as_columns(
    recorded: Recorded, open_page: OpenPage, picture: Picture
) -> None:
    page = open_in(open_page, recorded)
    name = page.get_by_role("link", name="β=12.25 λ=0.5 (0.958) digits r=0.4")
    expect(name).to_be_visible()
    picture(page, "mlflow-runs-unconfigured")
    # As much of the name as fits into MLflow's column, in pixels of this browser's font.
    seen = name.evaluate(
        """(link) => {
            const range = document.createRange();
            const text = document.createTreeWalker(link, NodeFilter.SHOW_TEXT).nextNode();
            let length = 0;
            const end = link.closest('.ag-cell').getBoundingClientRect().right;
            for (; length < text.length; length += 1) {
                range.setStart(text, 0); range.setEnd(text, length + 1);
                if (range.getBoundingClientRect().right > end) break;
            }
            return text.data.slice(0, length);
        }"""
    )
    assert seen.startswith("β=12.25 λ=0.5")

    page.get_by_role("button", name="Views").click()
    page.get_by_role("menuitem", name=NAME).click()
    expect(cells(page, "tags.`best.beta`")).to_have_text("12.25")
    expect(cells(page, "tags.`best.lambda`")).to_have_text("0.5")

    page.goto("about:blank")
    page.goto(run_list_url(recorded.address, recorded.experiment))
    for column, value in (("best.beta", "12.25"), ("best.lambda", "0.5"), ("best.intact_train_accuracy", "0.9580")):
        expect(page.locator(f".ag-header-cell[col-id='tags.`{column}`']")).to_have_text(column)
        expect(cells(page, f"tags.`{column}`")).to_have_text(value)
    picture(page, "mlflow-runs-best-view")


def test_parent_shows_its_description_and_figures_and_leads_to_its_trials_curves(
    recorded: Recorded, open_page: OpenPage, picture: Picture
) -> None:
    page = open_in(open_page, recorded)
    page.get_by_role("link", name="β=12.25 λ=0.5 (0.958) digits r=0.4").click()
    expect(page.get_by_text("Recommended: β = 12.25, λ = 0.5")).to_be_visible()
    expect(page.get_by_role("cell", name="best.beta")).to_be_visible()
    picture(page, "mlflow-parent")

    page.get_by_role("tab", name="Artifacts").click()
    page.get_by_text("objective_map.png").click()
    image = page.locator("main img, [class*=image] img").first
    expect(image).to_be_visible()
    picture(page, "mlflow-figure")

    page.goto(recorded.parent)
    page.get_by_role("link", name="β=12.25 λ=0.5 seed 0").click()
    page.get_by_role("tab", name="Model metrics").click()
    expect(page.get_by_text("intact_train_accuracy").first).to_be_visible()
    expect(page.locator(".js-plotly-plot .scatterlayer path.js-line").first).to_be_visible()
    picture(page, "mlflow-curves")
