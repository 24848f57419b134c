"""Images a second that the solo engine trains, against a plain float32 loop as users write it.

    python -m tests.benchmarks.training_throughput
    python -m tests.benchmarks.training_throughput --data-dir DIR --images 2560

ResNet-20, batch 128, SGD with momentum and weight decay, pad-crop-flip. Ours is `trainers.training.train` as a sweep
calls it: one lane with all cores, and one lane a core, each in a process of its own. The plain loop is eager, NCHW,
float32: torchvision's transforms on each image, a DataLoader, cross entropy and torch.optim.SGD; once without workers
and once with two, since either can be the faster; and twice more with its data in memory as tensors, in float32 and
in bfloat16. A further side is as many lanes as cores fused into one network of grouped convolutions. All sides have
all cores and take turns, an epoch each; the first turn is not counted. Random images of CIFAR's shape do as well as
real ones for time; ``--data-dir`` takes real ones.

Between the turns a large copy and a large matrix product tell what the cores can do at most, and with it how many
images a second they could train in float32 at best: had nothing but arithmetic and memory to be waited for.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from tests.benchmarks.gpu.memory_floor import step_floor
from tests.benchmarks.gpu.setting import Setting
from tests.benchmarks.gpu.steps import FusedStep
from tests.benchmarks.gpu.steps import Resident
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from tests.benchmarks.trainers_in_processes import ENDLESS
from tests.benchmarks.trainers_in_processes import Trainers
from trainers.augmentation import pad_crop_flip
from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.engines.precision import has_fast_bf16
from trainers.models import build_model
from trainers.supervision import GradientRescaling
from trainers.training import TrainingTask

BACKBONE, BATCH_SIZE = "resnet20", 128
LEARNING_RATE, MOMENTUM, WEIGHT_DECAY = 0.1, 0.9, 1e-4
# Those that decide which arithmetic is the fast one.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


class PlainLoop:
    """Training as it is usually written.

    Args:
        data: Images (N, 3, H, W), uint8.
        workers: Processes of the DataLoader.
    """

    def __init__(self, data: Dataset, workers: int) -> None:
        from torchvision import transforms

        side = data.example_shape[1]
        transform = transforms.Compose(
            [
                transforms.RandomCrop(side, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(data.mean.tolist(), data.std.tolist()),
            ]
        )
        images = data.x_train.permute(0, 2, 3, 1).contiguous().numpy()
        self._loader = torch.utils.data.DataLoader(
            _Images(images, data.y_train.tolist(), transform),
            batch_size=BATCH_SIZE,
            shuffle=True,
            num_workers=workers,
            persistent_workers=workers > 0,
        )
        self._network = build_model(BACKBONE, data.example_shape, data.num_classes)
        self._criterion = nn.CrossEntropyLoss()
        self._optimiser = torch.optim.SGD(
            self._network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )

    def epoch(self) -> None:
        """One pass over the images."""
        self._network.train()
        for images, labels in self._loader:
            self._optimiser.zero_grad()
            loss = self._criterion(self._network(images), labels)
            loss.backward()
            self._optimiser.step()
            loss.item()  # for the progress line that such loops print


class _Images(torch.utils.data.Dataset[Any]):
    """What torchvision.datasets.CIFAR10 does for an image."""

    def __init__(self, images: np.ndarray, labels: Sequence[int], transform: Callable[[Any], Any]) -> None:
        self._images, self._labels, self._transform = images, labels, transform

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        from PIL import Image

        return self._transform(Image.fromarray(self._images[index])), self._labels[index]


class ResidentLoop:
    """The plain loop with its data in memory, as whole-batch tensors; eager, NCHW, torch.optim.SGD.

    Args:
        data: Images (N, 3, H, W), uint8.
        bf16: Whether convolutions and products are autocast to bfloat16.
    """

    def __init__(self, data: Dataset, bf16: bool) -> None:
        self._data, self._bf16 = data, bf16
        self._random = torch.Generator().manual_seed(0)
        self._network = build_model(BACKBONE, data.example_shape, data.num_classes)
        self._optimiser = torch.optim.SGD(
            self._network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )

    def epoch(self) -> None:
        """One pass over the images."""
        data = self._data
        shift, scale = data.mean.view(1, -1, 1, 1), data.std.view(1, -1, 1, 1)
        self._network.train()
        for chosen in torch.randperm(len(data.y_train), generator=self._random).split(BATCH_SIZE):
            images = pad_crop_flip(data.x_train[chosen], self._random).float() / 255
            self._optimiser.zero_grad()
            with torch.autocast("cpu", torch.bfloat16, enabled=self._bf16):
                logits = self._network((images - shift) / scale)
            nn.functional.cross_entropy(logits.float(), data.y_train[chosen]).backward()
            self._optimiser.step()


class FusedLanes:
    """K lanes as one network, their channels side by side, grouped convolutions in NCHW, float32.

    The network of the fused engine in the layout that is fast on a CPU: what fusing gives where launches cost nothing.

    Args:
        examples: Random images, resident.
        lanes: K.
    """

    def __init__(self, examples: int, lanes: int) -> None:
        setting = Setting(torch.device("cpu"), dry_run=False, depth=20, batch_size=BATCH_SIZE, examples=examples)
        rules = [GradientRescaling(beta=8.0, lam=0.5)] * lanes
        self._steps = examples // BATCH_SIZE
        self._step = FusedStep(setting, Resident.random(setting), rules, torch.contiguous_format, torch.float32)

    def epoch(self) -> None:
        """As many steps as a pass over the images."""
        for _ in range(self._steps):
            self._step.step()


class Roofline:
    """What the cores can do at most: bytes copied and float32 matrix operations a second, measured like a side."""

    def __init__(self) -> None:
        self._source = torch.zeros(2**28, dtype=torch.uint8)
        self._target = torch.empty_like(self._source)
        self._matrix, self._product = torch.randn(2048, 2048), torch.empty(2048, 2048)

    def look(self) -> tuple[float, float]:
        """Bytes read and written, and operations, a second."""
        started = time.perf_counter()
        self._target.copy_(self._source)
        copied = time.perf_counter()
        torch.mm(self._matrix, self._matrix, out=self._product)
        ended = time.perf_counter()
        return 2 * len(self._source) / (copied - started), 2 * 2048**3 / (ended - copied)


def task_of(data: Dataset) -> TrainingTask:
    """The training of our sides."""
    return TrainingTask(
        data,
        BACKBONE,
        iterations=ENDLESS,
        batch_size=BATCH_SIZE,
        learning_rate=LEARNING_RATE,
        momentum=MOMENTUM,
        weight_decay=WEIGHT_DECAY,
        augmentation="pad-crop-flip",
        evaluate_every=ENDLESS,
        device="cpu",
    )


def measure(data: Dataset, repeats: int, cores: int) -> tuple[dict[str, list[float]], list[tuple[float, float]]]:
    """Images a second of every side, and the roofline, one number a repeat in turns; the first turn is not counted."""
    task = task_of(data)
    ours = f"trainers, {'bf16' if has_fast_bf16(torch.device('cpu')) else 'fp32'}"
    sides: dict[str, tuple[Trainers | PlainLoop | ResidentLoop | FusedLanes, int]] = {
        f"{ours}, {cores} threads": (Trainers(task, 1, cores), 1),
        f"{ours}, {cores} processes of 1 thread": (Trainers(task, cores, 1), cores),
        f"{cores} lanes fused, grouped NCHW, fp32": (FusedLanes(len(data.y_train), cores), cores),
        "plain, 0 workers": (PlainLoop(data, 0), 1),
        "plain, 2 workers": (PlainLoop(data, 2), 1),
        "plain, resident data, fp32": (ResidentLoop(data, bf16=False), 1),
        "plain, resident data, bf16": (ResidentLoop(data, bf16=True), 1),
    }
    rates: dict[str, list[float]] = {name: [] for name in sides}
    roofline, most = Roofline(), []
    for turn in range(repeats + 1):
        for name, (side, lanes) in sides.items():
            started = time.perf_counter()
            side.epoch()
            if turn:
                rates[name].append(lanes * len(data.y_train) / (time.perf_counter() - started))
        if turn:
            most.append(roofline.look())
            print("  ".join(f"{name}: {each[-1]:.0f}/s" for name, each in rates.items()), flush=True)
        else:
            roofline.look()
    return rates, most


def random_images(examples: int) -> Dataset:
    """Noise of CIFAR's shape."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (examples, 3, 32, 32), generator=generator, dtype=torch.uint8)
    y = torch.arange(examples) % 10
    return Dataset.from_tensors("random", x, y, x[:BATCH_SIZE], y[:BATCH_SIZE], 10)


