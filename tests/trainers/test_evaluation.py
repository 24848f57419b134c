from __future__ import annotations

import pytest
import torch
from torch import Tensor

from trainers.evaluation import accuracy
from trainers.evaluation import predictions


@pytest.mark.parametrize("batch_size", [1, 7, 32, 1000])
def test_predictions_do_not_depend_on_the_batch_size(batch_size: int) -> None:
    inputs = torch.randn(33, 6, generator=torch.Generator().manual_seed(0))
    weights = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    expected = [max(range(5), key=lambda c: float(row @ weights[:, c])) for row in inputs]
    predicted = predictions(lambda batch: batch @ weights, inputs, batch_size)
    assert predicted.dtype == torch.int64
    assert predicted.tolist() == expected


def test_predictions_record_no_gradients_and_see_no_more_than_a_batch_at_a_time() -> None:
    weights = torch.randn(6, 5, requires_grad=True)
    seen = []

    def forward(batch: Tensor) -> Tensor:
        logits = batch @ weights
        seen.append((len(batch), logits.requires_grad))
        return logits

    predictions(forward, torch.randn(10, 6), batch_size=4)
    assert seen == [(4, False), (4, False), (2, False)]


@pytest.mark.parametrize(
    ("shape", "largest"), [((1, 8, 8), 512), ((3, 32, 32), 85), ((3, 256, 256), 32), ((3, 1024, 1024), 5)]
)
def test_on_a_cpu_a_batch_is_as_large_as_its_cache_likes(shape: tuple[int, ...], largest: int) -> None:
    seen: list[int] = []

    def forward(batch: Tensor) -> Tensor:
        seen.append(len(batch))
        return batch.new_zeros((len(batch), 2), dtype=torch.float32)

    # One pixel that stands for all: no memory is needed for what nobody looks at.
    images = torch.zeros(1, dtype=torch.uint8).expand(600, *shape)
    assert len(predictions(forward, images)) == 600
    assert max(seen) == largest


def test_accuracy_is_the_share_of_labels_that_were_predicted() -> None:
    assert accuracy(torch.tensor([1, 2, 3, 3]), torch.tensor([1, 2, 0, 3])) == 0.75
    # A mean in float32 would already be off here, at 1 / 3 of an odd number.
    predicted = torch.arange(50_001) % 3
    assert accuracy(predicted, torch.zeros(50_001, dtype=torch.int64)) == 16_667 / 50_001
