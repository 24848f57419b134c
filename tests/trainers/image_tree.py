"""Real images as files: scikit-learn's digits, drawn at any size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from trainers.datasets import load_dataset


def digit_image(index: int, size: tuple[int, int] = (8, 8), mode: str = "RGB") -> Image.Image:
    """A training image of digits, (width, height)."""
    digits = load_dataset("digits").x_train
    pixels = np.asarray(digits[index, 0])  # type: ignore[index]
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).convert(mode)


def digit_label(index: int) -> int:
    return int(load_dataset("digits").y_train[index])


def write_digits(
    root: Path, count: int, size: tuple[int, int] = (8, 8), suffix: str = ".png", mode: str = "RGB"
) -> list[str]:
    """Write training images of digits into one folder; their names."""
    root.mkdir(parents=True, exist_ok=True)
    names = []
    for index in range(count):
        name = f"{index:04d}{suffix}"
        digit_image(index, size, mode).save(root / name)
        names.append(name)
    return names


def spoil(path: Path) -> None:
    """Leave a file of an image's name that is no image."""
    path.write_text("<html>404 Not Found</html>")
