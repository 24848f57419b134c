"""Pixels of one image file: what is decoded, and how it is brought to the size that a data set is kept in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

# "Resize 256, crop 224": the size that images are kept in, from which augmentation crops.
STORED_SIDE = 256
# Images of one size up to this many pixels a side keep it: CIFAR's, MNIST's, and STL-10's 96.
SMALL_SIDE = 96

_GREY_MODES = ("1", "L", "LA", "I", "I;16", "I;16B", "I;16L")
# The file is decoded at this many times the size it is wanted in, at least; Pillow's documentation calls a
# result from 3.0 on indistinguishable from that of the whole image.
_REDUCING_GAP = 3.0


def stored_shape(headers: Iterable[tuple[str, tuple[int, int]]]) -> tuple[int, int, int]:
    """The shape (C, H, W) that the images of a data set are kept in.

    Images that are all of one size of at most 96x96 keep it, grey ones with one channel where all are grey.
    All others become (3, 256, 256).

    Args:
        headers: Pillow's mode, and (width, height), of every image; not read further than it takes.
    """
    size, grey = None, True
    for mode, found in headers:
        if max(found) > SMALL_SIDE or found != (size or found):
            size = None
            break
        size, grey = found, grey and mode in _GREY_MODES
    if size is None:
        return 3, STORED_SIDE, STORED_SIDE
    return 1 if grey else 3, size[1], size[0]


def pixels_of(image: Image.Image, shape: tuple[int, int, int]) -> npt.NDArray[np.uint8]:
    """The pixels of an image at the size a data set is kept in.

    The image is scaled, keeping its proportions, with antialiased bilinear interpolation, until the stored
    size just fits in; of what sticks out, the centre is kept. So of a 256x256 store the shorter side becomes
    256, and random crops are taken from the square in the middle. Transparency is dropped, as are the upper
    limits of a 16-bit scale: its high bytes are taken. An orientation in the file's metadata is not followed,
    as in torchvision.

    Args:
        image: As Pillow opened it.
        shape: (C, H, W), C being 1 or 3.

    Returns:
        uint8 (C, H, W).

    Raises:
        ValueError: The pixels are floats.
        Exception: Whatever Pillow raises of a broken file.
    """
    from PIL import Image

    if image.mode == "F":  # Pillow would cut them off at 0 and 255, which of pixels up to 1 leaves nothing
        raise ValueError("its pixels are floats, whose scale is not known")

    channels, height, width = shape
    mode = "L" if channels == 1 else "RGB"
    # Of a JPEG only as much is decoded as the size calls for: photographs of 12 megapixels take a tenth.
    image.draft(mode, (round(width * _REDUCING_GAP), round(height * _REDUCING_GAP)))
    if image.mode.startswith("I"):
        high = np.asarray(image).astype(np.int64).clip(0, 2**16 - 1) >> 8
        image = Image.fromarray(high.astype(np.uint8))
    if image.mode != mode:
        image = image.convert(mode)
    if image.size != (width, height):
        scale = max(width / image.width, height / image.height)
        scaled = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
        image = image.resize(scaled, Image.Resampling.BILINEAR)
        left, top = (scaled[0] - width) // 2, (scaled[1] - height) // 2
        image = image.crop((left, top, left + width, top + height))
    array = np.array(image, dtype=np.uint8).reshape(height, width, channels)
    return np.ascontiguousarray(array.transpose(2, 0, 1))
