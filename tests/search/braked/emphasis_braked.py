"""A supervision whose trials stop after their first epoch until a test lets them go on; see tests/search/brake.py.

Ray's processes import it, as they would an installed package of a user.
"""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from spaces import Dimension
from spaces import RangesSpace
from trainers.supervision import Batch
from trainers.supervision import Course
from trainers.supervision import GeneralisedCrossEntropy
from trainers.supervision import NetworkView
from trainers.supervision import Setting

_SITE_PACKAGES = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Braked(GeneralisedCrossEntropy):
    """Generalised cross entropy that waits for a pass before its second epoch."""

    @property
    def name(self) -> str:
        """``braked``."""
        return "braked"

    def course(self, setting: Setting) -> Course:
        """Its loss at every step, and the wait."""
        return _Waiting(self)


SPACE = RangesSpace(supervision="braked", dimensions={"q": Dimension(low=0.1, high=1)})


class _Waiting(Course):
    def __init__(self, criterion: Braked) -> None:
        self._criterion = criterion

    def begin_epoch(self, network: NetworkView) -> None:
        if network.epoch == 1:
            _take_pass(_SITE_PACKAGES.parent)

    def loss(self, batch: Batch) -> Tensor:
        return self._criterion.loss(batch.logits, batch.labels)


def _take_pass(folder: Path) -> None:
    mark = folder / f"held-{os.getpid()}"
    while not (folder / "open").exists():
        for one in folder.glob("pass-*"):
            with contextlib.suppress(FileNotFoundError):  # another took it
                one.unlink()
                mark.unlink(missing_ok=True)
                return
        mark.touch()
        time.sleep(0.02)
    mark.unlink(missing_ok=True)
