"""The file that a lane leaves on disk, so that a later run goes on from there."""

from __future__ import annotations

import dataclasses
import io
import math
import numbers
import time
import warnings
from pathlib import Path
from typing import Any
from typing import Protocol

import torch

from trainers.errors import FieldError
from trainers.errors import InvalidInput
from trainers.evaluation import Evaluation
from trainers.evaluation import RunningAccuracy
from trainers.training import Checkpoints
from trainers.training import Computation
from trainers.training import EpochReport
from trainers.training import Lane
from trainers.training import TrainingTask
from trainers.whole_files import replaced_whole


class Resumable(Protocol):
    """A lane as its checkpoint sees it."""

    def identity(self) -> str:
        """What must agree for a checkpoint to be this lane's."""

    def state(self) -> dict[str, Any]:
        """Everything that the rest of the training depends on, as tensors and plain values."""

    def restore(self, state: dict[str, Any]) -> None:
        """Become the lane that ``state`` was taken from."""


def identity_of(task: TrainingTask, lane: Lane) -> str:
    """What must agree for a checkpoint to be a lane's, whichever engine wrote it.

    Args:
        task: As the lane trains it.
        lane: The lane.
    """
    settings = {item.name: getattr(task, item.name) for item in dataclasses.fields(task)}
    settings["dataset"] = (task.dataset.fingerprint, lane.labels.fingerprint)
    del settings["device"]  # a lane may go on elsewhere
    if settings["weights"] is None:
        del settings["weights"]  # nor had a checkpoint any before tasks had weights
    for name, value in settings.items():
        if isinstance(value, numbers.Real):
            settings[name] = float(value)  # 1 is 1.0, and numpy's too
    return repr((settings, lane.supervision, int(lane.seed)))


def restored_report(saved: dict[str, Any]) -> EpochReport:
    """The report that `dataclasses.asdict` made into ``saved``."""
    # One NaN object for all: only then are two evaluations without a validation set equal.
    accuracies: dict[str, Any] = {
        name: value if value == value else math.nan for name, value in (saved["evaluation"] or {}).items()
    }
    evaluation = Evaluation(**accuracies) if accuracies else None
    running = saved.get("running")
    if running is not None:
        known = running["intact_train"] == running["intact_train"]
        running = RunningAccuracy(running["corrupted_train"], running["intact_train"] if known else math.nan)
    computed_by = saved.get("computed_by")
    computation = None if computed_by is None else Computation(**computed_by)
    return EpochReport(**{**saved, "evaluation": evaluation, "running": running, "computed_by": computation})


def checkpoint_path(folder: Path, lane_id: str) -> Path:
    """Where the state of a lane lies."""
    return folder / f"{lane_id}.pt"


# Seconds before each try: a file server may be restarting, or others may have all the files open that there can be.
_PAUSES = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class CheckpointWarning(UserWarning):
    """A checkpoint could not be written or read: more of its lane is trained again than need be."""


class LaneCheckpoint:
    """The file of one lane.

    Args:
        checkpoints: Its folder, and how often it is written.
        lane_id: The lane.
    """

    def __init__(self, checkpoints: Checkpoints, lane_id: str) -> None:
        self._path = checkpoint_path(checkpoints.folder, lane_id)
        self._lane_id = lane_id
        self._every_seconds = checkpoints.every_seconds
        self._saved_at = time.monotonic()

    def load(self, training: Resumable) -> None:
        """Bring the lane to where its file left it; nothing where there is no file.

        A file that cannot be read is waited for, half a minute at most; then the lane starts over.

        Raises:
            InvalidInput: The file is damaged, or another configuration's.
        """
        content = self._content()
        if content is None:
            return
        try:
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            identity = state["identity"]
        except MemoryError:
            raise  # no fault of the file
        except Exception as error:  # a broken file makes torch, zipfile and pickle raise nearly anything
            problem = f"damaged, or no checkpoint at all ({type(error).__name__})"
            raise self._refusal(problem, "Remove the file: the lane then starts over.") from error
        if identity != training.identity():
            problem = f"was written by another configuration than that of lane {self._lane_id}"
            raise self._refusal(problem, "Use another folder, or remove the file.")
        try:
            training.restore(state)
        except (torch.AcceleratorError, torch.OutOfMemoryError, MemoryError):
            raise  # no fault of the file
        except Exception as error:  # of another release, say
            problem = f"cannot be gone on from ({type(error).__name__}: {error})"
            raise self._refusal(problem, "Remove the file: the lane then starts over.") from error

    def _content(self) -> bytes | None:
        """What is in the file; None where there is none, or it could not be read for long."""
        for pause in _PAUSES:
            time.sleep(pause)
            try:
                return self._path.read_bytes()
            except (FileNotFoundError, NotADirectoryError):
                return None
            except OSError as error:
                why = error.strerror or error
        text = f"The checkpoint {self._path} cannot be read ({why}); the lane starts over."
        warnings.warn(text, CheckpointWarning, stacklevel=3)
        return None

    def _refusal(self, problem: str, remedy: str) -> InvalidInput:
        return InvalidInput(FieldError("checkpoint", str(self._path), problem, remedy))

    def save_if_due(self, training: Resumable) -> None:
        """Write the lane's state, unless that was done a moment ago; what cannot be written is tried again later."""
        if time.monotonic() - self._saved_at < self._every_seconds:
            return
        content = io.BytesIO()  # torch tells of a full disk by an error that could be any
        torch.save(training.state(), content)
        try:
            with replaced_whole(self._path) as file:
                file.write(content.getbuffer())
        except OSError as error:
            text = f"The checkpoint {self._path} cannot be written ({error.strerror or error}); the training goes on."
            warnings.warn(text, CheckpointWarning, stacklevel=2)
        self._saved_at = time.monotonic()
