from __future__ import annotations

import csv
import errno
import os
import shutil
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from image_tree import digit_image
from image_tree import digit_label
from image_tree import spoil
from PIL import Image

from trainers.datasets import Dataset
from trainers.datasets import ImageFiles
from trainers.datasets import check_dataset
from trainers.datasets import dataset_path
from trainers.datasets import dataset_source
from trainers.datasets import load_dataset
from trainers.datasets.image_files import UndecodableImageWarning
from trainers.datasets.image_folder import ImageFolder
from trainers.datasets.manifest import Manifest
from trainers.datasets.torchvision_dataset import TorchvisionDataset
from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.noise import symmetric_noise
from trainers.recipes import training_task
from trainers.supervision import GradientRescaling
from trainers.training import Lane
from trainers.training import train


def pixels(index: int, mode: str = "RGB") -> torch.Tensor:
    array = np.asarray(digit_image(index, mode=mode)).copy()
    return torch.from_numpy(array.reshape(8, 8, -1)).permute(2, 0, 1)


def errors_of(name: str, data_dir: Path | None = None) -> list[FieldError]:
    """What checking and loading say alike."""
    told = []
    for ask in (check_dataset, load_dataset):
        with pytest.raises(InvalidInput) as caught:
            ask(name, data_dir)
        assert all(error.remedy for error in caught.value.errors)
        told.append(list(caught.value.errors))
    assert told[0] == told[1]
    return told[0]


def problems_of(name: str, data_dir: Path | None = None) -> list[str]:
    return [error.problem for error in errors_of(name, data_dir)]


# --- folders ---


def folder_of(
    root: Path,
    train: int = 30,
    test: int = 0,
    *,
    size: tuple[int, int] = (8, 8),
    mode: str = "RGB",
    suffix: str = ".png",
) -> Path:
    """Digits 0, 1 and 2, in folders named so that their order is not that of the digits."""
    names = {0: "zero", 1: "one", 2: "two"}
    found = [index for index in range(600) if digit_label(index) in names]
    for part, indices in (("train", found[:train]), ("test", found[train : train + test])):
        for index in indices:
            folder = root / part / names[digit_label(index)]
            folder.mkdir(parents=True, exist_ok=True)
            digit_image(index, size, mode).save(folder / f"{index:04d}{suffix}")
    return root


def test_a_folder_of_small_images_is_read_into_memory_as_it_is(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "digits-of-mine", 30, 9)
    check_dataset(str(root))
    dataset = load_dataset(str(root))
    assert dataset.name == "digits-of-mine"
    assert dataset.class_names == ("one", "two", "zero")
    assert isinstance(dataset.x_train, torch.Tensor)
    assert dataset.x_train.shape == (30, 3, 8, 8)
    assert dataset.x_test.shape == (9, 3, 8, 8)
    files = sorted(path for path in (root / "train").rglob("*.png"))
    for image, label, path in zip(dataset.x_train, dataset.y_train, files, strict=True):
        assert torch.equal(image, pixels(int(path.stem)))
        assert dataset.class_names[label] == path.parent.name
    assert dataset.intact_train is dataset.y_train
    assert dataset.x_validation is None


def test_grey_images_keep_one_channel_only_where_all_are_grey(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 12, 6, mode="L")
    assert load_dataset(str(root)).example_shape == (1, 8, 8)
    first = next((root / "test").rglob("*.png"))
    digit_image(int(first.stem)).save(first)
    assert load_dataset(str(root)).example_shape == (3, 8, 8)


def test_images_of_several_sizes_become_squares_of_256_and_val_is_the_validation_split(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 12, 6)
    (root / "test").rename(root / "val")
    first = next((root / "train").rglob("*.png"))
    digit_image(int(first.stem), (300, 280)).save(first)
    dataset = load_dataset(str(root))
    assert dataset.example_shape == (3, 256, 256)
    assert dataset.x_validation is not None
    assert dataset.y_validation is not None
    assert len(dataset.x_validation) == len(dataset.y_validation) == 6
    assert len(dataset.x_train) + len(dataset.x_test) == 12


def test_without_a_test_folder_a_fifth_of_every_class_is_the_test_set_and_always_the_same(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 60)
    first = load_dataset(str(root))
    assert (len(first.y_train), len(first.y_test)) == (48, 12)
    assert first.warnings == ("there is no folder test: 12 images of train, a fifth, are the test set",)
    for counts in zip(first.y_train.bincount().tolist(), first.y_test.bincount().tolist(), strict=True):
        assert counts[1] == pytest.approx(0.2 * sum(counts), abs=1)
    again = ImageFolder(root).load()
    assert again is not first
    assert again.fingerprint == first.fingerprint
    rows = {tuple(image.flatten().tolist()) for image in torch.cat([first.x_train, first.x_test])}
    assert len(rows) == 60


@pytest.mark.parametrize("name", ["Test", "testing", "Val", "dev", "eval"])
def test_a_part_of_another_name_is_refused_rather_than_ignored(name: str, tmp_path: Path) -> None:
    root = folder_of(tmp_path, 20, 6)
    (root / "test").rename(root / name)
    (root / "extra").mkdir()
    (told,) = errors_of(str(root))
    assert (told.problem, told.remedy) == (f"{name} would not be read", "Call it train, test or val, or move it away.")