def processor_flags() -> list[str]:
    """Which of FLAGS this processor has; empty where Linux does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []
    flags = next((set(line.split()) for line in lines if line.startswith("flags")), set())
    return [flag for flag in FLAGS if flag in flags]


def main() -> None:
    """Measure, print and write the result."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--images", type=int, default=1280, help="images an epoch, a multiple of 128")
    parser.add_argument("--repeats", type=int, default=5, help="counted epochs of each side, at least 5")
    parser.add_argument("--data-dir", type=Path, help="folder with cifar-10-batches-py, for real images")
    parser.add_argument("--output", type=Path, help="result file; by default named after the processor")
    options = parser.parse_args()
    if options.images % BATCH_SIZE or options.images < BATCH_SIZE or options.repeats < 5:
        parser.error("give a multiple of 128 images and at least 5 repeats")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    if options.data_dir is None:
        data = random_images(options.images)
    else:
        data = load_dataset("cifar10", options.data_dir).limit_train(options.images)
    load_before = os.getloadavg()[0]
    rates, most = measure(data, options.repeats, torch.get_num_threads())

    ours = next(iter(rates))
    sides = []
    for name, values in rates.items():
        ratio = None if name.startswith("trainers") else _quartiles(np.divide(rates[ours], values), 3)
        sides.append(
            {
                "side": name,
                **_quartiles(values),
                "all": [round(value, 1) for value in values],
                "ours_over_it": ratio,
            }
        )
        said = "" if ratio is None else f", ours over it {ratio['median']} {ratio['quartiles']}"
        print(f"{name:>40}: {sides[-1]['median']} images/s, quartiles {sides[-1]['quartiles']}{said}")
    flags = processor_flags()
    name = next((flag for flag in reversed(FLAGS) if flag in flags), "cpu")
    output = options.output or RESULTS / f"training_throughput_{name}.json"
    content = {
        **provenance(),
        "flags": flags,
        "load_before": round(load_before, 2),
        "data": data.name,
        "images_an_epoch": len(data.y_train),
        "backbone": BACKBONE,
        "batch_size": BATCH_SIZE,
        "roofline": roofline_of(most),
        "images_a_second": sides,
    }
    write_result(output, content)
    print(f"written to {output}")


def roofline_of(most: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """Medians of the roofline, and the images a second that arithmetic and memory allow, each alone.

    Memory's twice: with norms and activations fused into the convolutions, and with nothing fused, as eager torch does.
    """
    copied, multiplied = (float(each) for each in np.median(np.array(most), axis=0))
    floor = step_floor(20, 32, BATCH_SIZE, value_bytes=4)
    return {
        "gigabytes_a_second": round(copied / 1e9, 1),
        "fp32_gigaflops": round(multiplied / 1e9, 1),
        "arithmetic_images_a_second": round(BATCH_SIZE * multiplied / floor.operations, 1),
        "fused_memory_images_a_second": round(BATCH_SIZE * copied / floor.fused_bytes, 1),
        "unfused_memory_images_a_second": round(BATCH_SIZE * copied / floor.unfused_bytes, 1),
    }


def _quartiles(values: Sequence[float] | np.ndarray, digits: int = 1) -> dict[str, Any]:
    low, middle, high = (round(float(value), digits) for value in np.percentile(values, (25, 50, 75)))
    return {"median": middle, "quartiles": [low, high]}


if __name__ == "__main__":
    main()
