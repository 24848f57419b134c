from __future__ import annotations

import dataclasses
import gc
import hashlib
import os
import pickle
import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from trainers.datasets import Dataset
from trainers.datasets import check_dataset
from trainers.datasets import dataset_names
from trainers.datasets import dataset_source
from trainers.datasets import digits as digits_source
from trainers.datasets import load_dataset
from trainers.datasets.arrays import ArrayFile
from trainers.datasets.cifar import CIFAR10
from trainers.datasets.cifar import CIFAR100
from trainers.datasets.cifar import Cifar
from trainers.errors import InvalidInput

InstallPackage = Callable[..., None]
Arrays = dict[str, np.ndarray]


# --- what every data set has ---


def test_importing_trainers_needs_neither_torchvision_nor_scikit_learn() -> None:
    program = (
        "import sys, trainers, trainers.datasets, trainers.models, trainers.noise, trainers.augmentation\n"
        "trainers.datasets.dataset_names()\n"
        "sys.exit(', '.join({'torchvision', 'sklearn', 'ray', 'optuna', 'mlflow'} & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_every_source_describes_itself_in_one_line() -> None:
    for name in dataset_names():
        description = dataset_source(name).description
        assert description
        assert "\n" not in description


def test_unknown_name_is_refused_with_the_nearest() -> None:
    for ask in (check_dataset, load_dataset):
        with pytest.raises(InvalidInput) as caught:
            ask("cifar_10")
        (error,) = caught.value.errors
        assert (error.field, error.value) == ("dataset", "cifar_10")
        assert error.remedy.startswith("Did you mean cifar10")
        assert "digits" in error.remedy
        assert ".npz" in error.remedy


@pytest.mark.parametrize("examples", [50, 51])
@pytest.mark.parametrize("width", [4, 5])
def test_statistics_are_those_of_the_pixels_scaled_to_one(examples: int, width: int) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (examples, 3, 5, width), dtype=np.uint8)
    images[:, 2] = 77  # a constant channel must stay divisible
    labels = np.arange(examples) % 5
    dataset = dataset_of(images, labels, 5)
    scaled = images.astype(np.float64) / 255
    np.testing.assert_allclose(dataset.mean.numpy(), scaled.mean(axis=(0, 2, 3)), rtol=1e-6)
    np.testing.assert_allclose(dataset.std.numpy()[:2], scaled.std(axis=(0, 2, 3))[:2], rtol=1e-6)
    assert dataset.std[2] == 1
    assert dataset.mean.dtype == dataset.std.dtype == torch.float32


def test_statistics_of_floats_are_unscaled_and_of_flat_examples_scalar() -> None:
    values = np.random.default_rng(0).normal(3, 2, (400, 6)).astype(np.float32)
    dataset = dataset_of(values, np.arange(400) % 4, 4)
    assert dataset.mean.shape == dataset.std.shape == (1,)
    assert dataset.mean.item() == pytest.approx(values.astype(np.float64).mean(), rel=1e-6)
    assert dataset.std.item() == pytest.approx(values.astype(np.float64).std(), rel=1e-6)
    assert dataset.example_shape == (6,)