def test_folders_that_stand_for_no_part_that_is_missing_are_let_be(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 20, 6)
    (root / "eval").mkdir()  # a test set is there
    (root / "eval" / "predictions.csv").write_text("x")
    (root / "dev").mkdir()  # no images
    assert len(load_dataset(str(root)).y_test) == 6


def test_another_name_of_a_part_that_is_read_is_no_other_part(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 20, 6)
    (root / "Test").symlink_to("test")  # as a disk that ignores case has it
    assert len(load_dataset(str(root)).y_test) == 6


def test_hidden_and_other_files_are_passed_over_and_inner_folders_and_links_are_followed(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 20)
    clean = load_dataset(str(root))
    one = root / "train" / "one"
    (one / ".DS_Store").write_text("x")
    (one / "readme.txt").write_text("x")
    (one / "._0001.png").write_text("x")
    (root / "train" / ".cache").mkdir()
    (root / "train" / "notes.md").write_text("x")
    (one / "back").symlink_to(one, target_is_directory=True)
    assert load_dataset(str(root)).fingerprint == clean.fingerprint
    (one / "more").mkdir()
    digit_image(1).save(one / "more" / "A.PNG")
    assert len(load_dataset(str(root)).y_train) + len(load_dataset(str(root)).y_test) == 21


def test_files_that_are_passed_over_are_counted_by_extension_and_named_where_a_class_has_nothing_else(
    tmp_path: Path,
) -> None:
    root = folder_of(tmp_path, 20, 4)
    assert load_dataset(str(root)).warnings == ()
    one = root / "train" / "one"
    for name in ("a.HEIC", "b.heic", "notes", ".hidden.heic"):
        (one / name).write_text("x")
    digit_image(1).save(one / "more.png")
    (warning,) = load_dataset(str(root)).warnings
    assert warning == "3 files are passed over, by their names no images: .heic (2), no extension (1)"
    assert load_dataset(str(root)).limit_train(9).warnings == (warning,)
    for path in one.glob("*.png"):
        path.unlink()
    (told,) = problems_of(str(root))
    assert told == "1 classes without training images: one; other files: .heic (2), no extension (1)"


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [
        (".tif", "RGB"), (".tiff", "L"), (".gif", "L"), (".gif", "P"), (".pgm", "L"), (".pbm", "1"), (".pnm", "RGB"),
        (".tif", "I;16"), (".tif", "CMYK"), (".png", "P"),
    ],
)  # fmt: skip
def test_every_kind_of_image_that_is_taken_shows_the_same_picture(suffix: str, mode: str, tmp_path: Path) -> None:
    root = folder_of(tmp_path / "as_png", 12, 6)
    expected = load_dataset(str(root))
    for path in list(root.rglob("*.png")):
        image = digit_image(int(path.stem), mode="L" if mode == "I;16" else "RGB")
        if mode == "I;16":
            image = Image.fromarray(np.asarray(image).astype(np.uint16) << 8)
        path.unlink()
        (image.quantize() if mode == "P" else image.convert(mode)).save(path.with_suffix(suffix))
    found = load_dataset(str(root))
    assert found.warnings == ()
    assert len(found.x_train) == 12
    assert isinstance(found.x_train, torch.Tensor)
    assert isinstance(expected.x_train, torch.Tensor)
    if mode != "1":  # of which nothing but black and white is left
        assert (found.x_train.double() - expected.x_train.double()).abs().max() <= 4


@pytest.mark.parametrize(
    ("dtype", "suffix", "factor", "reach", "levels"),
    [(np.uint16, ".png", 1, 255, 1), (np.int32, ".tif", 1, 255, 1), (np.uint16, ".png", 16, 4080, 16)],
)
def test_sixteen_bit_images_whose_high_bytes_tell_little_are_warned_of(
    dtype: type, suffix: str, factor: int, reach: int, levels: int, tmp_path: Path
) -> None:
    root = folder_of(tmp_path, 12, 6)
    for path in list(root.rglob("*.png")):
        grey = np.asarray(digit_image(int(path.stem), mode="L")).astype(dtype)
        path.unlink()
        Image.fromarray(grey * factor).save(path.with_suffix(suffix))
    first, *more = load_dataset(str(root)).warnings
    assert first == (
        f"16-bit images reach {reach} of 65,535, of which the high byte is taken: {levels} of 256 levels of grey are "
        "left; write them as 8 bit"
    )
    assert [text.split(",")[0] for text in more] == ["all training examples are one and the same"] * (levels == 1)


def test_of_an_animated_image_the_first_frame_is_taken(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 12, 6, mode="L")
    expected = load_dataset(str(root))
    for path in list(root.rglob("*.png")):
        image = digit_image(int(path.stem), mode="L")
        path.unlink()
        image.save(path.with_suffix(".gif"), save_all=True, append_images=[image.transpose(0), image.transpose(1)])
    found = load_dataset(str(root))
    assert isinstance(found.x_train, torch.Tensor)
    assert torch.equal(found.x_train[:, :1], expected.x_train)


def test_images_of_float_pixels_are_left_out_since_their_scale_is_not_known(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 40, 9)
    first = next((root / "train").rglob("*.png"))
    Image.fromarray(np.asarray(digit_image(0, mode="L")).astype(np.float32) / 255).save(first.with_suffix(".tif"))
    with pytest.warns(UndecodableImageWarning, match="its pixels are floats"):
        assert len(load_dataset(str(root)).x_train) == 40


