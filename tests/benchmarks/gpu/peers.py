"""Loops as users write them, and our engines."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch import nn
from torch.nn import functional

from tests.benchmarks.gpu.setting import Setting
from tests.benchmarks.gpu.steps import CLASSES
from tests.benchmarks.gpu.steps import LEARNING_RATE
from tests.benchmarks.gpu.steps import MOMENTUM
from tests.benchmarks.gpu.steps import WEIGHT_DECAY
from tests.benchmarks.gpu.steps import Resident
from tests.benchmarks.gpu.steps import initial_network
from trainers.augmentation import pad_crop_flip
from trainers.datasets import Dataset
from trainers.noise import symmetric_noise
from trainers.supervision import GradientRescaling
from trainers.training import Decision
from trainers.training import Engine
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.training import train

_MEAN, _STD = (0.5, 0.5, 0.5), (0.29, 0.29, 0.29)
# Epochs of the solo engine that are there to take turns with; more than any run has.
_MANY = 10_000


@cache
def has_torchvision() -> bool:
    """Whether the plain loop can use torchvision's transforms, which need Pillow."""
    try:
        importlib.import_module("PIL.Image")
        importlib.import_module("torchvision.transforms")
    except Exception:  # built for another torch, it raises nearly anything
        return False
    return True


class PlainLoop:
    """Training as it is usually written: DataLoader with workers, transforms of each image, float32, NCHW, eager.

    torchvision's transforms where it is installed, else the same on tensors. Cross entropy: the cheapest supervision.

    Args:
        setting: Depth, sizes, workers, device.
        data: Its images and labels are copied to the host.
    """

    def __init__(self, setting: Setting, data: Resident) -> None:
        self._device = setting.device
        transform = _torchvision_transform(setting.side) if has_torchvision() else _TensorTransform()
        cuda = setting.device.type == "cuda"
        self._loader: torch.utils.data.DataLoader[Any] = torch.utils.data.DataLoader(
            _Images(data.images.cpu(), data.labels.tolist(), transform, as_pictures=has_torchvision()),
            batch_size=setting.batch_size,
            shuffle=True,
            drop_last=True,
            num_workers=setting.workers,
            persistent_workers=setting.workers > 0,
            pin_memory=cuda,
        )
        self._batches = self._endless()
        self._network = initial_network(setting, seed=0).train()
        self._criterion = nn.CrossEntropyLoss()
        self._optimiser = torch.optim.SGD(
            self._network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )

    def _endless(self) -> Iterator[tuple[Tensor, Tensor]]:
        while True:
            yield from self._loader

    def turn(self, steps: int) -> None:
        """See `Turn`."""
        for _ in range(steps):
            images, labels = next(self._batches)
            images = images.to(self._device, non_blocking=True)
            labels = labels.to(self._device, non_blocking=True)
            self._optimiser.zero_grad()
            loss = self._criterion(self._network(images), labels)
            loss.backward()
            self._optimiser.step()
            loss.item()  # for the progress line that such loops print

    def close(self) -> None:
        """End the workers."""
        self._batches.close()  # type: ignore[attr-defined]
        del self._batches, self._loader


class _Images(torch.utils.data.Dataset[Any]):
    """What torchvision.datasets.CIFAR10 does for an image."""

    def __init__(
        self, images: Tensor, labels: list[int], transform: Callable[[Any], Tensor], as_pictures: bool
    ) -> None:
        self._images = images.permute(0, 2, 3, 1).contiguous().numpy() if as_pictures else images
        self._labels, self._transform, self._as_pictures = labels, transform, as_pictures

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = self._images[index]
        if self._as_pictures:
            from PIL import Image

            image = Image.fromarray(image)
        return self._transform(image), self._labels[index]


def _torchvision_transform(side: int) -> Callable[[Any], Tensor]:
    from torchvision import transforms

    steps = [
        transforms.RandomCrop(side, padding=4),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(_MEAN, _STD),
    ]
    transform: Callable[[Any], Tensor] = transforms.Compose(steps)
    return transform


