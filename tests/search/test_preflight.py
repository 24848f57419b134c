from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from search.cluster_resources import ClusterResources
from search.cluster_resources import Nodes
from search.errors import SweepWarning
from search.preflight import DISK_FOR_A_SWEEP
from search.preflight import check
from search.preflight import check_submission
from search.spec import SweepSpec
from search.sweep_session import SweepSession
from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput


def spec_of(**fields: Any) -> SweepSpec:
    return SweepSpec.model_validate({"dataset": "digits", "noise_rate": 0.4, **fields})


def ray_with(**resources: float) -> ClusterResources:
    return ClusterResources.of([resources])


def only_error(spec: SweepSpec, **world: Any) -> FieldError:
    with pytest.raises(InvalidInput) as caught:
        check(spec, **world)
    assert len(caught.value.errors) == 1, caught.value.errors
    return caught.value.errors[0]


@pytest.fixture
def vectors(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "vectors.npz"
    x = rng.normal(size=(40, 5)).astype(np.float32)
    y = np.arange(40) % 4
    np.savez(path, x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    return path


def test_sound_sweep_passes_without_a_word() -> None:
    found = check(spec_of(), clusters=[ray_with(CPU=2)], free_disk_bytes=2**33)
    assert found.errors == ()
    assert found.warnings == ()


def test_unknown_dataset_is_refused_with_the_nearest() -> None:
    error = only_error(spec_of(dataset="digit"))
    assert (error.field, error.value) == ("dataset", "digit")
    assert "digits" in error.remedy


def test_missing_data_files_are_refused(tmp_path: Path) -> None:
    assert only_error(spec_of(dataset="cifar10", data_dir=str(tmp_path))).field == "data_dir"


def test_unknown_backbone_is_refused_with_the_nearest() -> None:
    error = only_error(spec_of(backbone="resnet21"))
    assert (error.field, error.value) == ("backbone", "resnet21")
    assert "resnet20" in error.remedy


def test_backbone_and_augmentation_that_need_images_are_refused_for_vectors(vectors: Path) -> None:
    spec = spec_of(dataset=str(vectors), backbone="resnet20", training={"augmentation": "pad-crop-flip"})
    with pytest.raises(InvalidInput) as caught:
        check(spec)
    assert {error.field for error in caught.value.errors} == {"backbone", "training.augmentation"}


def test_noise_beyond_which_labels_say_nothing_is_a_warning(vectors: Path) -> None:
    assert not check(spec_of(dataset=str(vectors), noise_rate=0.74)).warnings
    (warning,) = check(spec_of(dataset=str(vectors), noise_rate=0.75)).warnings
    assert "noise_rate = 0.75" in warning
    assert "4 classes" in warning


@pytest.mark.parametrize(("given", "warned"), [({}, True), ({"resources": {"gpus": 0.5}}, False)])
def test_gpus_that_would_be_idle_are_spoken_of(pictures: Path, given: dict[str, Any], warned: bool) -> None:
    spec = spec_of(dataset=str(pictures), backbone="resnet20", **given)
    found = check(spec, clusters=[ClusterResources((Nodes(8.0, 2.0),))]).warnings
    assert any("There are 2 GPUs" in text and "--gpus 1" in text for text in found) is warned
    assert not check(spec_of(), clusters=[ClusterResources((Nodes(8.0, 2.0),))]).warnings  # a perceptron


def test_labels_that_memorising_wins_are_warned_of() -> None:
    (warning,) = check(spec_of(noise_rate=0)).warnings
    assert warning.startswith("noise_rate = 0:")
    assert "objective: noisy_validation" in warning
    assert not check(spec_of(noise_rate=0, objective="noisy_validation")).warnings


def test_drops_of_the_learning_rate_past_the_end_of_the_budget_are_refused_in_any_unit() -> None:
    training = {"iterations": 300, "milestones": [10, 100], "milestone_unit": "epochs"}
    error = only_error(spec_of(training=training))
    assert (error.field, error.value) == ("training.milestones", [10, 100])
    assert "300 iterations" in error.problem
    check(spec_of(training={**training, "milestones": [10, 20]}))
    check(spec_of(limit_train=200, training={"epochs": 1, "milestones": [0.5, 0.75]}))  # the default, written out


def test_a_matrix_that_keeps_no_label_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "cycle.csv"
    np.savetxt(file, np.roll(np.eye(10), 1, axis=1), delimiter=",")
    error = only_error(spec_of(noise_rate=None, noise_model="matrix", noise_file=str(file)))
    assert (error.field, error.value) == ("noise_file", str(file))
    assert "keeps no label" in error.problem


@pytest.mark.parametrize(("limit", "problem"), [(1438, "1,437 training"), (9, "10 classes")])
def test_limit_that_the_data_cannot_meet_is_refused(limit: int, problem: str) -> None:
    error = only_error(spec_of(limit_train=limit))
    assert (error.field, error.value) == ("limit_train", limit)
    assert problem in error.problem


@pytest.mark.parametrize("limit", [10, 1437])
def test_limit_at_either_end_passes(limit: int) -> None:
    check(spec_of(limit_train=limit))


@pytest.mark.parametrize(
    ("resources", "cluster", "field", "problem"),
    [
        ({"gpus": 1}, {"CPU": 2}, "resources.gpus", "no GPU"),
        ({"gpus": 0.5}, {"CPU": 2}, "resources.gpus", "no GPU"),
        ({"cpus": 4}, {"CPU": 2}, "resources.cpus", "has 2 CPUs"),
    ],
)
def test_processors_that_ray_does_not_have_are_refused(
    resources: dict[str, float], cluster: dict[str, float], field: str, problem: str
) -> None:
    error = only_error(spec_of(resources=resources), clusters=[ray_with(**cluster)])
    assert error.field == field
    assert problem in error.problem


@pytest.mark.parametrize(
    ("resources", "cluster", "room"),
    [
        ({}, {"CPU": 3}, 3),
        ({"cpus": 2}, {"CPU": 5}, 2),
        ({"gpus": "1/3"}, {"CPU": 16, "GPU": 2}, 6),
        ({"gpus": 1}, {"CPU": 16, "GPU": 2}, 2),
    ],
)
def test_more_trials_at_once_than_ray_has_room_for_are_refused(
    resources: dict[str, Any], cluster: dict[str, float], room: int
) -> None:
    check(spec_of(resources=resources, concurrency=room), clusters=[ray_with(**cluster)])
    error = only_error(spec_of(resources=resources, concurrency=room + 1), clusters=[ray_with(**cluster)])
    assert (error.field, error.value) == ("concurrency", room + 1)
    assert f"Give {room} or less" in error.remedy


def test_lanes_make_room_for_more_trials_at_once_where_their_number_is_given() -> None:
    fields: dict[str, Any] = {"resources": {"gpus": "1/2"}, "lanes": 3}
    check(spec_of(concurrency=6, **fields), clusters=[ray_with(CPU=16, GPU=1)])
    error = only_error(spec_of(concurrency=7, **fields), clusters=[ray_with(CPU=16, GPU=1)])
    assert (error.field, error.value) == ("concurrency", 7)
    assert error.problem == "Ray has room for 2 processes of 3 trials and 1 CPU and 1/2 GPU at once"
    assert error.remedy == "Give 6 or less, fewer resources a trial, or more lanes a process."


def test_a_missing_gpu_and_too_high_a_concurrency_are_said_at_once() -> None:
    spec = spec_of(resources={"cpus": 1, "gpus": 1}, concurrency=9)
    with pytest.raises(InvalidInput) as caught:
        check(spec, clusters=[ray_with(CPU=2)])
    assert [error.field for error in caught.value.errors] == ["resources.gpus", "concurrency"]
    assert caught.value.errors[1].problem == "Ray has room for 2 trials of 1 CPU at once"


NO_GPU, A_GPU, MAY_HAVE_GPUS = (
    ClusterResources((Nodes(2),)),
    ClusterResources((Nodes(0), Nodes(2), Nodes(4, gpus=1))),
    ClusterResources((Nodes(2),), (Nodes(8, gpus=2, count=2),)),
)


@pytest.mark.parametrize(
    ("resources", "clusters", "field", "problem"),
    [
        ({"cpus": 6}, [A_GPU], "resources.cpus", "no node of Ray has more than 4 CPUs"),
        ({"cpus": 6, "gpus": 1}, [A_GPU, NO_GPU], "resources.cpus", "best suited of the 2 workers' Rays"),
        ({"cpus": 4, "gpus": 1}, [ClusterResources((Nodes(8), Nodes(1, gpus=1)))], "resources", "has both"),
    ],
)
def test_what_no_node_of_any_worker_could_ever_hold_is_refused(
    resources: dict[str, float], clusters: list[ClusterResources], field: str, problem: str
) -> None:
    error = only_error(spec_of(resources=resources), clusters=clusters)
    assert error.field == field
    assert problem in error.problem


def test_a_sweep_is_sound_if_one_of_the_workers_can_run_it() -> None:
    assert check(spec_of(resources={"gpus": 1}), clusters=[NO_GPU, A_GPU, MAY_HAVE_GPUS]).warnings == ()


def test_what_only_an_autoscaler_may_bring_is_waited_for_and_that_is_said() -> None:
    (warning,) = check(spec_of(resources={"gpus": 1}, concurrency=4), clusters=[NO_GPU, MAY_HAVE_GPUS]).warnings
    assert warning == "The trials will wait for 1 GPU: Ray has none now, its autoscaler may bring it."
    error = only_error(spec_of(resources={"gpus": 1}, concurrency=5), clusters=[MAY_HAVE_GPUS])
    assert error.problem == "Ray has room for 4 trials of 1 CPU and 1 GPU at once"


def test_nothing_is_downloaded_before_all_else_is_sound(install_package: Callable[..., None]) -> None:
    install_package(
        "emphasis.datasets",
        {"far": "example_far:Far"},
        example_far=(
            "from trainers.errors import FieldError, InvalidInput\n"
            "class Far:\n"
            "    description = 'to be fetched'\n"
            "    def check(self, data_dir, download):\n"
            "        if not download:\n"
            "            raise InvalidInput(FieldError('data_dir', None, 'no files', 'Fetch them.'))\n"
            "    def load(self, data_dir, download):\n"
            "        raise InvalidInput(FieldError('download', True, 'was tried', 'Do not.'))\n"
        ),
    )
    far = {"dataset": "far", "download": True, "noise_rate": 0.4}
    for wrong, field in (({"trials": 0}, "trials"), ({"resources": {"gpus": 1}}, "resources.gpus")):
        with pytest.raises(InvalidInput) as caught:
            check_submission({**far, **wrong}, clusters=[ray_with(CPU=2)])
        assert [error.field for error in caught.value.errors] == [field]
    (warning,) = check_submission(far, fetch=False).warnings
    assert warning.startswith("far was not downloaded")
    with pytest.raises(InvalidInput, match="was tried"):
        check_submission(far)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder of 20 images that a network of torchvision takes."""
    folder = tmp_path / "pictures"
    for number in range(20):
        place = folder / ("train" if number < 16 else "test") / f"class{number % 2}"
        place.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64), (number, 0, 0)).save(place / f"{number}.png")
    return folder


def test_published_weights_are_fetched_before_anything_starts_or_said_to_be_missing(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = torchvision.models.ShuffleNet_V2_X0_5_Weights.DEFAULT
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(published.value, "url", "http://127.0.0.1:9/shuffle.pth")  # nothing answers there
    fields = {
        "dataset": str(pictures), "noise_rate": 0.3, "backbone": "torchvision:shufflenet_v2_x0_5",
        "training": {"weights": "default"},
    }  # fmt: skip
    error = only_error(spec_of(**fields), free_memory=lambda: 2**40)
    assert (error.field, error.value) == ("training.weights", "IMAGENET1K_V1")
    (warning,) = check(spec_of(**fields)).warnings  # where other machines train, they may have them
    assert warning.startswith("training.weights = 'IMAGENET1K_V1': cannot be had from http")
    assert warning.endswith("The machines that train have to have them.")
    assert error.problem.startswith("cannot be had from http")
    assert str(tmp_path / "torch") in error.remedy
    (warning,) = check_submission(fields, fetch=False).warnings
    assert warning.startswith("training.weights = IMAGENET1K_V1: not yet fetched for torchvision:shufflenet_v2_x0_5")
    with pytest.raises(InvalidInput) as caught:
        check_submission({**fields, "limit_train": 9999})
    assert [each.field for each in caught.value.errors] == ["limit_train"]  # nothing is fetched before
    cache = tmp_path / "torch" / "hub" / "checkpoints"
    cache.mkdir(parents=True, exist_ok=True)
    state = torchvision.models.shufflenet_v2_x0_5(num_classes=1000).state_dict()
    torch.save(state, cache / published.url.rpartition("/")[2])
    for fetch in (True, False):
        assert check_submission(fields, fetch=fetch).warnings == ()


def test_python_is_warned_as_the_command_line_is(tmp_path: Path) -> None:
    with SweepSession(tmp_path, None) as session, pytest.warns(SweepWarning, match=r"noise_rate = 0\.9"):
        session.check(spec_of(noise_rate=0.9))


def test_what_the_reader_of_the_data_warns_of_is_said(tmp_path: Path) -> None:
    for number in range(20):
        folder = tmp_path / ("train" if number < 16 else "test") / f"class{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), number).save(folder / f"{number}.png")
    (tmp_path / "train" / "class0" / "photo.heic").write_text("x")
    (warning,) = check(spec_of(dataset=str(tmp_path))).warnings
    assert warning == f"{tmp_path.name}: 1 files are passed over, by their names no images: .heic (1)."


def test_too_little_disk_is_refused() -> None:
    error = only_error(spec_of(), free_disk_bytes=DISK_FOR_A_SWEEP)
    assert error.field == "home"
    assert "--home" in error.remedy


def test_data_that_does_not_fit_in_memory_as_often_as_there_are_processes_is_warned_of(vectors: Path) -> None:
    each = (40 + 8) * 5 * 4
    spec, world = spec_of(dataset=str(vectors), concurrency=3), {"clusters": [ray_with(CPU=4)]}
    assert check(spec, **world, free_memory=lambda: 3 * each).warnings == ()
    (warning,) = check(spec, **world, free_memory=lambda: 3 * each - 1).warnings
    assert warning.startswith("vectors.npz takes 0.0 GiB of memory in each of 3 processes at once")
    assert warning.endswith("Give --concurrency 2.")
    (warning,) = check(spec, **world, free_memory=lambda: each - 1).warnings
    assert warning.endswith("Not even one fits: give fewer examples or smaller ones.")


def test_free_memory_is_asked_once_this_process_has_the_data(
    vectors: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(*given: Any) -> Dataset:
        loaded.append(given[0])
        return load_dataset(*given)

    def free() -> int:
        assert loaded, "what this process takes is not free for the others"
        return 0

    monkeypatch.setattr("search.preflight.load_dataset", load)
    world = {"clusters": [ray_with(CPU=4)]}
    (warning,) = check(spec_of(dataset=str(vectors)), **world, free_memory=free).warnings
    assert "GiB are free" in warning


def test_wrong_fields_and_what_the_world_lacks_are_reported_together() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_submission(
            {
                "dataset": "digits",
                "noise_rate": [0.2, 1.4],
                "backbone": "resnet2",
                "limit_train": 9999,
                "trials": -3,
                "resources": {"gpus": 1},
            },
            clusters=[ray_with(CPU=2)],
            free_disk_bytes=0,
        )
    assert {error.field for error in caught.value.errors} == {
        "noise_rate[1]",
        "trials",
        "backbone",
        "limit_train",
        "resources.gpus",
    }


def test_submission_without_a_dataset_still_checks_the_rest() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_submission({"noise_rate": 0.2, "backbone": "resnet2", "limit_train": 9999})
    assert {error.field for error in caught.value.errors} == {"dataset", "backbone"}


@pytest.mark.parametrize(
    ("early_stopping", "training", "first"),
    [
        ("asha", {"evaluate_every": 60}, 30),
        ("median", {"epochs": 20, "evaluate_every": 11}, None),
        ("median", {"epochs": 20, "evaluate_every": 20}, 10),
        ("hyperband", {"epochs": 1}, 1),
        ("asha", {"iterations": 600, "evaluate_every": 1000}, 25),
        ("asha", {}, None),
        ("none", {"evaluate_every": 60}, None),
    ],
)
def test_a_rule_that_would_never_be_shown_anything_is_warned_of(
    early_stopping: str, training: dict[str, int], first: int | None
) -> None:
    found = check(spec_of(early_stopping=early_stopping, training=training)).warnings
    if first is None:
        assert found == ()
    else:
        (warning,) = found
        assert f"early_stopping = {early_stopping}: no epoch from {first} on is evaluated" in warning
        assert "training.evaluate_every" in warning


def test_sound_submission_gives_a_spec_a_noise_rate_and_its_warnings() -> None:
    submission = check_submission({"dataset": "digits", "noise_rate": [0.2, 0.9, 0.95]})
    assert [spec.noise_rate for spec in submission.specs] == [0.2, 0.9, 0.95]
    assert len(submission.warnings) == 2