def test_an_image_of_another_size_among_small_ones_is_named_and_sizes_that_all_differ_are_not(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 12, 6)
    first = min((root / "train").rglob("*.png"))
    digit_image(0, (9, 8)).save(first)
    (warning,) = load_dataset(str(root)).warnings
    odd = first.relative_to(root)
    assert warning == f"images are kept at 256x256 since their sizes differ: {odd} is 9x8, most are 8x8"
    for number, path in enumerate(sorted(root.rglob("*.png"))):
        digit_image(0, (9 + number, 8)).save(path)
    assert load_dataset(str(root)).warnings == ()
    for path in root.rglob("*.png"):
        digit_image(0, (200, 200)).save(path)
    assert load_dataset(str(root)).warnings == ()


def test_a_changed_folder_is_read_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 20)
    first = load_dataset(str(root))
    assert load_dataset(str(root)) is first
    image = next((root / "train").rglob("*.png"))
    digit_image(5).save(image)
    os.utime(image, ns=(1, 1))
    assert load_dataset(str(root)) is not first


def test_beyond_the_bound_images_stay_on_disk_and_are_the_same(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 20, 5, size=(60, 100), suffix=".jpg")
    (root / "val").mkdir()
    for path in (root / "test").iterdir():
        (root / "val" / path.name).symlink_to(path)
    told: list[tuple[int, int]] = []
    resident = ImageFolder(root, workers=0).load(on_progress=lambda *done: told.append(done))
    assert told[-1] == (30, 30)
    told.clear()
    streamed = ImageFolder(root, resident_bytes=2**20, workers=0).load(on_progress=lambda *done: told.append(done))
    assert told == [(20, 20)]
    assert isinstance(streamed.x_train, ImageFiles)
    assert isinstance(streamed.x_validation, ImageFiles)
    assert streamed.x_train.shape == resident.x_train.shape == (20, 3, 256, 256)
    (images,) = [images for images, _ in streamed.x_train.batches(torch.arange(20), 20)]
    assert torch.equal(images, resident.x_train)
    assert torch.equal(streamed.y_train, resident.y_train)
    assert torch.equal(streamed.mean, resident.mean)
    assert streamed.limit_train(7).x_train.shape == (7, 3, 256, 256)


def test_large_images_are_trained_on_in_crops_of_224_unless_told_otherwise(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 12, 4, size=(120, 100), suffix=".jpg")
    dataset = load_dataset(str(root))
    assert training_task(dataset, device="cpu").augmentation == "resize-crop-flip"
    task = training_task(dataset, backbone="mlp", epochs=1, batch_size=6, device="cpu", augmentation="resize-crop-flip")
    assert task.network_input_shape == (3, 224, 224)
    (result,) = train(task, [Lane("lane", GradientRescaling(4, 0.5), symmetric_noise(dataset.y_train, 0.2, 3, 0), 0)])
    assert result.final is not None


def test_files_that_are_no_images_are_left_out_with_their_labels(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 40, 9)
    bad = sorted((root / "train").rglob("*.png"))[7]
    spoil(bad)
    with pytest.warns(UndecodableImageWarning, match=str(bad)):
        dataset = load_dataset(str(root))
    assert len(dataset.x_train) == len(dataset.y_train) == 39
    names = sorted(path for path in (root / "train").rglob("*.png") if path != bad)
    assert torch.equal(dataset.x_train[7], pixels(int(names[7].stem)))
    assert dataset.class_names is not None
    assert [dataset.class_names[label] for label in dataset.y_train] == [path.parent.name for path in names]


def test_a_folder_of_files_that_are_no_images_is_refused_with_the_first_five(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 40, 9)
    for path in sorted((root / "train").rglob("*.png"))[:11]:
        spoil(path)
    with pytest.warns(UndecodableImageWarning), pytest.raises(InvalidInput, match="11 of 40 image files cannot"):
        load_dataset(str(root))


def test_a_class_of_which_no_image_can_be_decoded_is_named(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 12, 5)
    for path in (root / "train" / "two").iterdir():
        spoil(path)
    with pytest.warns(UndecodableImageWarning), pytest.raises(InvalidInput, match="1 classes can be decoded: two"):
        load_dataset(str(root))


def test_an_unusable_folder_is_refused_with_the_reason(tmp_path: Path) -> None:
    assert problems_of(str(tmp_path / "absent")) == ["no such folder"]
    assert problems_of(str(tmp_path)) == ["has no folder train"]
    (tmp_path / "train").mkdir()
    assert "train has 0 folders of classes" in problems_of(str(tmp_path))[0]
    root = folder_of(tmp_path / "mine", 20, 9)
    (root / "train" / "empty").mkdir()
    (root / "test" / "unknown").mkdir()
    digit_image(0).save(root / "test" / "unknown" / "0.png")
    digit_image(0).save(root / "train" / "stray.png")
    told = problems_of(str(root))
    assert told == [
        "1 images lie in no class's folder: train/stray.png",
        "1 classes without training images: empty",
        "1 classes without training images: unknown",
    ]


def test_two_folders_of_validation_images_are_refused(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 20, 9)
    for name in ("val", "validation"):
        shutil.copytree(root / "test", root / name)
    assert problems_of(str(root)) == ["has val and validation"]


