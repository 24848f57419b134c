"""Whole-batch augmentation on raw pixels, on the device where the batch lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from trainers.errors import FieldError
from trainers.errors import InvalidInput

if TYPE_CHECKING:
    from trainers.training import Augmentation

_PAD = 4


def network_input_shape(augmentation: Augmentation, example_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of one example as the network sees it, (C, h, w), in training and in evaluation.

    Args:
        augmentation: See `augmented`.
        example_shape: As stored: (C, H, W), or (F,) of a flat example.
    """
    if augmentation != "resize-crop-flip" or len(example_shape) != 3:
        return example_shape
    channels, height, width = example_shape
    return channels, _cropped(height), _cropped(width)


def drawn(
    augmentation: Augmentation, count: int, example_shape: tuple[int, ...], generator: torch.Generator
) -> Tensor:
    """What chance decides for a batch, apart from it: those of a whole epoch can be moved to a device at once.

    Args:
        augmentation: See `augmented`.
        count: Examples of the batch.
        example_shape: As stored: (C, H, W), or (F,) of a flat example.
        generator: Source of the draws. Its state alone decides them; a CPU generator serves any device.

    Returns:
        int64 (3, count), on the generator's device: first row and first column of each crop, and 1 where it is
        mirrored. Of no account where nothing is drawn.
    """
    if augmentation == "none":
        return torch.zeros((3, count), dtype=torch.int64, device=generator.device)
    height, width = example_shape[1:]
    if augmentation == "pad-crop-flip":
        return _drawn(2 * _PAD + 1, 2 * _PAD + 1, count, generator)
    return _drawn(height - _cropped(height) + 1, width - _cropped(width) + 1, count, generator)


def _drawn(rows: int, columns: int, count: int, generator: torch.Generator) -> Tensor:
    """Rows and columns uniform over so many places, and flips, (3, count)."""
    device = generator.device
    each = [torch.randint(0, n, (count,), generator=generator, device=device) for n in (rows, columns, 2)]
    return torch.stack(each)


def augmented(augmentation: Augmentation, batch: Tensor, draws: Tensor) -> Tensor:
    """A training batch as the network sees it, before normalisation.

    Args:
        augmentation: "none", "pad-crop-flip" (`pad_crop_flip`) or "resize-crop-flip" (`crop_and_flip`).
        batch: Raw examples as stored, (B, ...).
        draws: Of as many examples or more, on the batch's device, as `drawn` made them.
    """
    if augmentation == "none":
        return batch
    top, left, flips = draws[:, : len(batch)]
    if augmentation == "pad-crop-flip":
        return crop_flip(batch, top, left, flips.bool(), _PAD)
    size = (_cropped(batch.shape[2]), _cropped(batch.shape[3]))
    return crop_flip(batch, top, left, flips.bool(), pad=0, size=size)


