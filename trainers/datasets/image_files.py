"""ImageFiles: images that stay on disk and are decoded, a batch at a time, by worker processes."""

from __future__ import annotations

import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any
from typing import NoReturn

import numpy as np
import torch
from torch import Tensor

from trainers.datasets.pixels import pixels_of
from trainers.errors import FieldError
from trainers.errors import InvalidInput

NAMED_AT_MOST = 5
_TOLERATED_SHARE, _ALWAYS_TOLERATED = 0.01, 10
_MOST_WORKERS = 16
_BATCHES_AHEAD = 2
# Of how many files the content enters the fingerprint, and how much of either end.
_FINGERPRINTED_FILES, _FINGERPRINTED_BYTES = 2**16, 512


class UndecodableImageWarning(UserWarning):
    """An image file cannot be decoded and is left out."""


class ImageFiles:
    """Image files as a sequence of uint8 examples (C, H, W), each decoded when it is asked for.

    Of a training set too large for memory; a tensor of the same pixels trains to the same bits. See
    `trainers.datasets.pixels` for how an image is brought to the stored size.

    Args:
        root: Folder that the paths are relative to.
        paths: One an example, relative, with "/" between folders.
        example_shape: (C, H, W) of the stored size, C being 1 or 3.
        workers: Processes that decode; 0 decodes in this one. By default one for each of torch's threads,
            which is this process's share of the processors, 16 at most.
        tolerated: Files that may turn out undecodable before :meth:`batches` refuses to go on; by default 1%,
            and 10 at least.
    """

    def __init__(
        self,
        root: Path,
        paths: Sequence[str],
        example_shape: tuple[int, int, int],
        *,
        workers: int | None = None,
        tolerated: int | None = None,
    ) -> None:
        if tolerated is None:
            tolerated = max(_ALWAYS_TOLERATED, int(len(paths) * _TOLERATED_SHARE))
        self._reader = _Reader(root, example_shape, workers)
        self._undecodable = _Undecodable(root, len(paths), tolerated)
        # Of all files of the whole; the examples are those chosen from it.
        self._paths = tuple(paths)
        self._chosen = np.arange(len(self._paths))

    def __len__(self) -> int:
        return len(self._chosen)

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, C, H, W), as of a tensor."""
        return len(self), *self._reader.example_shape

    @property
    def dtype(self) -> torch.dtype:
        """torch.uint8, as of a tensor."""
        return torch.uint8

    @property
    def device(self) -> torch.device:
        """The CPU: where :meth:`batches` leaves its images."""
        return torch.device("cpu")

    def dim(self) -> int:
        """4, as of a tensor of images."""
        return 4

    @property
    def root(self) -> Path:
        """Folder that :attr:`paths` are relative to."""
        return self._reader.root

    @property
    def paths(self) -> list[str]:
        """The file of every example, relative to :attr:`root`."""
        return [self._paths[index] for index in self._chosen]

    @property
    def undecodable(self) -> dict[str, str]:
        """Files found undecodable so far, and why; of the whole that these were taken from."""
        return dict(self._undecodable.reasons)

    def refuse(self, problem: str) -> NoReturn:
        """Raise InvalidInput: how many files are undecodable, ``problem``, and the first five by name."""
        self._undecodable.refuse(problem)

    def take(self, indices: Tensor) -> ImageFiles:
        """The examples at some indices, int64 (M,); workers and the count of bad files are shared."""
        return self[indices]

    def __getitem__(self, key: Tensor | slice) -> ImageFiles:
        """Some of the examples, as :meth:`take`."""
        part = object.__new__(ImageFiles)
        part.__dict__.update(self.__dict__)
        part._chosen = self._chosen[key if isinstance(key, slice) else key.cpu().numpy()]
        return part

    def batches(
        self, order: Tensor, batch_size: int, *, at_least: int = 0
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Decode examples in the given order, ahead of their use.

        Nothing here depends on chance or on the number of workers.

        Args:
            order: Indices of examples, int64 (M,), on any device.
            batch_size: Examples at a time; the last batch may be smaller.
            at_least: Least number of decodable examples of a batch.

        Yields:
            The images, uint8 (B, C, H, W) on the CPU, and their indices, int64 (B,) on the device of
            ``order``. Files that cannot be decoded are left out of both, and a warning names them.

        Raises:
            InvalidInput: More files are undecodable than is tolerated, or too few of one batch are left.
        """
        indices = self._chosen[order.cpu().numpy()]
        starts = range(0, len(indices), batch_size)
        requests = [
            tuple(self._paths[index] for index in indices[start : start + batch_size]) for start in starts
        ]
        for start, (images, failures) in zip(starts, self._reader.read(requests), strict=True):
            chosen = order[start : start + batch_size]
            if failures:
                names = requests[start // batch_size]
                self._undecodable.add({names[position]: reason for position, reason in failures.items()})
                kept = [position for position in range(len(chosen)) if position not in failures]
                chosen = chosen[torch.tensor(kept, dtype=torch.int64, device=chosen.device)]
                if len(kept) < at_least:
                    self._undecodable.refuse(f"leave {len(kept)} of a batch of {len(names)}")
            yield images, chosen

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the stored size, and of every file its relative path and its size in bytes.

        Of the first and the last 512 bytes too: of all files up to 65,536, and of that many, evenly spaced,
        where there are more. Times do not enter: a copy of the files has the same fingerprint.
        """
        digest = hashlib.sha256(f"{self.shape}".encode())
        step = -(-len(self) // _FINGERPRINTED_FILES) or 1
        for number, name in enumerate(self.paths):
            path = self.root / name
            try:
                size = path.stat().st_size
                digest.update(f"|{name}|{size}|".encode("utf-8", "surrogateescape"))
                if number % step == 0:
                    with path.open("rb") as file:
                        digest.update(file.read(_FINGERPRINTED_BYTES))
                        file.seek(max(0, size - _FINGERPRINTED_BYTES))
                        digest.update(file.read(_FINGERPRINTED_BYTES))
            except OSError:
                digest.update(b"|unreadable|")
        return digest.hexdigest()


@dataclass
class _Undecodable:
    """Files of one data set that turned out undecodable."""

    root: Path
    files: int
    tolerated: int
    reasons: dict[str, str] = field(default_factory=dict)

    def add(self, found: dict[str, str]) -> None:
        for name, reason in found.items():
            if name not in self.reasons:
                self.reasons[name] = reason
                text = f"{self.root / name} cannot be decoded and is left out: {reason}"
                warnings.warn(text, UndecodableImageWarning, stacklevel=3)
        if len(self.reasons) > self.tolerated:
            self.refuse(f"cannot be decoded; {self.tolerated} are tolerated")

    def refuse(self, problem: str) -> NoReturn:
        named = ", ".join(f"{name} ({why})" for name, why in list(self.reasons.items())[:NAMED_AT_MOST])
        more = ", ..." if len(self.reasons) > NAMED_AT_MOST else ""
        problem = f"{len(self.reasons)} of {self.files:,} image files {problem}: {named}{more}"
        remedy = "Repair these files, or remove them from the data set."
        raise InvalidInput(FieldError("dataset", str(self.root), problem, remedy))


_Decoded = tuple[Tensor, dict[int, str]]


@dataclass(frozen=True)
class _Decoder:
    """What a worker does: decode the files of one request. Their names come with the request, so that a
    worker holds no list of them."""

    root: Path
    example_shape: tuple[int, int, int]

    def __getitem__(self, names: tuple[str, ...]) -> _Decoded:
        """Pixels of those that can be decoded, and the positions of the others with the reason."""
        from PIL import Image

        images = torch.empty((len(names), *self.example_shape), dtype=torch.uint8)
        failures: dict[int, str] = {}
        count = 0
        for position, name in enumerate(names):
            try:
                with Image.open(self.root / name) as image:
                    images[count] = torch.from_numpy(pixels_of(image, self.example_shape))
                count += 1
            except Exception as error:  # a broken file makes Pillow raise nearly anything
                failures[position] = f"{type(error).__name__}: {error}".replace(str(self.root) + os.sep, "")
        return images[:count], failures


class _Reader:
    """Decodes requests in order; its workers start with the first and wait for the next."""

    def __init__(self, root: Path, example_shape: tuple[int, int, int], workers: int | None) -> None:
        self.root, self.example_shape = root, example_shape
        self._workers = workers
        self._requests: list[tuple[str, ...]] = []
        self._loader: torch.utils.data.DataLoader[_Decoded] | None = None
        self._process = 0
        self._busy = False

    def __reduce__(self) -> tuple[type[_Reader], tuple[object, ...]]:
        # Neither workers nor what they hold go along to another process.
        return type(self), (self.root, self.example_shape, self._workers)

    def read(self, requests: list[tuple[str, ...]]) -> Iterator[_Decoded]:
        workers = self._number_of_workers(requests)
        # One batch is not worth a worker, and while one pass is under way the workers are taken.
        if workers == 0 or len(requests) == 1 or self._busy:
            decoder = _Decoder(self.root, self.example_shape)
            yield from (decoder[names] for names in requests)
            return
        self._busy = True
        try:
            self._requests[:] = requests
            yield from self._loader_with(workers)
        finally:
            self._busy = False

    def _loader_with(self, workers: int) -> torch.utils.data.DataLoader[_Decoded]:
        """The loader of the earlier passes, unless it has other workers, or is that of a parent process."""
        loader = self._loader
        if loader is None or loader.num_workers != workers or self._process != os.getpid():
            loader = torch.utils.data.DataLoader(
                _Decoder(self.root, self.example_shape),  # type: ignore[arg-type]
                batch_size=None,
                sampler=self._requests,
                num_workers=workers,
                collate_fn=_as_it_is,
                prefetch_factor=_BATCHES_AHEAD,
                persistent_workers=True,
                # Of its own, since a loader draws a seed for its workers, and torch's default generator is
                # the lane's.
                generator=torch.Generator(),
            )
            self._loader, self._process = loader, os.getpid()
        return loader

    def _number_of_workers(self, requests: list[tuple[str, ...]]) -> int:
        wanted = min(torch.get_num_threads(), _MOST_WORKERS) if self._workers is None else self._workers
        return min(wanted, self._workers_that_fit(max(map(len, requests), default=0)))

    def _workers_that_fit(self, batch_size: int) -> int:
        """How many workers can pass batches on through shared memory, of which containers have little."""
        try:
            free = shutil.disk_usage("/dev/shm").free
        except OSError:
            return _MOST_WORKERS
        a_worker = (_BATCHES_AHEAD + 1) * batch_size * int(np.prod(self.example_shape))
        return free // 2 // max(1, a_worker)


def _as_it_is(decoded: Any) -> Any:
    return decoded