@pytest.mark.parametrize("name", ["val", "valid", "validation"])
def test_validation_images_are_found_by_each_of_their_folders_names(tmp_path: Path, name: str) -> None:
    root = folder_of(tmp_path, 12, 6)
    (root / "test").rename(root / name)
    dataset = load_dataset(str(root))
    assert dataset.y_validation is not None
    assert len(dataset.y_validation) == 6


def test_a_path_of_another_kind_is_called_what_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("images.h5", "images.zip"):
        (tmp_path / name).write_bytes(b"x")
        for written in (name, f"./{name}", str(tmp_path / name)):
            (error,) = errors_of(written)
            assert (error.field, error.value) == ("dataset", written)
            assert error.problem == "is a file that is none of .npz, .csv, .parquet"
    (tmp_path / "list.csv").mkdir()
    assert problems_of("list.csv") == ["is a folder"]


def test_too_few_images_to_hold_out_a_test_set_are_refused(tmp_path: Path) -> None:
    root = folder_of(tmp_path, 20)
    for path in sorted((root / "train").rglob("*.png")):
        if path != min(path.parent.iterdir()):
            path.unlink()
    assert "too few for 3 classes" in problems_of(str(root))[0]


# --- manifests ---


Rows = list[dict[str, object]]


def manifest_rows(folder: Path, count: int = 40, size: tuple[int, int] = (8, 8)) -> Rows:
    folder.mkdir(parents=True, exist_ok=True)
    found = [index for index in range(600) if digit_label(index) < 3][:count]
    for index in found:
        digit_image(index, size).save(folder / f"{index}.png")
    return [{"path": f"{folder.name}/{index}.png", "label": digit_label(index)} for index in found]


def write_csv(path: Path, rows: Rows) -> str:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return str(path)


def test_a_manifest_of_paths_and_numbers_is_read_and_a_fifth_is_the_test_set(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path / "images")
    name = write_csv(tmp_path / "list.csv", rows)
    check_dataset(name)
    dataset = load_dataset(name)
    assert (dataset.name, dataset.num_classes, dataset.class_names) == ("list.csv", 3, None)
    assert (len(dataset.y_train), len(dataset.y_test)) == (32, 8)
    by_image = {tuple(pixels(int(Path(str(row["path"])).stem)).flatten().tolist()): row["label"] for row in rows}
    for image, label in zip(dataset.x_train, dataset.y_train, strict=True):
        assert by_image[tuple(image.flatten().tolist())] == int(label)
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    (tmp_path / "list.csv").rename(moved / "list.csv")
    assert load_dataset(str(moved / "list.csv"), tmp_path).fingerprint == dataset.fingerprint


def test_names_intact_labels_and_splits_are_understood_in_csv_and_parquet_alike(tmp_path: Path) -> None:
    names = ("shirt", "coat", "sock")
    rows: Rows = []
    for number, row in enumerate(manifest_rows(tmp_path / "images", 45)):
        intact = names[int(str(row["label"]))]
        split = ("train", "train", "train", "test", "validation")[number % 5]
        given = names[number % 3]
        rows.append({"label": given, "split": split, "path": row["path"], "intact_label": intact, "note": "a, b"})
    dataset = load_dataset(write_csv(tmp_path / "list.csv", rows))
    assert dataset.class_names == ("coat", "shirt", "sock")

    def numbers(column: str, split: str) -> list[int]:
        return [sorted(names).index(str(row[column])) for row in rows if row["split"] == split]

    assert dataset.y_train.tolist() == numbers("label", "train")
    assert dataset.intact_train is not None
    assert dataset.intact_train.tolist() == numbers("intact_label", "train")
    assert dataset.y_test.tolist() == numbers("intact_label", "test")
    assert dataset.y_validation is not None
    assert dataset.y_validation.tolist() == numbers("intact_label", "validation")

    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "list.parquet")
    assert load_dataset(str(tmp_path / "list.parquet")).fingerprint == dataset.fingerprint
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no more")
    assert problems_of(str(tmp_path / "broken.parquet"))[0].startswith("cannot be read as Parquet")


def test_parquet_without_pyarrow_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    (tmp_path / "list.parquet").write_bytes(b"PAR1")
    (error,) = errors_of(str(tmp_path / "list.parquet"))
    assert error.problem == "reading Parquet needs pyarrow"
    assert "pip install pyarrow" in error.remedy


def changed(column: str, value: object, every: int = 1) -> Callable[[Rows], Rows]:
    return lambda rows: [{**row, column: value} if i % every == 0 else row for i, row in enumerate(rows)]


def relabelled(label: Callable[[int], object]) -> Callable[[Rows], Rows]:
    return lambda rows: [{**row, "label": label(int(str(row["label"])))} for row in rows]