class _TensorTransform:
    """The same on one image, uint8 (3, H, W), where there is no torchvision."""

    def __init__(self) -> None:
        self._mean, self._std = torch.tensor(_MEAN).view(3, 1, 1), torch.tensor(_STD).view(3, 1, 1)

    def __call__(self, image: Tensor) -> Tensor:
        height, width = image.shape[1:]
        top, left = (int(offset) for offset in torch.randint(0, 9, (2,)))
        image = functional.pad(image, (4, 4, 4, 4))[:, top : top + height, left : left + width]
        if float(torch.rand(())) < 0.5:
            image = image.flip(2)
        return (image.float() / 255 - self._mean) / self._std


class ResidentLoop:
    """An eager loop whose author has moved the data to the device and switched bf16 and channels_last on.

    Args:
        setting: Depth, sizes, device.
        data: On the device.
        seed: Of the lane.
    """

    def __init__(self, setting: Setting, data: Resident, seed: int = 0) -> None:
        self._setting, self._data = setting, data
        network = initial_network(setting, seed).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._network: nn.Module = network.train()
        self._optimiser = torch.optim.SGD(
            self._network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        self._generator = torch.Generator(setting.device).manual_seed(seed)
        self._criterion = nn.CrossEntropyLoss()

    def step(self) -> None:
        """One optimiser step."""
        setting, data = self._setting, self._data
        chosen = torch.randint(
            0, setting.examples, (setting.batch_size,), generator=self._generator, device=setting.device
        )
        images = pad_crop_flip(data.images[chosen], self._generator).float()
        images = ((images - data.shift) * data.gain).contiguous(memory_format=torch.channels_last)
        self._optimiser.zero_grad()
        with torch.autocast(setting.device.type, torch.bfloat16):
            loss = self._criterion(self._network(images), data.labels[chosen])
        loss.backward()
        self._optimiser.step()


class EngineLoop:
    """`trainers.training.train` by one of its engines, an epoch a turn, in a thread that waits between its turns.

    Args:
        setting: Depth, sizes, device; an epoch has the steps of a turn.
        data: As many of its images as an epoch takes are handed to the engine.
        engine: Which.
        supervisions: One a lane; all of them at once.
    """

    def __init__(
        self, setting: Setting, data: Resident, engine: Engine, supervisions: Sequence[GradientRescaling]
    ) -> None:
        examples = setting.steps * setting.batch_size
        chosen = torch.arange(examples) % setting.examples
        images, labels = data.images.cpu()[chosen], data.labels.cpu()[chosen]
        labels[:CLASSES] = torch.arange(CLASSES)  # every class, whatever was drawn
        test = slice(0, setting.batch_size)
        dataset = Dataset.from_tensors("random", images, labels, images[test], labels[test], CLASSES)
        task = TrainingTask(
            dataset,
            f"resnet{setting.depth}",
            iterations=_MANY * setting.steps,
            batch_size=setting.batch_size,
            learning_rate=LEARNING_RATE,
            momentum=MOMENTUM,
            weight_decay=WEIGHT_DECAY,
            augmentation="pad-crop-flip",
            precision="bf16",
            # Stopped before its end, which would be evaluated.
            evaluate_every=_MANY,
            device=str(setting.device),
        )
        noise = symmetric_noise(dataset.y_train, 0.0, CLASSES, 0)
        lanes = [Lane(f"lane-{seed}", supervision, noise, seed) for seed, supervision in enumerate(supervisions)]
        self._engine: Engine = engine
        self._steps, self._last = setting.steps, lanes[-1].id
        self._go, self._done = threading.Semaphore(0), threading.Semaphore(0)
        self._stop = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._train, args=(task, lanes), daemon=True)
        self._thread.start()

    def _train(self, task: TrainingTask, lanes: Sequence[Lane]) -> None:
        self._go.acquire()
        try:
            if not self._stop:
                results = train(task, lanes, self._wait, engine=self._engine, at_once=len(lanes))
                if not self._stop:
                    raise RuntimeError(f"a lane ended: {results[0].ending.value}, {results[0].reason}")
        except Exception as error:
            self._error = error
        self._done.release()

    def _wait(self, report: EpochReport) -> Decision:
        if report.lane_id == self._last:
            self._done.release()
            self._go.acquire()
        return Decision.STOP if self._stop else Decision.CONTINUE

    def turn(self, steps: int) -> None:
        """See `Turn`; there is no other number of steps than the epoch's."""
        assert steps == self._steps, (steps, self._steps)
        self._go.release()
        self._done.acquire()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End the thread."""
        self._stop = True
        self._go.release()
        self._thread.join(timeout=60)
