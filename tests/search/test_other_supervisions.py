"""Whole sweeps of other supervisions than GR, an installed package's among them, run by a real `emphasis` process."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from driver_process import DriverProcess
from driver_process import RayProcess
from driver_process import joining
from sweep_record import Record
from sweep_record import assert_complete
from typer.testing import CliRunner

from search.cli import app
from search.home import Home
from search.store import Phase

_PLUGIN = Path(__file__).resolve().parents[1] / "plugin"
TINY = ("--noise-rate", "0.3", "--trials", "3", "--confirm-top", "1", "--confirm-seeds", "2", "--epochs", "2")
TINY = (*TINY, "--concurrency", "1")


def exported(home: Path, *arguments: str) -> dict[str, object]:
    done = CliRunner().invoke(app, ["export", "--home", str(home), *arguments])
    (found,) = json.loads(done.stdout)
    recommended: dict[str, object] = found["recommended"]
    return recommended


@pytest.mark.long
def test_gce_with_its_weight_decay_is_searched_recorded_and_recommended(tmp_path: Path, cluster: RayProcess) -> None:
    dimensions = "{q: [0.1, 1], weight_decay: {low: 1e-5, high: 1e-2, log: true}}"
    arguments = ("run", "--dataset", "digits", *TINY, "--supervision", "gce")
    arguments = (*arguments, "--space", f"{{kind: ranges, dimensions: {dimensions}}}")
    with DriverProcess(tmp_path, *arguments, environment=joining(cluster)) as driver:
        assert driver.wait() == 0, driver.output
        output = driver.output
    record = Record(Home(tmp_path))

    assert_complete(record)
    assert record.sweep.supervision == "gce"
    assert Counter((trial.phase, trial.supervision) for trial in record.trials) == {
        (Phase.SEARCH, "gce"): 3,
        (Phase.BASELINE, "cce"): 2,
        (Phase.CONFIRM, "gce"): 2,
    }
    confirmed = next(trial for trial in record.trials if trial.phase is Phase.CONFIRM)
    found = exported(tmp_path, "--supervision", "gce")
    assert found == {"supervision": "gce", **confirmed.hyperparameters}
    assert "Recommended: gce, q = " in output
    assert f"export --sweep {record.sweep.id}" in output
    assert exported(tmp_path, "--sweep", record.sweep.id) == found
    figures = {path.name for path in record.home.figures(record.sweep.id).iterdir()}
    assert {"objective_map.png", "weight_curves.png", "leaderboard.png"} <= figures
    (parent,) = [run for run in record.mlflow_runs() if "emphasis.trial_id" not in run.data.tags]
    assert float(parent.data.params["best.q"]) == found["q"]
    assert float(parent.data.tags["best.weight_decay"]) == pytest.approx(found["weight_decay"], rel=1e-5)
    assert "best.beta" not in parent.data.params


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_the_plugins_focal_loss_is_the_formula_and_finite_at_both_ends(
    gamma: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(_PLUGIN))
    focal = importlib.import_module("emphasis_example.focal").FocalLoss(gamma)
    logits = torch.tensor([[0.3, -1.2, 0.5], [2.0, 0.1, -0.4]], dtype=torch.float64)
    p = logits.softmax(dim=1)[torch.arange(2), torch.tensor([1, 0])]
    assert focal(logits, torch.tensor([1, 0])) == pytest.approx(float((-((1 - p) ** gamma) * p.log()).mean()))
    extreme = torch.tensor([[80.0, -80.0], [-80.0, 80.0]], requires_grad=True)
    focal(extreme, torch.tensor([0, 0])).backward()
    assert extreme.grad is not None
    assert bool(torch.isfinite(extreme.grad).all())


@pytest.fixture(scope="module")
def plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder into which the example plugin has been installed, as a user installs one."""
    source, target = tmp_path_factory.mktemp("source") / "plugin", tmp_path_factory.mktemp("site-packages")
    shutil.copytree(_PLUGIN, source)  # a build leaves files beside what it builds
    uv = shutil.which("uv", path=str(Path(sys.executable).parent))
    pip = [uv, "pip", "install", "--python", sys.executable] if uv else [sys.executable, "-m", "pip", "install"]
    command = [*pip, "--no-deps", "--no-build-isolation", "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target


@pytest.mark.long
def test_an_installed_packages_data_loss_space_and_network_are_searched_like_our_own(
    tmp_path: Path, plugin: Path
) -> None:
    repository = Path(__file__).resolve().parents[2]
    paths = os.pathsep.join([str(plugin), str(repository), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": paths}
    for command, name in (("supervisions", "focal"), ("spaces", "focal"), ("datasets", "rings")):
        with DriverProcess(tmp_path, command, environment=environment) as driver:
            assert driver.wait() == 0
            assert any(line.startswith(name) for line in driver.output.splitlines())

    arguments = ("run", "--dataset", "rings", *TINY, "--supervision", "focal", "--backbone", "shallow")
    with DriverProcess(tmp_path, *arguments, environment=environment) as driver:
        assert driver.wait() == 0, driver.output
        assert "Recommended: focal, gamma = " in driver.output
    record = Record(Home(tmp_path))

    assert_complete(record)
    assert (record.sweep.dataset, record.sweep.backbone) == ("rings", "shallow")
    searched = [trial for trial in record.trials if trial.phase is Phase.SEARCH]
    assert all(0 <= trial.hyperparameters["gamma"] <= 5 for trial in searched)
    assert record.sweep.spec["space"]["dimensions"] == {
        "gamma": {"low": 0, "high": 5, "log": False, "whole": False}
    }
    # Where the package is gone, its sweeps are still listed and exported.
    assert exported(tmp_path)["supervision"] == "focal"