@pytest.mark.parametrize(
    ("spoil", "problem"),
    [
        (relabelled(lambda label: label - 1), "label has the negative label -1"),
        (relabelled(lambda label: label + 1), "1 of the classes 0...3 have no training examples: 0"),
        (relabelled(lambda label: label * 10**30), "label has the label 4611686018427387904"),
        (relabelled(lambda label: 0), "all labels are 0: one class only"),
        (relabelled(lambda label: "same"), "all labels are 'same': one class only"),
        (changed("label", "", 4), "10 rows have no label"),
        (changed("split", "evaluation"), "unknown splits: evaluation"),
        (lambda rows: [{"split": "test", **row} for row in rows], "has no training examples"),
        (
            lambda rows: [{**row, "split": "test" if row["label"] == 2 else "train"} for row in rows],
            "1 of the classes 0...2 have no training examples: 2",
        ),
        (
            lambda rows: [{**row, "label": f"c{row['label']}", "intact_label": "other"} for row in rows],
            "1 of 4 classes have no training examples: other",
        ),
        (lambda rows: [{**row, "intact_label": ""} for row in rows], "40 rows have no intact_label"),
        (lambda rows: [{"file": row["path"], "label": row["label"]} for row in rows], "has no column path"),
        (
            lambda rows: [{**row, "split": "train"} for row in rows] + [{**rows[0], "split": "test"}],
            "1 files are in more than one split: images/",
        ),
        (
            lambda rows: [*rows, rows[3], {**rows[3], "path": f"./{rows[3]['path']}", "label": 0}, rows[4]],
            "2 files have more than one row and there is no test split: images/",
        ),
    ],
)  # fmt: skip
def test_an_unusable_manifest_is_refused_with_the_reason(
    spoil: Callable[[Rows], Rows], problem: str, tmp_path: Path
) -> None:
    rows = spoil(manifest_rows(tmp_path / "images"))
    rows = [{**{key: "" for key in rows[0]}, **row} for row in rows] if "split" in rows[0] else rows
    (told,) = problems_of(write_csv(tmp_path / "list.csv", rows))
    assert told.startswith(problem)


def test_a_few_labels_that_are_no_numbers_among_numbers_are_warned_of(tmp_path: Path) -> None:
    rows = changed("label", "nan", 10)(manifest_rows(tmp_path / "images"))
    dataset = load_dataset(write_csv(tmp_path / "list.csv", rows))
    assert dataset.class_names == ("0", "1", "2", "nan")
    (warning,) = dataset.warnings
    assert warning == "all labels are taken for names, 4 of them, since not all are whole numbers: nan"
    named = relabelled(lambda label: f"c{label}")(manifest_rows(tmp_path / "images"))
    assert load_dataset(write_csv(tmp_path / "named.csv", named)).warnings == ()


def test_a_file_of_several_rows_that_is_only_validated_on_is_taken(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path / "images")
    split = [{**row, "split": "validation" if number % 5 == 0 else "train"} for number, row in enumerate(rows)]
    dataset = load_dataset(write_csv(tmp_path / "list.csv", [*split, split[0]]))
    assert dataset.y_validation is not None
    assert len(dataset.y_validation) == 9


def test_files_of_several_rows_are_taken_where_no_test_set_is_held_out_of_them_and_said(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path / "images")
    split = [{**row, "split": "test" if number % 5 == 0 else "train"} for number, row in enumerate(rows)]
    assert load_dataset(write_csv(tmp_path / "list.csv", split)).warnings == ()
    dataset = load_dataset(write_csv(tmp_path / "list.csv", [*split, split[1], split[5]]))
    assert (len(dataset.y_train), len(dataset.y_test)) == (33, 9)
    (warning,) = dataset.warnings
    assert warning.startswith(f"1 training files have more than one row: {rows[1]['path']}; examples held out for ")


def test_missing_files_and_unsafe_paths_are_counted_and_the_first_five_named(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path / "images")
    for number in range(7):
        rows.append({"path": f"images/absent{number}.png", "label": 1})
    (tmp_path / "secret.png").write_text("x")
    inner = tmp_path / "images"
    rows += [{"path": path, "label": 0} for path in ("../secret.png", "/etc/passwd", "images/../../secret.png")]
    missing, unsafe = reversed(problems_of(write_csv(tmp_path / "list.csv", rows)))
    assert unsafe.startswith("3 paths are absolute or lead out of the folder: ../secret.png, /etc/passwd, ")
    named = ", ".join(f"images/absent{number}.png" for number in range(5))
    assert missing == f"7 of 50 files are missing in {tmp_path}: {named}, ..."
    assert inner.is_dir()


def test_tables_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    assert problems_of(str(tmp_path / "absent.csv")) == ["no such file"]
    table = tmp_path / "list.csv"
    neither = "has no column path and no column label"
    for content, problem in (
        (b"", neither),
        (b"file,label\na.png,1\n", "has no column path, but file, label"),
        (b"path;label\na.png;1\n", f"{neither}, but path;label: its values are separated by semicolons"),
        (b"path\tlabel\na.png\t1\n", f"{neither}, but path\tlabel: its values are separated by tabs"),
        (b"path,label\n", "has no rows"),
        (b"path,label\na.png,1,2\n", "1 rows have not the 2 values of the first: 2"),
        (b"path,label\n\xff\xfe,1\n", "cannot be read as CSV"),
        (b'path,label\n"a.png,1\n', "cannot be read as CSV"),
    ):
        table.write_bytes(content)
        (told,) = problems_of(str(table))
        assert told.startswith(problem)


def test_a_spreadsheets_mark_at_the_beginning_is_no_part_of_the_column(tmp_path: Path) -> None:
    name = write_csv(tmp_path / "list.csv", manifest_rows(tmp_path / "images"))
    Path(name).write_bytes(b"\xef\xbb\xbf" + Path(name).read_bytes())
    check_dataset(name)


