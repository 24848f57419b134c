"""What can go wrong with a sweep, beyond wrong input: each message says what to do about it."""

from __future__ import annotations

from trainers.errors import EmphasisError
from trainers.errors import InvalidInput


class SweepBusy(EmphasisError):
    """Another living process owns the sweep; nothing was changed.

    Args:
        sweep_id: The sweep that was asked for.
        owner: Who holds it, ``host:pid:createtime:machine``.
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


class LeaseLost(EmphasisError):
    """The process no longer has the right to run the sweep; nothing was written.

    Args:
        sweep_id: The sweep.
        reason: Why, e.g. that another has it now.
    """

    def __init__(self, sweep_id: str, reason: str) -> None:
        self.sweep_id = sweep_id
        self.reason = reason
        super().__init__(
            f"Sweep {sweep_id} is no longer this process's to run: {reason}. Nothing was written; what was "
            "recorded before is kept, and whoever has the sweep runs what is missing."
        )

    def __reduce__(self) -> tuple[type[LeaseLost], tuple[str, str]]:
        return type(self), (self.sweep_id, self.reason)


class IllegalMove(EmphasisError):
    """A sweep cannot do what was asked of it in the state that it is in; nothing was changed.

    Args:
        sweep_id: The sweep.
        asked: What was asked, e.g. ``pause``.
        state: The state it is in.
        remedy: What can be done instead.
    """

    def __init__(self, sweep_id: str, asked: str, state: str, remedy: str) -> None:
        self.sweep_id, self.asked, self.state, self.remedy = sweep_id, asked, state, remedy
        super().__init__(f"Sweep {sweep_id} is {state}: it cannot be asked to {asked}. {remedy}")

    def __reduce__(self) -> tuple[type[IllegalMove], tuple[str, str, str, str]]:
        return type(self), (self.sweep_id, self.asked, self.state, self.remedy)


class RequestKeyUsed(EmphasisError):
    """The request key belongs to another submission; nothing was changed.

    Args:
        key: The key.
        sweep_id: The sweep that was submitted under it.
    """

    def __init__(self, key: str, sweep_id: str) -> None:
        self.key, self.sweep_id = key, sweep_id
        super().__init__(
            f"request_key = {key!r}: sweep {sweep_id} was submitted under it with other fields. "
            "Use another key for another sweep, or repeat the same fields."
        )

    def __reduce__(self) -> tuple[type[RequestKeyUsed], tuple[str, str]]:
        return type(self), (self.key, self.sweep_id)


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


class SweepCancelled(EmphasisError):
    """The sweep was cancelled, which is final; what it recorded is kept.

    Args:
        sweep_id: The sweep.
    """

    def __init__(self, sweep_id: str) -> None:
        self.sweep_id = sweep_id
        super().__init__(f"Sweep {sweep_id} was cancelled. Its finished trials are kept: `emphasis show {sweep_id}`.")

    def __reduce__(self) -> tuple[type[SweepCancelled], tuple[str]]:
        return type(self), (self.sweep_id,)


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


class UnencryptedToken(UserWarning):
    """A token is sent where anyone on the way can read it."""


class RayUnavailable(InvalidInput):
    """No Ray answers at the address that was given; it may again later."""


class NotInstalledHere(InvalidInput):
    """A queued sweep is of another release, or names what is not installed here; another machine may well run it."""


class StoreUnavailable(EmphasisError):
    """The store could not be opened or did not answer; the message never holds a password."""


class ServerUnavailable(EmphasisError):
    """The server could not be reached or failed, which may pass; the message never holds a token.

    Args:
        url: The server's address.
        problem: What happened.
        remedy: What to do about it.
    """

    def __init__(self, url: str, problem: str, remedy: str) -> None:
        self.url, self.problem, self.remedy = url, problem, remedy
        super().__init__(f"{url}: {problem}. {remedy}")

    def __reduce__(self) -> tuple[type[ServerUnavailable], tuple[str, str, str]]:
        return type(self), (self.url, self.problem, self.remedy)


class AnswerLost(ServerUnavailable):
    """The server was asked and its answer did not come: what was asked may have been done."""


class UnexpectedAnswer(EmphasisError):
    """What answers at an address is not the service, or of another release.

    Args:
        url: The address.
        problem: What it answered.
    """

    def __init__(self, url: str, problem: str) -> None:
        self.url, self.problem = url, problem
        remedy = "Check that the address is that of `emphasis serve`, and that both are of one release."
        super().__init__(f"{url}: {problem}. {remedy}")

    def __reduce__(self) -> tuple[type[UnexpectedAnswer], tuple[str, str]]:
        return type(self), (self.url, self.problem)


class NotAllowed(EmphasisError):
    """The service does not do this for who asks: the token is missing, unknown or may not; nothing was changed."""


class WaitTimeout(EmphasisError, TimeoutError):
    """A sweep had not ended in the time that it was waited for; it goes on.

    Args:
        sweep_id: The sweep.
        state: Where it stands.
        seconds: How long it was waited for.
    """

    def __init__(self, sweep_id: str, state: str, seconds: float) -> None:
        self.sweep_id, self.state, self.seconds = sweep_id, state, seconds
        super().__init__(
            f"Sweep {sweep_id} is still {state} after {seconds:g} s; it goes on. Wait longer, or watch it with "
            f"`emphasis show {sweep_id}`."
        )

    def __reduce__(self) -> tuple[type[WaitTimeout], tuple[str, str, float]]:
        return type(self), (self.sweep_id, self.state, self.seconds)