class LargestTensor(TorchDispatchMode):
    """Notes the bytes of the largest tensor that is made."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor) and not func.is_view:
            self.bytes = max(self.bytes, made.numel() * made.element_size())
        return made


@pytest.mark.parametrize("shape", [(500, 40), (500, 3, 5, 4)])
def test_statistics_of_floats_are_reckoned_in_pieces(shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.datasets.dataset._COUNTED_AT_ONCE", 400)
    values = np.random.default_rng(0).normal(100, 2, shape).astype(np.float32)
    labels = torch.arange(500) % 4
    with LargestTensor() as largest:
        examples = torch.from_numpy(values)
        dataset = Dataset.from_tensors("floats", examples, labels, examples[:9], labels[:9], 4)
    assert 0 < largest.bytes <= 400 * 3 * 8
    axes = (0, 2, 3) if len(shape) == 4 else None
    np.testing.assert_allclose(dataset.mean.numpy(), values.mean(axis=axes, dtype=np.float64), rtol=1e-7)
    np.testing.assert_allclose(dataset.std.numpy(), values.std(axis=axes, dtype=np.float64), rtol=1e-7)


def test_fingerprint_changes_with_every_array_and_with_nothing_else() -> None:
    images, labels = np.zeros((20, 1, 2, 2), np.uint8), np.arange(20) % 2
    base = dataset_of(images, labels, 2)
    assert dataset_of(images.copy(), labels.copy(), 2).fingerprint == base.fingerprint
    parts = {name: getattr(base, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    prints = {base.fingerprint, dataset_of(images, labels, 3).fingerprint}
    for name, tensor in parts.items():
        changed = tensor.clone()
        changed.view(-1)[0] = 1
        prints.add(Dataset.from_tensors("other", **{**parts, name: changed}, num_classes=2).fingerprint)
    flat = {name: part.flatten(1) if name.startswith("x") else part for name, part in parts.items()}
    prints.add(Dataset.from_tensors("other", **flat, num_classes=2).fingerprint)
    assert len(prints) == 7


def test_limited_training_set_keeps_the_proportions_of_the_classes() -> None:
    labels = np.repeat(np.arange(4), [600, 300, 90, 10])
    images = np.arange(1000, dtype=np.float32).reshape(1000, 1)
    whole = dataset_of(images, labels, 4)
    limited = whole.limit_train(100)
    assert torch.bincount(limited.y_train).tolist() == [60, 30, 9, 1]
    assert torch.equal(limited.y_train, whole.y_train[limited.x_train[:, 0].long()])
    assert len(limited.x_train.unique()) == 100
    assert limited.name == whole.name
    assert torch.equal(limited.x_test, whole.x_test)
    assert limited.mean.item() == pytest.approx(limited.x_train.mean().item(), rel=1e-5)
    assert limited.fingerprint != whole.fingerprint


def test_limited_training_set_is_a_function_of_its_size_and_seed() -> None:
    digits = load_dataset("digits")
    torch.manual_seed(5)
    assert digits.limit_train(200).fingerprint == digits.limit_train(200, seed=0).fingerprint
    assert digits.limit_train(200).fingerprint != digits.limit_train(200, seed=1).fingerprint
    assert digits.limit_train(1437) is digits
    assert digits.limit_train(10**9) is digits


@pytest.mark.parametrize("n", [4, 5, 7, 97, 998, 999])
def test_limited_training_set_has_exactly_the_size_asked_for_and_every_class(n: int) -> None:
    labels = np.repeat(np.arange(4), [985, 8, 5, 2])
    limited = dataset_of(np.zeros((1000, 2), np.uint8), labels, 4).limit_train(n)
    assert len(limited.y_train) == n
    assert bool((torch.bincount(limited.y_train, minlength=4) > 0).all())


def test_fewer_training_examples_than_classes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="limit_train = 9"):
        load_dataset("digits").limit_train(9)


def test_a_data_set_whose_parts_do_not_fit_is_refused_whoever_made_it() -> None:
    x, y = torch.zeros(6, 1, 2, 2), torch.arange(6) % 2
    for changed, problem in (
        ({"y_train": y + 5}, "outside 0...1"),
        ({"y_test": y[:3]}, "3 labels"),
        ({"x_test": torch.zeros(6, 1, 3, 3)}, "differ"),
        ({"x_train": x.double(), "x_test": x.double()}, "float64"),
        ({"x_train": x[0], "x_test": x[0]}, "shape"),
        ({"y_train": y.int()}, "int64"),
        ({"x_train": x / 0}, "NaN"),
    ):
        parts = {"x_train": x, "y_train": y, "x_test": x, "y_test": y, **changed}
        with pytest.raises(InvalidInput, match=problem):
            Dataset.from_tensors("mine", **parts, num_classes=2)


# --- labels as given, intact labels, validation ---


def with_noise(examples: int = 60) -> tuple[Dataset, torch.Tensor, torch.Tensor]:
    """A data set whose labels as given differ from the intact ones; the example holds its own index."""
    x = torch.arange(examples, dtype=torch.float32)[:, None]
    intact = torch.arange(examples) % 3
    given = torch.where(torch.arange(examples) % 5 == 0, (intact + 1) % 3, intact)
    return Dataset.from_tensors("made", x, given, x[:9], intact[:9], 3, intact=intact), given, intact


def test_labels_as_given_are_intact_unless_said_otherwise() -> None:
    dataset, given, intact = with_noise()
    assert torch.equal(dataset.y_train, given)
    assert dataset.intact_train is intact
    parts = (dataset.name, dataset.x_train, given, dataset.x_test, dataset.y_test, 3)
    assert Dataset.from_tensors(*parts).intact_train is given
    assert Dataset.from_tensors(*parts, intact=None).intact_train is None
    with pytest.raises(InvalidInput, match="59 labels"):
        Dataset.from_tensors(*parts, intact=intact[:-1])
    with pytest.raises(InvalidInput, match=r"intact_train has labels outside 0\.\.\.2"):
        Dataset.from_tensors(*parts, intact=intact + 1)


def test_a_validation_split_fits_the_data_or_is_refused() -> None:
    dataset, given, _ = with_noise()
    parts = (dataset.name, dataset.x_train, given, dataset.x_test, dataset.y_test, 3)
    whole = Dataset.from_tensors(*parts, x_validation=dataset.x_test, y_validation=dataset.y_test)
    assert whole.x_validation is dataset.x_test
    for changed, problem in (
        ({"x_validation": dataset.x_test}, "one is missing"),
        ({"x_validation": dataset.x_test, "y_validation": given}, "60 labels"),
        ({"x_validation": torch.zeros(9, 2), "y_validation": dataset.y_test}, "x_train and x_validation differ"),
        ({"class_names": ("a", "b")}, "2 class names for 3 classes"),
    ):
        with pytest.raises(InvalidInput, match=problem):
            Dataset.from_tensors(*parts, **changed)


def test_what_is_as_it_was_before_keeps_its_fingerprint_and_what_is_new_changes_it() -> None:
    dataset, given, _ = with_noise()
    parts = (dataset.name, dataset.x_train, given, dataset.x_test, dataset.y_test, 3)
    plain = Dataset.from_tensors(*parts).fingerprint
    assert Dataset.from_tensors(*parts, intact=given.clone(), class_names=("a", "b", "c")).fingerprint == plain
    validated = Dataset.from_tensors(*parts, x_validation=dataset.x_test, y_validation=dataset.y_test)
    prints = {plain, dataset.fingerprint, Dataset.from_tensors(*parts, intact=None).fingerprint, validated.fingerprint}
    assert len(prints) == 4


def test_a_limited_training_set_keeps_all_its_parts_together() -> None:
    dataset, given, intact = with_noise()
    limited = dataset.limit_train(20)
    rows = limited.x_train[:, 0].long()
    assert torch.equal(limited.y_train, given[rows])
    assert limited.intact_train is not None
    assert torch.equal(limited.intact_train, intact[rows])
    digits = load_dataset("digits").limit_train(100)
    assert digits.intact_train is digits.y_train


@pytest.mark.parametrize("fraction", [0.1, 0.2, 0.5, 0.95])
def test_held_out_examples_are_the_given_share_of_every_class_and_no_longer_trained_on(fraction: float) -> None:
    dataset, given, intact = with_noise(300)
    held = dataset.hold_out(fraction, seed=3)
    assert len(held.validation) == round(300 * fraction)
    assert torch.equal(torch.cat([held.train, held.validation]).sort().values, torch.arange(300))
    part = held.dataset
    assert torch.equal(part.x_train, dataset.x_train[held.train])
    assert torch.equal(part.y_train, given[held.train])
    assert part.intact_train is not None
    assert torch.equal(part.intact_train, intact[held.train])
    assert part.x_validation is not None
    assert torch.equal(part.x_validation, dataset.x_train[held.validation])
    assert part.y_validation is not None
    assert torch.equal(part.y_validation, given[held.validation])
    assert part.x_test is dataset.x_test
    assert part.mean.item() == pytest.approx(part.x_train.mean().item(), rel=1e-5)
    for whole, taken in zip(given.bincount().tolist(), part.y_validation.bincount().tolist(), strict=True):
        assert taken == pytest.approx(whole * fraction, abs=1)


def test_what_is_held_out_depends_on_the_seed_alone() -> None:
    dataset, _, _ = with_noise(300)
    torch.manual_seed(9)
    first = dataset.hold_out(0.2, seed=0)
    assert torch.equal(first.validation, dataset.hold_out(0.2, seed=0).validation)
    assert not torch.equal(first.validation, dataset.hold_out(0.2, seed=1).validation)
    # Frozen: a sweep that is resumed elsewhere validates on the same examples.
    assert first.validation[:8].tolist() == [3, 7, 21, 24, 26, 29, 49, 56]


@pytest.mark.parametrize("fraction", [0.0, 1.0, -0.1, 1.5, float("nan"), 0.999])
def test_a_fraction_that_leaves_nothing_to_train_or_to_validate_on_is_refused(fraction: float) -> None:
    with pytest.raises(InvalidInput, match="fraction = "):
        load_dataset("digits").hold_out(fraction, seed=0)


# --- digits ---


def test_digits_have_the_fixed_split_that_was_recorded() -> None:
    digits = load_dataset("digits")
    check_dataset("digits")
    assert digits.x_train.shape == (1437, 1, 8, 8)
    assert digits.x_test.shape == (360, 1, 8, 8)
    assert digits.x_train.dtype == torch.uint8
    assert digits.y_train.dtype == torch.int64
    assert digits.num_classes == 10
    assert (int(digits.x_train.min()), int(digits.x_train.max())) == (0, 255)
    # Frozen: results on digits compare only under the same pixels and the same split.
    assert digits.fingerprint == "219036e925f42b96a4eb97d288dd2f3a9c18f42c8a7978789fd8ddad18fec021"


def test_digits_are_the_same_where_scikit_learn_keeps_them_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    found = digits_source.Digits().load().fingerprint
    monkeypatch.setattr(digits_source, "find_spec", lambda name: ModuleSpec(name, None))
    assert digits_source.Digits().load().fingerprint == found


def test_digits_are_scikit_learns_images_each_used_once() -> None:
    from sklearn.datasets import load_digits

    digits = load_dataset("digits")
    published = load_digits()
    ours = torch.cat([digits.x_train, digits.x_test]).flatten(1).double().mul(16 / 255).round().int().numpy()
    labels = torch.cat([digits.y_train, digits.y_test]).numpy()
    rows = np.column_stack([ours, labels])
    expected = np.column_stack([published.data.astype(int), published.target])
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])


def test_a_data_set_is_read_once_a_process() -> None:
    assert load_dataset("digits") is load_dataset("digits")


def test_only_the_last_few_data_sets_stay_in_memory(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    files = [str(tmp_path / f"{number}.npz") for number in range(5)]
    for file in files:
        x, y = rng.normal(size=(8, 3)).astype(np.float32), np.arange(8) % 2
        np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
    gone = weakref.ref(load_dataset(files[0]))
    kept = load_dataset(files[1])
    for file in files[2:]:
        load_dataset(file)
        assert load_dataset(files[1]) is kept  # asked for again, it stays
    gc.collect()
    assert gone() is None
    assert load_dataset(files[1]) is kept


# --- cifar10 and cifar100 ---


def test_cifar10_is_the_official_data_set(cifar10_dir: Path) -> None:
    check_dataset("cifar10", cifar10_dir)
    dataset = load_dataset("cifar10", str(cifar10_dir))
    assert dataset.x_train.shape == (50_000, 3, 32, 32)
    assert dataset.x_test.shape == (10_000, 3, 32, 32)
    assert dataset.x_train.dtype == torch.uint8
    assert torch.bincount(dataset.y_train).tolist() == [5000] * 10
    assert torch.bincount(dataset.y_test).tolist() == [1000] * 10
    # The statistics that everyone uses for CIFAR-10, to the four digits they are quoted with.
    assert [round(value, 4) for value in dataset.mean.tolist()] == [0.4914, 0.4822, 0.4465]
    assert [round(value, 4) for value in dataset.std.tolist()] == [0.247, 0.2435, 0.2616]
    with (cifar10_dir / "cifar-10-batches-py" / "data_batch_2").open("rb") as stream:
        batch = pickle.load(stream, encoding="latin1")
    assert torch.equal(dataset.x_train[10_007].flatten(), torch.from_numpy(batch["data"][7]))
    assert int(dataset.y_train[10_007]) == batch["labels"][7]
    assert dataset.limit_train(5000).y_train.bincount().tolist() == [500] * 10
    assert load_dataset("cifar10", cifar10_dir) is dataset


def test_whole_files_need_no_download_and_no_writable_folder(cifar10_dir: Path) -> None:
    before = sorted(path.name for path in cifar10_dir.iterdir())
    check_dataset("cifar10", cifar10_dir, download=True)
    assert sorted(path.name for path in cifar10_dir.iterdir()) == before


def test_corrupt_and_missing_files_are_both_named(cifar10_dir: Path, tmp_path: Path) -> None:
    base = "cifar-10-batches-py"
    (tmp_path / base).mkdir()
    for source in (cifar10_dir / base).iterdir():
        (tmp_path / base / source.name).symlink_to(source)
    (tmp_path / base / "data_batch_4").unlink()
    content = bytearray((cifar10_dir / base / "data_batch_3").read_bytes())
    content[1_000_000] ^= 1  # one bit of one pixel
    (tmp_path / base / "data_batch_3").unlink()
    (tmp_path / base / "data_batch_3").write_bytes(content)
    for ask in (check_dataset, load_dataset):
        with pytest.raises(InvalidInput) as caught:
            ask("cifar10", tmp_path)
        (error,) = caught.value.errors
        assert (error.field, error.value) == ("data_dir", str(tmp_path))
        assert error.problem.startswith(f"missing in {tmp_path / base}: data_batch_4; corrupt (MD5 differs)")
        assert error.problem.endswith(": data_batch_3")
        assert "--download" in error.remedy
    check_dataset("cifar10", tmp_path, download=True)  # it would be fetched


def test_a_file_that_is_damaged_after_it_was_checked_is_found(cifar10_dir: Path, tmp_path: Path) -> None:
    base = "cifar-10-batches-py"
    shutil.copytree(cifar10_dir / base, tmp_path / base)
    check_dataset("cifar10", tmp_path)
    check_dataset("cifar10", tmp_path)
    damaged = tmp_path / base / "test_batch"
    status = damaged.stat()
    with damaged.open("r+b") as stream:
        stream.seek(1_000_000)
        stream.write(b"emphasis")
    os.utime(damaged, ns=(status.st_atime_ns, status.st_mtime_ns))  # as a copy that keeps times leaves it
    with pytest.raises(InvalidInput, match=r"corrupt \(MD5 differs\).*: test_batch"):
        check_dataset("cifar10", tmp_path)


@pytest.mark.parametrize(
    ("name", "base", "files"),
    [("cifar10", "cifar-10-batches-py", 7), ("cifar100", "cifar-100-python", 3)],
)
def test_absent_cifar_files_are_named_with_the_remedy(
    name: str, base: str, files: int, tmp_path: Path
) -> None:
    for ask in (check_dataset, load_dataset):
        with pytest.raises(InvalidInput) as caught:
            ask(name, tmp_path)
        (error,) = caught.value.errors
        assert (error.field, error.value) == ("data_dir", str(tmp_path))
        assert error.problem.startswith(f"missing in {tmp_path / base}: ")
        assert error.problem.count(",") == files - 1
        assert f"Give the folder that holds {base} as --data-dir, or fetch" in error.remedy


@pytest.mark.parametrize("cifar", [CIFAR10, CIFAR100])
def test_files_are_those_that_torchvision_takes_for_the_official_ones(cifar: Cifar) -> None:
    from torchvision import datasets

    theirs = datasets.CIFAR10 if cifar.num_classes == 10 else datasets.CIFAR100
    assert cifar.folder == theirs.base_folder
    assert (list(cifar.train.items()), list(cifar.test.items())) == tuple(
        [tuple(each) for each in part] for part in (theirs.train_list, theirs.test_list)
    )
    assert cifar.meta == {theirs.meta["filename"]: theirs.meta["md5"]}


def test_cifar_is_read_without_torchvision(cifar10_dir: Path) -> None:
    script = "import sys; from trainers.datasets import load_dataset; load_dataset('cifar10', sys.argv[1])"
    script += "; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script, str(cifar10_dir)], check=False).returncode == 0


def test_cifar_without_a_folder_asks_for_one() -> None:
    for download in (False, True):
        with pytest.raises(InvalidInput, match=r"data_dir = None.*no folder.*--data-dir") as caught:
            check_dataset("cifar100", None, download)
        assert [error.field for error in caught.value.errors] == ["data_dir"]


def test_the_inner_cifar_folder_is_answered_with_the_outer_one(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_dataset("cifar10", tmp_path / "cifar-10-batches-py")
    assert caught.value.errors[0].remedy == f"Give the folder above it: --data-dir {tmp_path}."


def test_download_into_what_is_no_folder_is_refused_before_it_starts(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a folder")
    with pytest.raises(InvalidInput, match=r"data_dir = .*no writable folder"):
        check_dataset("cifar10", occupied, download=True)
    check_dataset("cifar10", tmp_path / "made" / "later", download=True)
    assert not (tmp_path / "made").exists()


def test_download_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The network is the one part that is replaced: an address that nothing answers.
    monkeypatch.setattr("torchvision.datasets.CIFAR10.url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(InvalidInput, match="cifar10 could not be downloaded") as caught:
        load_dataset("cifar10", tmp_path, download=True)
    assert [error.field for error in caught.value.errors] == ["download"]


def test_cifar100_is_read_with_its_fine_labels(tmp_path: Path) -> None:
    # The real files are not here, and nothing else has their MD5: the table of digests is replaced by that of a small
    # tree in the official format. What is tested is the reading, not the official bytes.
    generator = np.random.default_rng(0)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    contents = {
        name: {
            "data": generator.integers(0, 256, (n, 3072), dtype=np.uint8),
            "fine_labels": [i % 100 for i in range(n)],
            "coarse_labels": [0] * n,
        }
        for name, n in (("train", 200), ("test", 100))
    }
    md5 = {}
    named = {"fine_label_names": [str(i) for i in range(100)]}
    for name, content in {**contents, "meta": named}.items():
        raw = pickle.dumps(content)
        (folder / name).write_bytes(raw)
        md5[name] = hashlib.md5(raw).hexdigest()
    small = dataclasses.replace(
        CIFAR100, train={"train": md5["train"]}, test={"test": md5["test"]}, meta={"meta": md5["meta"]}
    )

    small.check(tmp_path)
    dataset = small.load(tmp_path)
    assert dataset.num_classes == 100
    assert dataset.example_shape == (3, 32, 32)
    assert torch.equal(dataset.x_train.flatten(1), torch.from_numpy(contents["train"]["data"]))
    assert dataset.y_test.tolist() == contents["test"]["fine_labels"]


def test_one_that_takes_long_to_load_keeps_nobody_from_another(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    np.savez(tmp_path / "slow.npz", **good_arrays())
    begun, enough = threading.Event(), threading.Event()
    load = ArrayFile.load

    def slow(self: ArrayFile, *given: Any) -> Dataset:
        begun.set()
        enough.wait(60)
        return load(self, *given)

    monkeypatch.setattr(ArrayFile, "load", slow)
    loading = threading.Thread(target=load_dataset, args=(str(tmp_path / "slow.npz"),), daemon=True)
    loading.start()
    begun.wait(60)
    other = threading.Thread(target=load_dataset, args=("digits",), daemon=True)
    other.start()
    other.join(30)
    assert not other.is_alive()
    enough.set()
    loading.join()


# --- .npz files ---


def dataset_of(images: np.ndarray, labels: np.ndarray, classes: int) -> Dataset:
    x, y = torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
    return Dataset.from_tensors("made", x, y, x[-10:].clone(), y[-10:].clone(), classes)


def good_arrays() -> Arrays:
    generator = np.random.default_rng(0)
    return {
        "x_train": generator.integers(0, 256, (30, 6, 5, 3), dtype=np.uint8),
        "y_train": np.arange(30, dtype=np.int32) % 3,
        "x_test": generator.integers(0, 256, (9, 6, 5, 3), dtype=np.uint8),
        "y_test": np.arange(9, dtype=np.uint8) % 3,
    }


def saved(folder: Path, arrays: Arrays) -> str:
    path = folder / "mine.npz"
    np.savez(path, **arrays)
    return str(path)


def problems_of(name: str) -> list[str]:
    told = []
    for ask in (check_dataset, load_dataset):
        with pytest.raises(InvalidInput) as caught:
            ask(name)
        for error in caught.value.errors:
            assert (error.field, error.value) == ("dataset", name)
            assert error.remedy
        told.append([error.problem for error in caught.value.errors])
    assert told[0] == told[1]
    return told[0]


def test_images_of_an_array_file_are_read_channels_last(tmp_path: Path) -> None:
    arrays = good_arrays()
    name = saved(tmp_path, {**arrays, "notes": np.array("ignored")})
    check_dataset(name)
    dataset = load_dataset(name)
    assert dataset.name == "mine.npz"
    assert dataset.num_classes == 3
    assert dataset.example_shape == (3, 6, 5)
    assert dataset.x_train.dtype == torch.uint8
    assert dataset.x_train.is_contiguous()
    np.testing.assert_array_equal(dataset.x_train.permute(0, 2, 3, 1).numpy(), arrays["x_train"])
    np.testing.assert_array_equal(dataset.x_test.permute(0, 2, 3, 1).numpy(), arrays["x_test"])
    assert dataset.y_train.tolist() == arrays["y_train"].tolist()
    assert dataset.y_test.tolist() == arrays["y_test"].tolist()


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f8", "f2"])
def test_flat_floats_become_float32(tmp_path: Path, dtype: str) -> None:
    values = np.random.default_rng(0).normal(size=(30, 7)).astype(dtype)
    arrays = {**good_arrays(), "x_train": values, "x_test": values[:9]}
    dataset = load_dataset(saved(tmp_path, arrays))
    assert dataset.x_train.dtype == torch.float32
    np.testing.assert_array_equal(dataset.x_train.numpy(), values.astype(np.float32))
    assert dataset.example_shape == (7,)


def test_compressed_file_is_read_alike(tmp_path: Path) -> None:
    plain = load_dataset(saved(tmp_path, good_arrays()))
    np.savez_compressed(tmp_path / "packed.npz", **good_arrays())
    packed = load_dataset(str(tmp_path / "packed.npz"))
    assert packed.fingerprint == plain.fingerprint
    assert packed.name == "packed.npz"


def test_a_changed_file_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    arrays = good_arrays()
    name = saved(tmp_path, arrays)
    first = load_dataset(name)
    assert load_dataset(name) is first
    saved(tmp_path, {**arrays, "y_test": np.zeros(9, np.int64), "more": np.zeros(100)})
    assert load_dataset(name).y_test.tolist() == [0] * 9


def change(**arrays: object) -> Callable[[Arrays], Arrays]:
    return lambda good: {**good, **{key: np.asarray(array) for key, array in arrays.items()}}


def without(*keys: str) -> Callable[[Arrays], Arrays]:
    return lambda good: {key: array for key, array in good.items() if key not in keys}


with_nan = np.zeros((30, 4), np.float32)
with_nan[3, 2], with_nan[5, 0] = np.nan, np.inf


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (without("y_test"), ["y_test is missing; the file has x_train, y_train, x_test"]),
        (change(x_train=np.array([[1], "a"], dtype=object)), ["x_train is an array of Python objects"]),
        (change(x_train=np.zeros((30, 6, 5), np.uint8)), ["x_train has shape (30, 6, 5), not"]),
        (change(x_train=np.zeros((0, 6, 5, 3), np.uint8)), ["x_train is empty"]),
        (change(x_train=np.zeros((30, 3, 32, 32), np.uint8)), ["x_train has shape (30, 3, 32, 32): "]),
        *(
            (change(x_train=np.zeros((30, c, 16, 16), np.uint8)), [f"x_train has shape (30, {c}, 16, 16): channels"])
            for c in (2, 4, 12)
        ),
        (change(x_val=np.zeros(4), y_dev=np.zeros(4)), ["x_val would not be read", "y_dev would not be read"]),
        (change(x_train=np.zeros((30, 6, 5, 3), np.int32)), ["x_train is int32"]),
        (change(x_train=np.zeros((30, 6, 5, 3), np.complex64)), ["x_train is complex64"]),
        (change(x_train=np.full((30, 4), "a")), ["x_train is <U1"]),
        (change(x_train=with_nan, x_test=with_nan[6:15]), ["x_train has 2 values that are NaN or infinite"]),
        (change(x_train=np.full((30, 4), 1e200), x_test=np.zeros((9, 4))), ["x_train has 120 values that"]),
        (change(x_train=np.zeros((29, 6, 5, 3), np.uint8)), ["x_train has 29 examples, y_train 30 labels"]),
        (change(y_test=np.arange(8) % 3), ["x_test has 9 examples, y_test 8 labels"]),
        (change(x_test=np.zeros((9, 6, 4, 3), np.uint8)), ["an example of x_train is (6, 5, 3), of x_test"]),
        (change(x_test=np.zeros((9, 6, 5, 3))), ["x_train is uint8 and x_test float64"]),
        (change(y_train=np.arange(30) % 3 + 1), ["1 of the classes 0...3 have no training examples: 0"]),
        (change(y_train=np.arange(30) % 3 * 4), ["6 of the classes 0...8 have no training"]),
        (change(y_test=np.full(9, 3)), ["1 of the classes 0...3 have no training examples: 3"]),
        (change(y_train=np.arange(30) % 3 - 1), ["y_train has the negative label -1"]),
        (change(y_train=np.arange(30) % 3 + 2**62), ["y_train has the label 46116860184273879"]),
        (change(y_train=np.full(30, 2**64 - 1, np.uint64)), ["y_train has the label 18446744073709551615"]),
        (change(y_train=np.arange(30) % 3 / 1.0), ["y_train is float64, not integer"]),
        (change(y_train=np.eye(3)[np.arange(30) % 3].astype(int)), ["y_train has shape (30, 3), not (N,)"]),
        (change(y_train=np.zeros(30, int), y_test=np.zeros(9, int)), ["all labels are 0: one class only"]),
        (change(y_train=np.zeros(0, int)), ["y_train is empty"]),
    ],
)  # fmt: skip
def test_unusable_arrays_are_refused_with_the_reason(
    spoil: Callable[[Arrays], Arrays], expected: list[str], tmp_path: Path
) -> None:
    told = problems_of(saved(tmp_path, spoil(good_arrays())))
    assert len(told) == len(expected), told
    for problem, beginning in zip(told, expected, strict=True):
        assert problem.startswith(beginning)


def test_intact_labels_and_a_validation_split_of_an_array_file_are_read(tmp_path: Path) -> None:
    arrays = good_arrays()
    plain = load_dataset(saved(tmp_path, arrays)).fingerprint
    intact = np.roll(arrays["y_train"], 1)
    more = {"intact_train": intact, "x_validation": arrays["x_test"][:4], "y_validation": np.arange(4) % 3}
    dataset = load_dataset(saved(tmp_path, {**arrays, **more}))
    assert dataset.y_train.tolist() == arrays["y_train"].tolist()
    assert dataset.intact_train is not None
    assert dataset.intact_train.tolist() == intact.tolist()
    assert dataset.x_validation is not None
    assert torch.equal(dataset.x_validation, dataset.x_test[:4])
    assert dataset.fingerprint != plain


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ({"intact_train": np.arange(29) % 3}, "x_train has 30 examples, intact_train 29 labels"),
        ({"intact_train": np.arange(30) % 4}, "1 of the classes 0...3 have no training examples: 3"),
        ({"intact_train": np.arange(30) % 3 / 1}, "intact_train is float64"),
        ({"y_validation": np.arange(4) % 3}, "y_validation is there and x_validation is not"),
        (
            {"x_validation": np.zeros((4, 5, 5, 3), np.uint8), "y_validation": np.arange(4) % 3},
            "an example of x_train is (6, 5, 3), of x_validation (5, 5, 3)",
        ),
        ({"intact_train": np.array([None] * 30)}, "intact_train is an array of Python objects"),
    ],
)
def test_unusable_optional_arrays_are_refused(more: Arrays, problem: str, tmp_path: Path) -> None:
    (told,) = problems_of(saved(tmp_path, {**good_arrays(), **more}))
    assert told.startswith(problem)


@pytest.mark.parametrize("shape", [(8, 8, 4), (2, 3, 3), (4, 8, 1), (16, 16, 12), (16, 8, 8)])
def test_images_that_may_well_have_their_channels_last_are_taken(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = np.zeros((30, *shape), np.uint8)
    dataset = load_dataset(saved(tmp_path, {**good_arrays(), "x_train": images, "x_test": images[:9]}))
    assert dataset.example_shape == (shape[2], *shape[:2])


def test_floats_of_another_scale_than_those_trained_on_are_warned_of(tmp_path: Path) -> None:
    arrays = {key: array.astype(np.float32) if key[0] == "x" else array for key, array in good_arrays().items()}
    assert load_dataset(saved(tmp_path, arrays)).warnings == ()
    arrays["x_train"] /= 255
    (warning,) = load_dataset(saved(tmp_path, arrays)).warnings
    assert warning == "x_train reaches 1 and x_test 255, which is hardly one scale"
    standardised = np.random.default_rng(0).normal(size=(39, 7))
    arrays |= {"x_train": standardised[:30], "x_test": standardised[30:]}
    assert load_dataset(saved(tmp_path, arrays)).warnings == ()


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_training_examples_that_are_all_the_same_are_warned_of_once(dtype: type, tmp_path: Path) -> None:
    arrays = {key: array.astype(dtype) if key[0] == "x" else array for key, array in good_arrays().items()}
    arrays["x_train"] = np.broadcast_to(np.array([7, 0, 255], dtype), (30, 6, 5, 3))
    found = load_dataset(saved(tmp_path, arrays))
    assert found.warnings == ("all training examples are one and the same, so nothing can be learnt from them",)
    assert found.limit_train(9).warnings == found.warnings
    assert torch.equal(found.std, torch.ones(3))


def test_only_the_first_absent_classes_are_listed(tmp_path: Path) -> None:
    told = problems_of(saved(tmp_path, {**good_arrays(), "y_train": np.arange(30) % 3 * 4}))
    assert told == ["6 of the classes 0...8 have no training examples: 1, 2, 3, 5, 6, ..."]


def test_everything_wrong_with_a_file_is_told_at_once(tmp_path: Path) -> None:
    arrays = {
        "x_train": with_nan,
        "y_train": np.arange(30) % 2 * 2,
        "x_test": np.array([{"a": 1}], dtype=object),
    }
    told = "\n".join(problems_of(saved(tmp_path, arrays)))
    for part in (
        "y_test is missing",
        "x_test is an array of Python objects",
        "x_train has 2 values that are NaN",
        "1 of the classes 0...2 have no training examples: 1",
    ):
        assert part in told


class _Bomb:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path(_Bomb.trace),))

    trace = ""


def test_pickled_code_in_a_file_is_not_run(tmp_path: Path) -> None:
    _Bomb.trace = str(tmp_path / "was-run")
    name = saved(tmp_path, {**good_arrays(), "x_test": np.array([_Bomb()], dtype=object)})
    assert problems_of(name)[0].startswith("x_test is an array of Python objects")
    raw = tmp_path / "raw.npz"
    raw.write_bytes(pickle.dumps(_Bomb()))
    assert problems_of(str(raw))[0].startswith("cannot be read as .npz")
    assert not Path(_Bomb.trace).exists()


def test_files_that_are_no_npz_are_refused(tmp_path: Path) -> None:
    import zipfile

    whole = Path(saved(tmp_path, good_arrays())).read_bytes()
    cases: dict[str, tuple[bytes, str]] = {
        "empty": (b"", "cannot be read as .npz"),
        "text": (b"x_train,y_train\n", "cannot be read as .npz"),
        "truncated": (whole[:-100], "cannot be read as .npz"),
    }
    for name, (content, problem) in cases.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        assert problems_of(str(path))[0].startswith(problem), name

    with (tmp_path / "bare.npz").open("wb") as stream:
        np.save(stream, np.zeros(3))
    assert problems_of(str(tmp_path / "bare.npz")) == ["holds one bare array, not the arrays of a .npz"]

    damaged = bytearray(whole)
    damaged[whole.index(b"NUMPY") + 200] ^= 1  # a pixel of x_train: its checksum no longer fits
    (tmp_path / "damaged.npz").write_bytes(damaged)
    assert problems_of(str(tmp_path / "damaged.npz"))[0].startswith("x_train cannot be read (BadZipFile")

    with zipfile.ZipFile(tmp_path / "foreign.npz", "w") as archive:
        archive.writestr("x_train.npy", "not numpy's format")
    assert problems_of(str(tmp_path / "foreign.npz"))[0].startswith("x_train cannot be read")


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    (tmp_path / "folder.npz").mkdir()
    assert problems_of(str(tmp_path / "absent.npz")) == ["no such file"]
    assert problems_of(str(tmp_path / "folder.npz")) == ["is a folder"]


# --- installed packages ---


def test_an_installed_package_adds_a_data_set_and_a_broken_one_harms_no_other(
    install_package: InstallPackage,
) -> None:
    install_package(
        "emphasis.datasets",
        {
            "stripes": "example_stripes:Stripes",
            "broken": "example_broken:Source",
            "nothing": "example_stripes:NOTHING",
            "digits": "example_broken:Source",
        },
        example_stripes=(
            "import torch\n"
            "from trainers.datasets import Dataset\n"
            "NOTHING = 3\n"
            "class Stripes:\n"
            "    description = 'stripes'\n"
            "    def check(self, data_dir, download): pass\n"
            "    def load(self, data_dir, download):\n"
            "        x, y = torch.eye(4).repeat(5, 1), torch.arange(4).repeat(5)\n"
            "        return Dataset.from_tensors('stripes', x, y, x, y, num_classes=4)\n"
        ),
        example_broken="raise RuntimeError('half installed')\n",
    )
    names = dataset_names()
    assert {"stripes", "broken", "cifar10"} <= set(names)
    assert names.count("digits") == 1
    check_dataset("stripes")
    assert load_dataset("stripes").num_classes == 4
    assert len(load_dataset("digits").y_train) == 1437
    for ask in (check_dataset, load_dataset):
        with pytest.raises(InvalidInput) as caught:
            ask("broken")
        (error,) = caught.value.errors
        assert (error.field, error.value) == ("dataset", "broken")
        assert "emphasis-example" in error.problem
        assert "RuntimeError: half installed" in error.problem
        with pytest.raises(InvalidInput, match="lacks description, check or load"):
            ask("nothing")


def test_what_an_installed_package_raises_or_gives_in_place_of_a_data_set_names_the_package(
    install_package: InstallPackage,
) -> None:
    install_package(
        "emphasis.datasets",
        {"failing": "example_failing:Failing", "careless": "example_failing:Careless", "told": "example_failing:Told"},
        example_failing=(
            "from trainers.errors import FieldError, InvalidInput\n"
            "class Careless:\n"
            "    description = 'gives a dict'\n"
            "    def check(self, data_dir, download): pass\n"
            "    def load(self, data_dir, download): return {'x_train': 1}\n"
            "class Failing(Careless):\n"
            "    def check(self, data_dir, download): raise FileNotFoundError('labels.txt')\n"
            "    def load(self, data_dir, download):\n"
            "        error = KeyError('labels')\n"
            "        error.add_note('while reading row 3')\n"
            "        raise error\n"
            "class Told(Careless):\n"
            "    def load(self, data_dir, download):\n"
            "        raise InvalidInput(FieldError('data_dir', None, 'its own words', 'Give it.'))\n"
        ),
    )
    plugin = "of the plugin emphasis-example (example_failing:Failing) fails"
    for ask, problem in (
        (check_dataset, f"check {plugin}: FileNotFoundError: labels.txt"),
        (load_dataset, f"load {plugin}: KeyError: 'labels'"),
    ):
        with pytest.raises(InvalidInput) as caught:
            ask("failing")
        (error,) = caught.value.errors
        assert (error.field, error.value) == ("dataset", "failing")
        assert error.problem == problem
    with pytest.raises(InvalidInput, match="load of its plugin gives a dict, not a Dataset"):
        load_dataset("careless")
    with pytest.raises(InvalidInput, match="its own words"):
        load_dataset("told")