def test_a_changed_manifest_or_image_is_read_again(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path / "images")
    name = write_csv(tmp_path / "list.csv", rows)
    first = load_dataset(name)
    assert load_dataset(name) is first
    os.utime(tmp_path / str(rows[0]["path"]), ns=(1, 1))
    second = load_dataset(name)
    assert second is not first
    write_csv(tmp_path / "list.csv", rows[:-5])
    assert len(load_dataset(name).y_train) == 28


def test_a_large_manifest_stays_on_disk_with_what_is_known_of_its_labels(tmp_path: Path) -> None:
    rows = manifest_rows(tmp_path / "images", size=(100, 90))
    rows = [{**row, "intact_label": 2 - int(str(row["label"]))} for row in rows]
    name = write_csv(tmp_path / "list.csv", rows)
    dataset = Manifest(Path(name), resident_bytes=2**20, workers=0).load()
    assert isinstance(dataset.x_train, ImageFiles)
    assert dataset.intact_train is not None
    assert torch.equal(dataset.intact_train, 2 - dataset.y_train)
    assert torch.equal(dataset.limit_train(12).intact_train, 2 - dataset.limit_train(12).y_train)


# --- clothing1m ---


def clothing_tree(root: Path, train: int = 42, clean: int = 14) -> Path:
    """The official layout with digits for clothes."""
    lists: dict[str, list[str]] = {}
    labels: dict[str, list[str]] = {"noisy": [], "clean": []}
    number = 0
    for name, count, kind in (
        ("noisy_train", train, "noisy"),
        ("clean_train", clean, "clean"),
        ("clean_val", clean, "clean"),
        ("clean_test", clean, "clean"),
    ):
        for i in range(count):
            key = f"images/{number % 10}/{number % 10}{number % 7}/{number},{number * 7}.jpg"
            (root / key).parent.mkdir(parents=True, exist_ok=True)
            digit_image(number, (110, 130)).save(root / key)
            lists.setdefault(name, []).append(key)
            labels[kind].append(f"{key} {i % 14}")
            number += 1
    # As in the original, some images have both labels.
    labels["clean"] += [f"{key} 3" for key in lists["noisy_train"][:5]]
    for name, keys in lists.items():
        (root / f"{name}_key_list.txt").write_text("\n".join(keys) + "\n")
    for kind, lines in labels.items():
        (root / f"{kind}_label_kv.txt").write_text("\n".join(lines) + "\n")
    (root / "category_names_eng.txt").write_text("\n".join(f"Garment {i}" for i in range(14)) + "\n")
    return root


def test_clothing1m_trains_on_the_shops_labels_and_is_judged_by_the_clean_ones(tmp_path: Path) -> None:
    root = clothing_tree(tmp_path)
    check_dataset("clothing1m", root)
    dataset = load_dataset("clothing1m", root)
    assert (dataset.name, dataset.num_classes) == ("clothing1m", 14)
    assert dataset.class_names == tuple(f"Garment {i}" for i in range(14))
    assert (len(dataset.x_train), len(dataset.x_test)) == (42, 14)
    assert dataset.x_validation is not None
    assert len(dataset.x_validation) == 14
    assert dataset.example_shape == (3, 256, 256)
    assert dataset.y_train.tolist() == [i % 14 for i in range(42)]
    assert dataset.y_test.tolist() == list(range(14))
    assert dataset.intact_train is None
    assert load_dataset("clothing1m", root) is dataset
    inner = root / "annotations"
    inner.mkdir()
    for path in root.glob("*.txt"):
        path.rename(inner / path.name)
    assert load_dataset("clothing1m", root).fingerprint == dataset.fingerprint


def test_accuracy_on_intact_labels_that_nobody_knows_is_no_number(tmp_path: Path) -> None:
    dataset = load_dataset("clothing1m", clothing_tree(tmp_path))
    task = training_task(dataset, backbone="mlp", epochs=1, batch_size=21, device="cpu")
    (result,) = train(task, [Lane("lane", GradientRescaling(4, 0.5), symmetric_noise(dataset.y_train, 0.2, 14, 0), 0)])
    assert result.final is not None
    assert np.isnan(result.final.intact_train)
    assert 0 <= result.final.corrupted_train <= 1


def test_an_incomplete_clothing1m_is_refused_with_all_that_is_wrong(tmp_path: Path) -> None:
    (error,) = errors_of("clothing1m")
    assert (error.field, error.value) == ("data_dir", None)
    assert problems_of("clothing1m", tmp_path)[0].startswith("missing: clean_label_kv.txt, clean_test_key_list.txt")
    root = clothing_tree(tmp_path)
    for key in (root / "noisy_train_key_list.txt").read_text().split()[:6]:
        (root / key).unlink()
    kept = (root / "clean_label_kv.txt").read_text().splitlines()
    (root / "clean_label_kv.txt").write_text("\n".join([*kept[:14], f"{kept[14].split()[0]} 14", *kept[15:30]]))
    (root / "category_names_eng.txt").write_text("only one\n")
    told = problems_of("clothing1m", root)
    assert told[0] == "category_names_eng.txt has 1 names, not 14"
    assert told[1].startswith("6 of 42 images of noisy_train_key_list.txt are missing: images/0/00/0,0.jpg, ")
    assert told[2].startswith("12 images of clean_test_key_list.txt have no label from 0 to 13 in clean_label_kv")
    assert told[3].startswith("1 images of clean_val_key_list.txt have no label from 0 to 13 in clean_label_kv")
    (root / "clean_val_key_list.txt").write_text("../../etc/passwd\n")
    assert any("1 paths of clean_val_key_list.txt lead out" in problem for problem in problems_of("clothing1m", root))


