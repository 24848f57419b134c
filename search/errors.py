"""What can go wrong with a sweep, beyond wrong input: each message says what to do about it."""

from __future__ import annotations

from trainers.errors import EmphasisError


class SweepBusy(EmphasisError):
    """Another living process owns the sweep; nothing was changed.

    Args:
        sweep_id: The sweep that was asked for.
        owner: Who holds it, ``host:pid:createtime``.
    """

    def __init__(self, sweep_id: str, owner: str) -> None:
        self.sweep_id = sweep_id
        self.owner = owner
        super().__init__(
            f"Sweep {sweep_id} is being run by {owner}. "
            f"Watch it with `emphasis show {sweep_id}`, or stop that process first and then resume the sweep."
        )

    def __reduce__(self) -> tuple[type[SweepBusy], tuple[str, str]]:
        return type(self), (self.sweep_id, self.owner)


class SweepFailed(EmphasisError):
    """The sweep was stopped because it cannot give a result; what it recorded is kept.

    Args:
        sweep_id: The sweep.
        reason: Why it was stopped, with the reasons of the trials that failed.
    """

    def __init__(self, sweep_id: str, reason: str) -> None:
        self.sweep_id = sweep_id
        self.reason = reason
        super().__init__(
            f"Sweep {sweep_id} failed: {reason}\n"
            f"See every trial with `emphasis show {sweep_id}`. `emphasis resume {sweep_id}` would run what is "
            "missing; finished trials, failed ones too, are final."
        )

    def __reduce__(self) -> tuple[type[SweepFailed], tuple[str, str]]:
        return type(self), (self.sweep_id, self.reason)


class SweepInterrupted(EmphasisError):
    """The sweep was stopped before its end, by Ctrl-C or a signal; finished trials are kept.

    Args:
        sweep_id: The sweep.
        reason: What stopped it.
    """

    def __init__(self, sweep_id: str, reason: str = "interrupted") -> None:
        self.sweep_id = sweep_id
        self.reason = reason
        super().__init__(
            f"Sweep {sweep_id} stopped: {reason}. Finished trials are kept; "
            f"continue with `emphasis resume {sweep_id}`."
        )

    def __reduce__(self) -> tuple[type[SweepInterrupted], tuple[str, str]]:
        return type(self), (self.sweep_id, self.reason)


class TrialFinished(EmphasisError):
    """A finished trial never changes, and something tried to change it.

    Args:
        trial_id: The trial.
        attempted: What was tried, and what the record says instead.
    """

    def __init__(self, trial_id: str, attempted: str) -> None:
        self.trial_id = trial_id
        self.attempted = attempted
        super().__init__(
            f"Trial {trial_id} is finished and its result is final: {attempted}. "
            "Read it with `emphasis show`, or add a new trial instead."
        )

    def __reduce__(self) -> tuple[type[TrialFinished], tuple[str, str]]:
        return type(self), (self.trial_id, self.attempted)


class SweepWarning(UserWarning):
    """Something about a sweep that its user should know, and that does not keep it from running."""


class StoreUnavailable(EmphasisError):
    """The store could not be opened or did not answer; the message never holds a password."""
