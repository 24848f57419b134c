"""From image files with labels to a data set: in memory where it fits, else decoded batch by batch."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.datasets.dataset import Dataset
from trainers.datasets.dataset import OnProgress
from trainers.datasets.dataset import stratified
from trainers.datasets.examples import Examples
from trainers.datasets.image_files import ImageFiles
from trainers.datasets.labels import first
from trainers.datasets.labels import printable
from trainers.datasets.pixels import SMALL_SIDE
from trainers.datasets.pixels import stored_shape
from trainers.errors import FieldError
from trainers.errors import InvalidInput

# Decoded images of all parts together: 10,922 of 256x256, or 699,050 of 32x32. Fixed, and not a share of this
# machine's memory, since what is in memory and what is not must not depend on where a sweep goes on.
RESIDENT_BYTES = 2 * 2**30
# The share of the examples that is the test set where none is given, and the seed that draws it.
TEST_FRACTION, TEST_SEED = 0.2, 0
_DECODED_AT_ONCE = 128
# Evenly spaced files that tell what most files are.
_SAMPLED_FILES = 100
# Of 16-bit images whose values stay below this the high bytes are 16 levels of grey, or fewer.
_LEAST_REACH = 2**12

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class LabelledFiles:
    """One part of a data set.

    Args:
        paths: Image files, relative to the data set's root.
        labels: As given, (N,).
        intact: Intact labels, (N,); None where they are unknown, or the given ones are intact.
    """

    paths: Sequence[str]
    labels: Labels
    intact: Labels | None = None

    def take(self, indices: npt.NDArray[np.int64]) -> LabelledFiles:
        """The files at ``indices``."""
        intact = None if self.intact is None else self.intact[indices]
        return LabelledFiles([self.paths[index] for index in indices], self.labels[indices], intact)

    def split_test(self, num_classes: int) -> tuple[LabelledFiles, LabelledFiles]:
        """A training and a test set: 20% of every class by the labels as given, always the same ones.

        Raises:
            InvalidInput: There are too few examples to leave one of every class in either.
        """
        kept, held = held_out_test(self.labels, num_classes)
        return self.take(kept), self.take(held)


def held_out_test(labels: Labels, num_classes: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Indices of the training examples, and of the 20% that are the test set where none is given.

    Raises:
        InvalidInput: What is left cannot have an example of every class.
    """
    held = max(1, round(TEST_FRACTION * len(labels)))
    if len(labels) - held < num_classes:
        problem = f"{len(labels)} examples are too few for {num_classes} classes and a test set held out of them"
        remedy = "Give more examples, or a test set of their own."
        raise InvalidInput(FieldError("dataset", f"{len(labels)} examples", problem, remedy))
    kept = stratified(labels, len(labels) - held, num_classes, TEST_SEED)
    return kept, np.setdiff1d(np.arange(len(labels)), kept, assume_unique=True)


def image_dataset(
    name: str,
    root: Path,
    train: LabelledFiles,
    test: LabelledFiles,
    validation: LabelledFiles | None = None,
    *,
    num_classes: int,
    class_names: tuple[str, ...] | None = None,
    labels_are_intact: bool = True,
    recipe: str | None = None,
    resident_bytes: int = RESIDENT_BYTES,
    workers: int | None = None,
    on_progress: OnProgress | None = None,
    warnings: tuple[str, ...] = (),
) -> Dataset:
    """Read image files, or arrange that training reads them.

    Files that are decoded here and cannot be are left out, with their labels; a warning names each.

    Args:
        name: Of the data set.
        root: Folder that the paths are relative to.
        train: Training set.
        test: Test set; judged by its intact labels where it has some.
        validation: Validation set, as ``test``, if there is one.
        num_classes: Number of classes C.
        class_names: C names.
        labels_are_intact: Of a training set without intact labels: whether those given are, or nobody knows.
        recipe: As for `Dataset`.
        resident_bytes: Up to how many bytes of pixels are kept in memory.
        workers: As for `ImageFiles`.
        on_progress: Told of every batch that is decoded.
        warnings: As for `Dataset`.

    Raises:
        InvalidInput: More files are undecodable than is tolerated, or they are all there is of a class.
    """
    parts = [part for part in (train, test, validation) if part is not None]
    paths = [path for part in parts for path in part.paths]
    shape = stored_shape((mode, size) for _, mode, size in _headers(root, paths))
    found = [_odd_one_warning(root, paths, shape), _dark_warning(root, paths)]
    resident = len(paths) * int(np.prod(shape)) <= resident_bytes
    total = len(paths)
    read: list[tuple[Examples, LabelledFiles]] = []
    done = 0
    for part in parts:
        files = ImageFiles(root, part.paths, shape, workers=workers)
        if resident:
            images, kept = _decoded(files, done, total, on_progress)
            done += len(files)
            read.append((images, part if len(kept) == len(files) else part.take(kept)))
        else:
            read.append((files, part))
    (x_train, train), (x_test, test) = read[:2]
    x_validation, validation = read[2] if len(read) > 2 else (None, None)
    absent = np.setdiff1d(np.arange(num_classes), train.labels)
    if len(absent):
        names = [class_names[label] if class_names else str(label) for label in absent]
        problem = f"none of the training images of {len(absent)} classes can be decoded: {first(names)}"
        raise InvalidInput(FieldError("dataset", name, problem, "Repair the files."))
    intact = train.intact if train.intact is not None else train.labels if labels_are_intact else None
    return Dataset.from_tensors(
        name,
        x_train,
        torch.from_numpy(train.labels),
        x_test,
        _judged(test),
        num_classes,
        recipe,
        intact="given" if intact is train.labels else intact if intact is None else torch.from_numpy(intact),
        x_validation=x_validation,
        y_validation=None if validation is None else _judged(validation),
        class_names=class_names,
        on_progress=on_progress,
        warnings=(*warnings, *(warning for warning in found if warning is not None)),
    )