# --- torchvision ---


def write_idx(path: Path, array: np.ndarray) -> None:
    """MNIST's own format: http://yann.lecun.com/exdb/mnist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def fashion_tree(root: Path) -> Path:
    raw = root / "FashionMNIST" / "raw"
    for name, start, count in (("train", 0, 60), ("t10k", 100, 20)):
        images = [np.asarray(digit_image(start + i, (28, 28), "L")) for i in range(count)]
        write_idx(raw / f"{name}-images-idx3-ubyte", np.stack(images))
        write_idx(raw / f"{name}-labels-idx1-ubyte", np.array([digit_label(start + i) for i in range(count)]))
    return root


def test_a_torchvision_class_with_train_is_read_from_its_own_files(tmp_path: Path) -> None:
    name = "torchvision:FashionMNIST"
    check_dataset(name, fashion_tree(tmp_path))
    told: list[tuple[int, int]] = []
    dataset = load_dataset(name, tmp_path, on_progress=lambda *done: told.append(done))
    assert (dataset.name, dataset.num_classes, dataset.example_shape) == (name, 10, (1, 28, 28))
    assert dataset.class_names is not None
    assert dataset.class_names[1] == "Trouser"
    assert dataset.y_train.tolist() == [digit_label(i) for i in range(60)]
    assert dataset.y_test.tolist() == [digit_label(100 + i) for i in range(20)]
    assert torch.equal(dataset.x_test[3, 0], torch.from_numpy(np.asarray(digit_image(103, (28, 28), "L")).copy()))
    assert told[-1] == (80, 80)


def test_images_that_torchvision_keeps_as_an_array_are_those_that_it_gives_one_by_one(
    cifar10_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scipy.io import savemat
    from torchvision import datasets

    cifar = load_dataset("cifar10", cifar10_dir)
    assert load_dataset("torchvision:CIFAR10", cifar10_dir).fingerprint == cifar.fingerprint
    # SVHN's files are not here, and nothing else has their MD5: torchvision's check is replaced, not its reading.
    assert isinstance(cifar.x_test, torch.Tensor)
    for split, start in (("train", 0), ("test", 200)):
        images = cifar.x_test[start : start + 200].permute(2, 3, 1, 0).numpy()
        labels = cifar.y_test[start : start + 200].numpy()[:, None]
        savemat(tmp_path / f"{split}_32x32.mat", {"X": images, "y": np.where(labels == 0, 10, labels)})
    monkeypatch.setattr(datasets.SVHN, "_check_integrity", lambda self: True)
    dataset = load_dataset("torchvision:SVHN", tmp_path)
    assert torch.equal(dataset.x_train, cifar.x_test[:200])
    assert torch.equal(dataset.x_test, cifar.x_test[200:400])
    assert torch.equal(dataset.y_test, cifar.y_test[200:400])


def test_a_torchvision_class_with_split_has_its_own_validation_part(tmp_path: Path) -> None:
    for split, indices in (("train", range(60)), ("valid", range(60, 90)), ("test", range(90, 120))):
        for index in indices:
            folder = tmp_path / "country211" / split / f"land{digit_label(index)}"
            folder.mkdir(parents=True, exist_ok=True)
            digit_image(index, (32, 32)).save(folder / f"{index}.jpg")
    name = "torchvision:Country211"
    check_dataset(name, tmp_path)
    dataset = load_dataset(name, tmp_path)
    assert dataset.x_validation is not None
    assert (len(dataset.x_train), len(dataset.x_test), len(dataset.x_validation)) == (60, 30, 30)
    assert dataset.example_shape == (3, 32, 32)
    assert dataset.class_names == tuple(f"land{label}" for label in range(10))
    assert dataset.y_train.tolist() == sorted(digit_label(index) for index in range(60))
    streamed = TorchvisionDataset("Country211", resident_bytes=1000).load(tmp_path)
    assert isinstance(streamed.x_train, ImageFiles)
    assert torch.equal(streamed.mean, dataset.mean)


def test_a_torchvision_class_with_neither_has_a_test_set_held_out_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from torchvision import datasets

    class SmallFakeData(datasets.FakeData):
        def __init__(self, transform: None = None) -> None:
            super().__init__(size=50, image_size=(3, 40, 30), num_classes=3)

    monkeypatch.setattr(datasets, "FakeData", SmallFakeData)
    check_dataset("torchvision:FakeData")
    dataset = load_dataset("torchvision:FakeData")
    assert (len(dataset.x_train), len(dataset.x_test)) == (40, 10)
    assert dataset.example_shape == (3, 40, 30)
    everything = {tuple(np.asarray(image).transpose(2, 0, 1).ravel()): label for image, label in SmallFakeData()}
    for image, label in zip(dataset.x_test, dataset.y_test, strict=True):
        assert everything[tuple(image.flatten().numpy())] == int(label)
    with pytest.raises(InvalidInput, match=r"50 images take 0\.0 GiB in memory, and are no files"):
        TorchvisionDataset("FakeData", resident_bytes=1000).load(None)


def test_torchvision_names_files_and_classes_that_will_not_do_are_refused(tmp_path: Path) -> None:
    (error,) = errors_of("torchvision:FashonMNIST", tmp_path)
    assert error.problem == "torchvision has no such data set"
    assert "FashionMNIST" in error.remedy
    (error,) = errors_of("torchvision:FashionMNIST")
    assert (error.field, error.value) == ("data_dir", None)
    (error,) = errors_of("torchvision:FashionMNIST", tmp_path)
    assert error.problem == "torchvision cannot read FashionMNIST there (RuntimeError: Dataset not found)"
    assert "--download" in error.remedy
    check_dataset("torchvision:FashionMNIST", tmp_path, download=True)  # it would be fetched
    (error,) = errors_of("torchvision:EMNIST", tmp_path)
    assert error.problem == "torchvision's class needs more than a folder: split"
    voc = tmp_path / "land" / "sea"
    voc.mkdir(parents=True)
    assert "torchvision" in errors_of("torchvision:CocoDetection", voc)[0].problem


def test_damaged_files_of_torchvision_are_refused_and_not_taken_for_a_part_that_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labels = fashion_tree(tmp_path) / "FashionMNIST" / "raw" / "train-labels-idx1-ubyte"
    labels.write_bytes(b"")
    (error,) = errors_of("torchvision:FashionMNIST", tmp_path)
    assert error.problem.startswith("torchvision cannot read its files (ValueError: ")
    assert "copy or fetch them again" in error.remedy

    for split, indices in (("train", range(20)), ("test", range(20, 40))):
        place = tmp_path / "fer2013" / f"{split}.csv"
        place.parent.mkdir(exist_ok=True)
        rows = [(digit_label(i) % 7, " ".join(["0"] * 48 * 48)) for i in indices]
        text = "\n".join(["emotion,pixels", *(f"{label},{pixels}" for label, pixels in rows)])
        place.write_text(text if split == "train" else text.replace("0 0 0", "0 x 0", 1))
    # Only its own files have the MD5 that torchvision looks for.
    monkeypatch.setattr("torchvision.datasets.fer2013.check_integrity", lambda *_, **__: True)
    (error,) = errors_of("torchvision:FER2013", tmp_path)
    assert error.problem.startswith("torchvision cannot read its files (ValueError: invalid literal for int()")


def test_what_the_system_refuses_is_not_called_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: object, index: int) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    fashion_tree(tmp_path)
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.__getitem__", refused)
    (error,) = errors_of("torchvision:FashionMNIST", tmp_path)
    assert "Too many open files" in error.problem
    assert "delete" not in error.remedy

    def gone(self: object, index: int) -> None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), "train0.png")

    monkeypatch.setattr("torchvision.datasets.FashionMNIST.__getitem__", gone)
    (error,) = errors_of("torchvision:FashionMNIST", tmp_path)
    assert "copy or fetch them again" in error.remedy

    def exhausted(self: object, index: int) -> None:
        raise MemoryError

    monkeypatch.setattr("torchvision.datasets.FashionMNIST.__getitem__", exhausted)
    with pytest.raises(MemoryError):
        load_dataset("torchvision:FashionMNIST", tmp_path)


def test_a_torchvision_download_that_fails_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The network is the one part that is replaced: an address that nothing answers.
    monkeypatch.setattr("torchvision.datasets.FashionMNIST.mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(InvalidInput, match="FashionMNIST could not be downloaded") as caught:
        load_dataset("torchvision:FashionMNIST", tmp_path, download=True)
    assert [error.field for error in caught.value.errors] == ["download"]


# --- names and paths ---


def test_paths_are_told_from_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("digits", "flowers"):
        (tmp_path / folder).mkdir()
    for name in ("digits", "clothing1m", "torchvision:FashionMNIST", "no-such-thing"):
        assert dataset_path(name) is None
    for name in ("flowers", "./digits", "a/b", "list.csv", "LIST.PARQUET", "mine.npz"):
        assert dataset_path(name) == Path(name)
    assert isinstance(dataset_source("flowers"), ImageFolder)
    assert isinstance(dataset_source("./digits"), ImageFolder)
    assert isinstance(dataset_source("list.csv"), Manifest)
    assert not isinstance(dataset_source("digits"), ImageFolder)


def test_real_photographs_are_read_from_a_folder(cifar10_dir: Path, tmp_path: Path) -> None:
    from torchvision.datasets import CIFAR10

    photographs = CIFAR10(str(cifar10_dir), train=False)
    for index in range(60):
        image, label = photographs[index]
        folder = tmp_path / "train" / photographs.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        image.save(folder / f"{index:03d}.png")
    dataset: Dataset = load_dataset(str(tmp_path))
    whole = load_dataset("cifar10", cifar10_dir)
    known = {tuple(whole.x_test[i].flatten().tolist()): int(whole.y_test[i]) for i in range(60)}
    assert dataset.class_names is not None
    for image, label in zip(dataset.x_train, dataset.y_train, strict=True):
        assert photographs.classes[known[tuple(image.flatten().tolist())]] == dataset.class_names[label]
