from __future__ import annotations

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from image_tree import digit_image
from image_tree import digit_label
from image_tree import spoil
from image_tree import write_digits
from PIL import Image
from torch import Tensor

from trainers.datasets import Dataset
from trainers.datasets import ImageFiles
from trainers.datasets.image_files import UndecodableImageWarning
from trainers.datasets.pixels import pixels_of
from trainers.datasets.pixels import stored_shape
from trainers.errors import InvalidInput
from trainers.evaluation import Evaluation
from trainers.evaluation import predictions
from trainers.noise import symmetric_noise
from trainers.supervision import GradientRescaling
from trainers.training import Checkpoints
from trainers.training import Decision
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train


def all_of(files: ImageFiles, batch_size: int = 7) -> Tensor:
    return torch.cat([images for images, _ in files.batches(torch.arange(len(files)), batch_size)])


# --- one image ---


def test_the_shorter_side_becomes_the_stored_side_and_the_centre_is_kept() -> None:
    from torchvision.transforms import functional

    for size in ((300, 256), (256, 301), (500, 400), (120, 90), (256, 256), (97, 300)):
        image = digit_image(3, size)
        found = pixels_of(image.copy(), (3, 256, 256))
        # torchvision's own Resize(256) and CenterCrop(256), which rounds the longer side down, not to nearest.
        resized = functional.center_crop(functional.resize(image, 256), [256, 256])
        expected = np.asarray(resized).transpose(2, 0, 1)
        assert found.shape == (3, 256, 256)
        assert np.abs(found.astype(int) - expected).mean() <= (0.5 if size == (97, 300) else 0), size
    square = digit_image(3, (256, 256))
    assert np.array_equal(pixels_of(square, (3, 256, 256)), np.asarray(square).transpose(2, 0, 1))


