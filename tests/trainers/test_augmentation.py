from __future__ import annotations

import numpy as np
import pytest
import torch

from trainers.augmentation import augmented
from trainers.augmentation import centre_crop
from trainers.augmentation import crop_and_flip
from trainers.augmentation import crop_flip
from trainers.augmentation import drawn
from trainers.augmentation import network_input_shape
from trainers.augmentation import pad_crop_flip
from trainers.augmentation import unaugmented
from trainers.errors import InvalidInput


def one_by_one(
    images: torch.Tensor, top: list[int], left: list[int], flips: list[bool], pad: int
) -> torch.Tensor:
    """Pixel by pixel from the definition, in plain numpy."""
    n, _, height, width = images.shape
    source = images.numpy()
    result = np.zeros_like(source)
    for i in range(n):
        for row in range(height):
            for column in range(width):
                from_row = row + top[i] - pad
                from_column = (width - 1 - column if flips[i] else column) + left[i] - pad
                if 0 <= from_row < height and 0 <= from_column < width:
                    result[i, :, row, column] = source[i, :, from_row, from_column]
    return torch.from_numpy(result)


def images_of(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(1, 256, shape, generator=generator).to(dtype)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
@pytest.mark.parametrize(
    ("shape", "pad"), [((81, 3, 6, 5), 4), ((9, 1, 8, 8), 1), ((7, 2, 3, 4), 3), ((5, 3, 4, 4), 0)]
)
def test_same_pixels_as_one_image_at_a_time(shape: tuple[int, ...], pad: int, dtype: torch.dtype) -> None:
    images = images_of(shape, dtype)
    places = 2 * pad + 1
    top = torch.arange(shape[0]) % places
    left = torch.arange(shape[0]) // places % places
    for flips in (torch.zeros(shape[0]).bool(), torch.ones(shape[0]).bool(), torch.arange(shape[0]) % 3 == 0):
        augmented = crop_flip(images, top, left, flips, pad)
        assert augmented.dtype == dtype
        assert augmented.is_contiguous()
        assert torch.equal(augmented, one_by_one(images, top.tolist(), left.tolist(), flips.tolist(), pad))


def test_images_kept_in_another_memory_format_give_the_same_pixels() -> None:
    images = images_of((16, 3, 8, 8), torch.uint8)
    last = images.contiguous(memory_format=torch.channels_last)
    first = pad_crop_flip(images, torch.Generator().manual_seed(3))
    assert torch.equal(first, pad_crop_flip(last, torch.Generator().manual_seed(3)))


def test_agrees_with_torchvision_given_its_own_draws() -> None:
    transforms = pytest.importorskip("torchvision.transforms.functional")
    images = images_of((20, 3, 32, 32), torch.uint8)
    generator = torch.Generator().manual_seed(9)
    top, left = torch.randint(0, 9, (2, 20), generator=generator)
    flips = torch.randint(0, 2, (20,), generator=generator, dtype=torch.bool)
    expected = []
    for image, row, column, flip in zip(images, top.tolist(), left.tolist(), flips.tolist(), strict=True):
        crop = transforms.crop(transforms.pad(image, [4]), row, column, 32, 32)
        expected.append(transforms.hflip(crop) if flip else crop)
    assert torch.equal(crop_flip(images, top, left, flips, 4), torch.stack(expected))


def test_the_generator_alone_decides() -> None:
    images = images_of((32, 3, 8, 8), torch.uint8)
    original = images.clone()
    first = pad_crop_flip(images, torch.Generator().manual_seed(1))
    torch.manual_seed(99)
    assert torch.equal(first, pad_crop_flip(images, torch.Generator().manual_seed(1)))
    assert not torch.equal(first, pad_crop_flip(images, torch.Generator().manual_seed(2)))
    assert torch.equal(images, original)


def test_one_generator_gives_another_draw_every_time() -> None:
    images = images_of((32, 3, 8, 8), torch.uint8)
    generator = torch.Generator().manual_seed(1)
    assert not torch.equal(pad_crop_flip(images, generator), pad_crop_flip(images, generator))


def test_every_place_and_both_directions_are_drawn_alike() -> None:
    # Each image has its own values everywhere, so its crop tells the offsets and the direction.
    n = 81 * 2 * 200
    images = torch.arange(1, 10, dtype=torch.uint8).view(1, 1, 3, 3).expand(n, 1, 3, 3)
    drawn = pad_crop_flip(images, torch.Generator().manual_seed(0), pad=1).reshape(n, 9)
    _, counts = torch.unique(drawn, dim=0, return_counts=True)
    assert len(counts) == 9 * 2
    expected = n / 18
    # 17 degrees of freedom; 49 is the quantile 1 - 6e-5.
    assert float(((counts - expected) ** 2 / expected).sum()) < 49


def test_what_is_no_image_and_a_negative_pad_are_refused() -> None:
    with pytest.raises(InvalidInput, match="augmentation"):
        pad_crop_flip(torch.zeros(4, 64), torch.Generator())
    with pytest.raises(InvalidInput, match="pad = -1"):
        pad_crop_flip(torch.zeros(4, 1, 8, 8), torch.Generator(), pad=-1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_cuda_batch_gets_the_same_pixels_from_a_cpu_generator() -> None:
    images = images_of((64, 3, 32, 32), torch.uint8)
    on_cpu = pad_crop_flip(images, torch.Generator().manual_seed(5))
    on_cuda = pad_crop_flip(images.cuda(), torch.Generator().manual_seed(5))
    assert torch.equal(on_cpu, on_cuda.cpu())


# resize-crop-flip


def places_of(crops: torch.Tensor, images: torch.Tensor) -> list[tuple[int, int, bool]]:
    """Where each crop was taken, found by trying every place and both orientations."""
    height, width = crops.shape[2:]
    found = []
    for crop, image in zip(crops, images, strict=True):
        (place,) = [
            (top, left, flipped)
            for top in range(image.shape[1] - height + 1)
            for left in range(image.shape[2] - width + 1)
            for flipped in (False, True)
            if torch.equal(crop.flip(-1) if flipped else crop, image[:, top : top + height, left : left + width])
        ]
        found.append(place)
    return found


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_every_crop_is_a_piece_of_its_image_and_every_place_and_both_sides_come_up(dtype: torch.dtype) -> None:
    images = images_of((900, 3, 16, 24), dtype)
    crops = crop_and_flip(images, torch.Generator().manual_seed(0))
    assert crops.shape == (900, 3, 14, 21)
    assert crops.dtype == dtype
    assert crops.is_contiguous()
    places = places_of(crops, images)
    tops, lefts, flips = (np.array(column) for column in zip(*places, strict=True))
    # 900 draws: a share is off its expectation by more than 0.08 once in a million times.
    for places_drawn, values in ((tops, 3), (lefts, 4), (flips.astype(int), 2)):
        np.testing.assert_allclose(np.bincount(places_drawn, minlength=values) / 900, 1 / values, atol=0.08)
    assert len(set(places)) == 24


def test_images_of_256_are_cropped_to_224_in_training_and_in_evaluation() -> None:
    images = images_of((3, 3, 256, 256), torch.uint8)
    shape = network_input_shape("resize-crop-flip", (3, 256, 256))
    assert shape == (3, 224, 224)
    draws = drawn("resize-crop-flip", len(images), tuple(images.shape[1:]), torch.Generator())
    assert augmented("resize-crop-flip", images, draws).shape[1:] == shape
    centre = unaugmented("resize-crop-flip", images)
    assert torch.equal(centre, images[:, :, 16:240, 16:240])
    assert torch.equal(centre_crop(images), centre)


@pytest.mark.parametrize("side", [1, 7, 8, 31, 32, 100])
def test_the_network_sees_one_shape_at_every_stored_size(side: int) -> None:
    images = images_of((5, 1, side + 1, side), torch.uint8)
    shape = network_input_shape("resize-crop-flip", (1, side + 1, side))
    assert 0 not in shape
    draws = drawn("resize-crop-flip", len(images), tuple(images.shape[1:]), torch.Generator())
    assert augmented("resize-crop-flip", images, draws).shape[1:] == shape
    assert unaugmented("resize-crop-flip", images).shape[1:] == shape


def test_without_that_augmentation_examples_keep_their_shape() -> None:
    for augmentation in ("none", "pad-crop-flip"):
        assert network_input_shape(augmentation, (3, 32, 32)) == (3, 32, 32)
    assert network_input_shape("none", (64,)) == (64,)
    images = images_of((4, 3, 8, 8), torch.uint8)
    assert unaugmented("pad-crop-flip", images) is images
    shape = tuple(images.shape[1:])
    assert augmented("none", images, drawn("none", len(images), shape, torch.Generator())) is images
    expected = pad_crop_flip(images, torch.Generator().manual_seed(1))
    draws = drawn("pad-crop-flip", len(images), shape, torch.Generator().manual_seed(1))
    assert torch.equal(augmented("pad-crop-flip", images, draws), expected)


def test_crops_are_a_function_of_the_generators_state() -> None:
    images = images_of((64, 3, 16, 16), torch.uint8)
    generator = torch.Generator().manual_seed(4)
    first, second = crop_and_flip(images, generator), crop_and_flip(images, generator)
    assert not torch.equal(first, second)
    assert torch.equal(crop_and_flip(images, torch.Generator().manual_seed(4)), first)


def test_vectors_cannot_be_cropped() -> None:
    for attempt in (centre_crop, lambda vectors: crop_and_flip(vectors, torch.Generator())):
        with pytest.raises(InvalidInput, match="needs images"):
            attempt(torch.zeros(4, 6))
