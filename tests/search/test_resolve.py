from __future__ import annotations

from pathlib import Path

import pytest

from search import SweepSpec
from search.resolve import resolved
from search.spec import Training
from search.task import TaskSettings
from trainers.training import TrainingTask


def task_of(spec: SweepSpec) -> TrainingTask:
    return TaskSettings.of(spec, Path()).load()


def test_every_default_is_written_out_and_means_the_same() -> None:
    spec = SweepSpec(dataset="digits", noise_rate=0.4)
    written = resolved(spec, task_of(spec))

    assert (written.backbone, written.sampler, written.trials) == ("mlp", "tpe", 30)
    assert written.training.epochs == 60
    assert written.training.learning_rate is not None
    assert task_of(written) == task_of(spec)
    assert resolved(written, task_of(written)) == written


@pytest.mark.parametrize("iterations", [1, 2, 3])
def test_the_shortest_budgets_resolve_though_no_milestone_fits_into_them(iterations: int) -> None:
    spec = SweepSpec(dataset="digits", noise_rate=0.4, training=Training(iterations=iterations))
    written = resolved(spec, task_of(spec))

    assert task_of(written).iterations == iterations


def test_data_is_recorded_where_it_lies(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    spec = SweepSpec(dataset="digits", noise_rate=0.4, data_dir=Path("~/data"))

    assert resolved(spec, task_of(spec)).data_dir == tmp_path / "home" / "data"
    here = spec.model_copy(update={"data_dir": Path("data")})
    assert resolved(here, task_of(here)).data_dir == tmp_path / "data"