def unaugmented(augmentation: Augmentation, batch: Tensor) -> Tensor:
    """An evaluation batch as the network sees it, before normalisation: of "resize-crop-flip" the centre.

    Args:
        augmentation: As for `augmented`.
        batch: Raw examples as stored, (B, ...).
    """
    return centre_crop(batch) if augmentation == "resize-crop-flip" else batch


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Crop 7/8 of every image's height and width at a random place, and flip half of the crops.

    The second half of the recipe "resize to 256, crop 224, flip": images are stored at 256x256 already. Each
    has its own offset, uniform over the places that there are, and is mirrored left to right with probability
    1/2. The crop keeps its scale: torchvision's RandomCrop, not its RandomResizedCrop.

    Args:
        images: Raw pixels (N, C, H, W), uint8 or float.
        generator: Source of the draws. Its state alone decides them; a CPU generator serves any device.

    Returns:
        A new contiguous tensor (N, C, 7 H // 8, 7 W // 8) of the dtype and device of ``images``.

    Raises:
        InvalidInput: ``images`` are not (N, C, H, W).

    Source: Krizhevsky et al., NeurIPS 2012, section 4.1; Wang et al., arXiv 1905.11233, for Clothing1M.
    """
    _check_images(images)
    draws = drawn("resize-crop-flip", len(images), tuple(images.shape[1:]), generator)
    return augmented("resize-crop-flip", images, draws.to(images.device))


def centre_crop(images: Tensor) -> Tensor:
    """The middle 7/8 of every image's height and width: what `crop_and_flip` is at evaluation.

    Args:
        images: Raw pixels (N, C, H, W).

    Returns:
        A view (N, C, 7 H // 8, 7 W // 8).

    Raises:
        InvalidInput: ``images`` are not (N, C, H, W).
    """
    _check_images(images)
    height, width = (_cropped(side) for side in images.shape[2:])
    top, left = (images.shape[2] - height) // 2, (images.shape[3] - width) // 2
    return images[..., top : top + height, left : left + width]


def _cropped(side: int) -> int:
    """Pixels that a crop leaves of a side: 224 of 256, and never none."""
    return max(1, side * 7 // 8)


def pad_crop_flip(images: Tensor, generator: torch.Generator, pad: int = _PAD) -> Tensor:
    """Pad every image with zeros, crop it back to its size at a random place, and flip half of them.

    The augmentation of the CIFAR recipes: each image has its own offset, uniform over the (2 pad + 1)^2
    places, and is mirrored left to right with probability 1/2. Zeros are pixels of value 0, as torchvision's
    RandomCrop pads before normalisation.

    Args:
        images: Raw pixels (N, C, H, W), uint8 or float.
        generator: Source of the draws. Its state alone decides them; a CPU generator serves any device.
        pad: Pixels of padding on every side.

    Returns:
        A new contiguous tensor of the shape, dtype and device of ``images``.

    Raises:
        InvalidInput: ``images`` are not (N, C, H, W), or ``pad`` is negative.

    Source: He et al., arXiv 1512.03385, section 4.2.
    """
    if pad < 0:
        raise InvalidInput(FieldError("pad", pad, "negative", "Give the pixels of padding on every side."))
    places = 2 * pad + 1
    top, left, flips = _drawn(places, places, len(images), generator).to(images.device)
    return crop_flip(images, top, left, flips.bool(), pad)


def crop_flip(
    images: Tensor, top: Tensor, left: Tensor, flips: Tensor, pad: int, size: tuple[int, int] | None = None
) -> Tensor:
    """Pad with zeros, crop each image at its own given offset, mirror those that are marked.

    Args:
        images: Raw pixels (N, C, H, W), uint8 or float.
        top: First row of each crop in the padded image, int64 (N,), in 0...2 pad + H - h.
        left: First column of each crop, as ``top``.
        flips: bool (N,), True where the crop is mirrored left to right.
        pad: Pixels of padding on every side.
        size: Height h and width w of a crop; by default those of the images.

    Returns:
        A new contiguous tensor (N, C, h, w) of the dtype of ``images``.

    Raises:
        InvalidInput: ``images`` are not (N, C, H, W).
    """
    _check_images(images)
    n, channels, height, width = images.shape
    cropped_height, cropped_width = size or (height, width)
    padded_height, padded_width = height + 2 * pad, width + 2 * pad
    plane = padded_height * padded_width
    # Every image once as it is and once mirrored, so that each row of a result is one run of memory in this
    # buffer: copying runs is several times faster on a CPU than gathering pixels (0.34 ms against 0.5 to 2 ms
    # for a batch of 128 x 3 x 32 x 32 bytes on one thread).
    padded = images.new_zeros((2, n, channels, padded_height, padded_width))
    inner = padded[..., pad : pad + height, pad : pad + width]
    inner[0] = images
    inner[1] = images.flip(-1)
    runs = padded.view(-1).unfold(0, cropped_width, 1)
    # A mirrored crop at `left` is the plain crop of the mirrored image at the same distance from the other
    # side.
    columns = torch.where(flips, padded_width - cropped_width - left, left)
    first_plane = (flips * n + torch.arange(n, device=images.device)) * (channels * plane)
    planes = first_plane[:, None] + torch.arange(channels, device=images.device) * plane
    rows = top[:, None] + torch.arange(cropped_height, device=images.device)
    starts = planes[:, :, None] + (rows * padded_width + columns[:, None])[:, None, :]
    return runs.index_select(0, starts.view(-1)).view(n, channels, cropped_height, cropped_width)


def _check_images(images: Tensor) -> None:
    if images.ndim != 4:
        raise InvalidInput(
            FieldError(
                "augmentation", tuple(images.shape), "needs images (N, C, H, W)", "Turn augmentation off."
            )
        )