def test_a_photograph_is_shrunk_without_aliasing() -> None:
    # Stripes one pixel wide: the mean grey is all that a smaller image can show of them.
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 200
    found = pixels_of(Image.fromarray(stripes), (3, 256, 256))
    assert np.abs(found[:, :, 4:-4].astype(int) - 100).max() <= 2


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [("L", ".png"), ("P", ".png"), ("RGBA", ".png"), ("LA", ".png"), ("CMYK", ".jpg"), ("1", ".png")],
)
def test_every_kind_of_image_becomes_colour(mode: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"image{suffix}"
    digit_image(5, (40, 40)).convert(mode).save(path)
    with Image.open(path) as image:
        found = pixels_of(image, (3, 40, 40)).astype(int)
    tolerance = 60 if mode in ("1", "P") else 6
    assert np.abs(found - np.asarray(digit_image(5, (40, 40))).transpose(2, 0, 1)).mean() < tolerance


def test_sixteen_bit_grey_keeps_its_high_byte(tmp_path: Path) -> None:
    grey = np.asarray(digit_image(5, mode="L")).astype(np.uint16)
    Image.fromarray(grey * 256 + 17).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as image:
        assert np.array_equal(pixels_of(image, (1, 8, 8))[0], grey)


def test_small_images_of_one_size_keep_it_and_all_others_are_stored_at_256() -> None:
    assert stored_shape([("RGB", (32, 20)), ("L", (32, 20))]) == (3, 20, 32)
    assert stored_shape([("L", (28, 28)), ("1", (28, 28))]) == (1, 28, 28)
    assert stored_shape([("L", (28, 28)), ("L", (28, 27))]) == (3, 256, 256)
    assert stored_shape([("L", (97, 97))]) == (3, 256, 256)
    assert stored_shape([]) == (3, 256, 256)


# --- a sequence of them ---


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_batches_come_in_the_order_asked_for_whoever_decodes(workers: int, tmp_path: Path) -> None:
    names = write_digits(tmp_path, 23)
    files = ImageFiles(tmp_path, names, (3, 8, 8), workers=workers)
    assert (len(files), files.shape, files.dtype, files.dim()) == (23, (23, 3, 8, 8), torch.uint8, 4)
    expected = torch.stack([torch.from_numpy(np.asarray(digit_image(i)).copy()).permute(2, 0, 1) for i in range(23)])
    order = torch.randperm(23, generator=torch.Generator().manual_seed(0))
    for _ in range(2):  # the workers of the first pass go on to the second
        read = list(files.batches(order, 5))
        assert [len(images) for images, _ in read] == [5, 5, 5, 5, 3]
        assert torch.equal(torch.cat([chosen for _, chosen in read]), order)
        assert torch.equal(torch.cat([images for images, _ in read]), expected[order])
    assert list(files.batches(order[:0], 5)) == []


def test_a_pass_that_was_given_up_or_is_under_way_disturbs_no_other(tmp_path: Path) -> None:
    files = ImageFiles(tmp_path, write_digits(tmp_path, 20), (3, 8, 8), workers=1)
    expected = all_of(files)
    outer = files.batches(torch.arange(20), 3)
    next(outer)
    assert torch.equal(all_of(files), expected)
    outer.close()
    assert torch.equal(all_of(files), expected)


def test_a_part_knows_its_files_and_another_process_can_have_it(tmp_path: Path) -> None:
    files = ImageFiles(tmp_path, write_digits(tmp_path, 10), (3, 8, 8), workers=0)
    part = files.take(torch.tensor([7, 2, 2]))
    assert part.paths == ["0007.png", "0002.png", "0002.png"]
    assert torch.equal(all_of(part), all_of(files)[[7, 2, 2]])
    assert files[:4].paths == files.paths[:4]
    assert part[1:].paths == ["0002.png", "0002.png"]
    assert torch.equal(all_of(pickle.loads(pickle.dumps(part))), all_of(part))


def test_reading_leaves_torchs_own_randomness_alone(tmp_path: Path) -> None:
    files = ImageFiles(tmp_path, write_digits(tmp_path, 10), (3, 8, 8), workers=1)
    before = torch.get_rng_state()
    all_of(files, 2)
    assert torch.equal(torch.get_rng_state(), before)


def test_fingerprint_is_of_names_sizes_and_content_and_not_of_the_place_or_time(tmp_path: Path) -> None:
    names = write_digits(tmp_path / "a", 5)
    write_digits(tmp_path / "b", 5)

    def fingerprint(folder: str, files: list[str] = names, side: int = 8) -> str:
        return ImageFiles(tmp_path / folder, files, (3, side, side)).fingerprint

    known = fingerprint("a")
    assert fingerprint("b") == known
    assert fingerprint("a", names[::-1]) != known
    assert fingerprint("a", side=16) != known
    assert fingerprint("a", names[:4]) != known
    content = bytearray((tmp_path / "b" / names[2]).read_bytes())
    content[-20] ^= 1  # of the same size
    (tmp_path / "b" / names[2]).write_bytes(content)
    assert fingerprint("b") != known
    (tmp_path / "a" / names[0]).unlink()
    assert fingerprint("a") != known


# --- files that are no images ---


@pytest.mark.parametrize("workers", [0, 1])
def test_undecodable_files_are_left_out_named_once_and_counted(workers: int, tmp_path: Path) -> None:
    names = write_digits(tmp_path, 20)
    spoil(tmp_path / names[3])
    whole = (tmp_path / names[11]).read_bytes()
    (tmp_path / names[11]).write_bytes(whole[: len(whole) // 2])
    (tmp_path / names[12]).unlink()
    files = ImageFiles(tmp_path, names, (3, 8, 8), workers=workers)
    with pytest.warns(UndecodableImageWarning) as caught:
        read = list(files.batches(torch.arange(20), 6))
    assert torch.cat([chosen for _, chosen in read]).tolist() == [i for i in range(20) if i not in (3, 11, 12)]
    assert [len(images) for images, _ in read] == [5, 5, 5, 2]
    told = [str(warning.message) for warning in caught]
    assert len(told) == 3
    assert all(str(tmp_path / names[index]) in text for index, text in zip((3, 11, 12), told, strict=True))
    assert set(files.take(torch.tensor([0])).undecodable) == {names[3], names[11], names[12]}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(files.batches(torch.arange(20), 6))


def test_more_undecodable_files_than_are_tolerated_end_it_and_the_first_five_are_named(tmp_path: Path) -> None:
    names = write_digits(tmp_path, 30)
    for name in names[:11]:
        spoil(tmp_path / name)
    files = ImageFiles(tmp_path, names, (3, 8, 8), workers=0)
    with pytest.warns(UndecodableImageWarning), pytest.raises(InvalidInput) as caught:
        all_of(files, 4)
    (error,) = caught.value.errors
    assert error.field == "dataset"
    assert error.problem.startswith("11 of 30 image files cannot be decoded; 10 are tolerated: 0000.png (Unid")
    assert "0004.png" in error.problem
    assert "0005.png" not in error.problem
    tolerant = ImageFiles(tmp_path, names, (3, 8, 8), workers=0, tolerated=11)
    with pytest.warns(UndecodableImageWarning):
        assert len(all_of(tolerant)) == 19


def test_the_tolerated_number_is_one_in_a_hundred_of_many_files(tmp_path: Path) -> None:
    names = [*write_digits(tmp_path, 10), *(f"absent{number}.png" for number in range(1990))]
    files = ImageFiles(tmp_path, names, (3, 8, 8), workers=0)
    with pytest.warns(UndecodableImageWarning), pytest.raises(InvalidInput, match=r"21 of 2,000 .* 20 are tol"):
        all_of(files, 1)


def test_an_undecodable_image_is_predicted_wrong_whatever_its_label(tmp_path: Path) -> None:
    names = write_digits(tmp_path, 9)
    spoil(tmp_path / names[4])
    spoil(tmp_path / names[8])  # a batch of nothing else
    files = ImageFiles(tmp_path, names, (3, 8, 8), workers=0)

    def forward(batch: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(batch.flatten(1).sum(1) % 3, 3).float()

    with pytest.warns(UndecodableImageWarning):
        found = predictions(forward, files, batch_size=4)
    with pytest.warns(UndecodableImageWarning):
        expected = [int(image.sum()) % 3 for image in all_of(ImageFiles(tmp_path, names, (3, 8, 8)))]
    assert found.tolist() == [*expected[:4], -1, *expected[4:], -1]


def test_files_are_evaluated_in_the_batches_of_the_same_images_in_memory(tmp_path: Path) -> None:
    files = ImageFiles(tmp_path, write_digits(tmp_path, 70, size=(64, 64)), (3, 64, 64), workers=0)
    in_memory = all_of(files)

    def sizes(examples: ImageFiles | Tensor, device: torch.device | None = None) -> list[int]:
        seen: list[int] = []

        def forward(batch: Tensor) -> Tensor:
            seen.append(len(batch))
            return torch.zeros(len(batch), 2)

        predictions(forward, examples, device=device)
        return seen

    assert sizes(files) == sizes(in_memory) == [32, 32, 6]
    assert sizes(files, torch.device("cuda")) == [70]


# --- training on them ---


SIDE = 16


def made_of(examples: ImageFiles | Tensor, test: ImageFiles | Tensor) -> Dataset:
    labels = torch.tensor([digit_label(index) for index in range(len(examples))])
    return Dataset.from_tensors("digits", examples, labels, test, labels[: len(test)], 10)


def task_of(dataset: Dataset, **fields: object) -> TrainingTask:
    settings: dict[str, object] = {
        "backbone": "resnet20",
        "iterations": 10,
        "batch_size": 16,
        "dropout": 0.2,
        "augmentation": "resize-crop-flip",
        "device": "cpu",
    }
    return TrainingTask(dataset=dataset, **{**settings, **fields})  # type: ignore[arg-type]


def trained(dataset: Dataset, folder: Path, stop_after: int = 99) -> list[dict[str, object]]:
    labels = symmetric_noise(dataset.y_train, 0.2, 10, 0)
    lane = Lane("lane", GradientRescaling(4, 0.5), labels, 0)

    def on_epoch(report: EpochReport) -> Decision:
        return Decision.STOP if report.epoch >= stop_after else Decision.CONTINUE

    (result,) = train(task_of(dataset), [lane], on_epoch, Checkpoints(folder, every_seconds=0))
    return [{**{name: getattr(report, name) for name in ("train_loss", "evaluation")}} for report in result.reports]


def test_images_on_disk_train_to_the_same_bits_as_in_memory_and_when_resumed(tmp_path: Path) -> None:
    names = write_digits(tmp_path / "images", 70, size=(20, SIDE), suffix=".jpg")
    files = ImageFiles(tmp_path / "images", names, (3, SIDE, SIDE), workers=2)
    test = ImageFiles(tmp_path / "images", names[:10], (3, SIDE, SIDE), workers=0)
    in_memory, on_disk = made_of(all_of(files), all_of(test)), made_of(files, test)
    assert torch.equal(in_memory.mean, on_disk.mean)
    assert torch.equal(in_memory.std, on_disk.std)
    expected = trained(in_memory, tmp_path / "memory")
    assert trained(on_disk, tmp_path / "disk") == expected
    trained(on_disk, tmp_path / "resumed", stop_after=2)
    assert (tmp_path / "resumed" / "lane.pt").exists()
    assert trained(on_disk, tmp_path / "resumed") == expected
    states = [torch.load(tmp_path / name / "lane.pt", weights_only=True) for name in ("memory", "disk")]
    for name, tensor in states[0]["network"].items():
        assert torch.equal(tensor, states[1]["network"][name]), name


def test_a_lane_trains_past_undecodable_files_and_they_count_as_wrong(tmp_path: Path) -> None:
    names = write_digits(tmp_path / "images", 64, size=(SIDE, SIDE))
    for name in names[:6]:
        spoil(tmp_path / "images" / name)
    files = ImageFiles(tmp_path / "images", names, (3, SIDE, SIDE), workers=0)
    with pytest.warns(UndecodableImageWarning):
        dataset = made_of(files, files.take(torch.arange(6, 26)))
    reports = trained(dataset, tmp_path / "out")
    assert len(reports) == 3
    for report in reports:
        evaluation = report["evaluation"]
        assert isinstance(evaluation, Evaluation)
        assert evaluation.intact_train <= 58 / 64
    assert len(files.undecodable) == 6


def test_a_batch_with_too_few_decodable_images_is_refused(tmp_path: Path) -> None:
    names = write_digits(tmp_path, 8)
    for name in names[:3]:
        spoil(tmp_path / name)
    files = ImageFiles(tmp_path, names, (3, 8, 8), workers=0)
    with pytest.warns(UndecodableImageWarning), pytest.raises(InvalidInput, match="leave 1 of a batch of 4"):
        list(files.batches(torch.arange(8), 4, at_least=2))


def test_when_nothing_can_be_decoded_there_is_no_data_set(tmp_path: Path) -> None:
    names = write_digits(tmp_path, 4)
    for name in names:
        spoil(tmp_path / name)
    files = ImageFiles(tmp_path, names, (3, 8, 8), workers=0)
    with pytest.warns(UndecodableImageWarning), pytest.raises(InvalidInput, match="4 of 4 image files cannot"):
        made_of(files, files)