def missing_files(root: Path, paths: Iterable[str]) -> list[str]:
    """Those of the paths that are no files, in order; each folder is listed once."""
    listed: dict[str, frozenset[str]] = {}
    missing = []
    for path in paths:
        folder, _, file = path.rpartition("/")
        if folder not in listed:
            try:
                with os.scandir(root / folder) as entries:
                    listed[folder] = frozenset(entry.name for entry in entries if entry.is_file())
            except (OSError, ValueError):
                listed[folder] = frozenset()
        if file not in listed[folder]:
            missing.append(path)
    return missing


def unsafe_paths(paths: Iterable[str]) -> list[str]:
    """Those of the paths that may lead out of the folder that they are relative to."""
    return [
        path
        for path in paths
        if path.startswith(("/", "\\")) or "\0" in path or ".." in path.replace("\\", "/").split("/")
    ]


def files_version(paths: Iterable[Path]) -> tuple[object, ...]:
    """What changes when one of the files does: of each its place, time and size."""
    found = []
    for path in paths:
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path.absolute()), status.st_mtime_ns, status.st_size))
    return tuple(found)


def _judged(part: LabelledFiles) -> Tensor:
    return torch.from_numpy(part.labels if part.intact is None else part.intact)


def _headers(root: Path, paths: Iterable[str]) -> Iterator[tuple[str, str, tuple[int, int]]]:
    """Path, mode and (width, height) of every image whose header can be read."""
    from PIL import Image

    for path in paths:
        try:
            with Image.open(root / path) as image:
                yield path, image.mode, image.size
        except Exception:  # whoever decodes it says so
            continue


def _odd_one_warning(root: Path, paths: Sequence[str], shape: tuple[int, int, int]) -> str | None:
    """What to say where most images are of one small size, which they would have kept but for some others."""
    if max(shape[1:]) <= SMALL_SIDE:
        return None
    sizes = Counter(size for *_, size in _headers(root, _sample(paths)))
    most, count = sizes.most_common(1)[0] if sizes else ((0, 0), 0)
    if count * 2 < sizes.total() or not 0 < max(most) <= SMALL_SIDE:
        return None
    path, (width, height) = next((path, size) for path, _, size in _headers(root, paths) if size != most)
    return (
        f"images are kept at {shape[2]}x{shape[1]} since their sizes differ: {printable(path)} is {width}x{height}, "
        f"most are {most[0]}x{most[1]}"
    )


def _dark_warning(root: Path, paths: Sequence[str]) -> str | None:
    """What to say where 16-bit images use so little of their scale that hardly anything is in their high bytes."""
    reach = max((int(np.max(image)) for image in _deep_images(root, _sample(paths))), default=_LEAST_REACH)
    if reach >= _LEAST_REACH:
        return None
    return (
        f"16-bit images reach {reach} of 65,535, of which the high byte is taken: {reach // 256 + 1} of 256 levels of "
        "grey are left; write them as 8 bit"
    )


def _deep_images(root: Path, paths: Iterable[str]) -> Iterator[npt.NDArray[np.generic]]:
    """The pixels of every image of more than 8 bits that can be decoded."""
    from PIL import Image

    for path in paths:
        try:
            with Image.open(root / path) as image:
                if image.mode.startswith("I"):
                    yield np.asarray(image)
        except Exception:  # whoever decodes it says so
            continue


def _sample(paths: Sequence[str]) -> Sequence[str]:
    return paths[:: -(-len(paths) // _SAMPLED_FILES) or 1]


def _decoded(
    files: ImageFiles, done: int, total: int, on_progress: OnProgress | None
) -> tuple[Tensor, npt.NDArray[np.int64]]:
    """All images that can be decoded, and their indices."""
    images = torch.empty(files.shape, dtype=torch.uint8)
    kept = []
    count = 0
    for number, (batch, chosen) in enumerate(files.batches(torch.arange(len(files)), _DECODED_AT_ONCE), 1):
        images[count : count + len(batch)] = batch
        count += len(batch)
        kept.append(chosen)
        if on_progress is not None:
            on_progress(done + min(number * _DECODED_AT_ONCE, len(files)), total)
    if not count:
        files.refuse("cannot be decoded, which is every one of a part")
    return images[:count], torch.cat(kept).numpy()
