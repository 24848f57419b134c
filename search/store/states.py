"""The moves of a sweep between its states, and who makes them.

A person or program asks (`Verb`); the process that runs the sweep does it and says so:

    queued  --claimed-->  running  --all trials run-->  done
                             |--it cannot give a result-->  failed
                             |--its process is stopped or dies-->  queued (paused, where a person ran it)
    running --pause-->  pausing  --its process has stopped-->  paused  --resume-->  queued
    running --cancel--> cancelling --its process has stopped--> cancelled

What nobody runs pauses and is cancelled at once. Asking again for what is so already changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

from search.errors import IllegalMove
from search.store.records import SweepState

_Q, _R, _PG, _P, _CG, _C, _D, _F = SweepState


RUNNING_STATES = (SweepState.RUNNING, SweepState.PAUSING, SweepState.CANCELLING)
"""On record while a process runs a sweep, or has died and told nobody."""


class Verb(StrEnum):
    """What may be asked of a sweep."""

    PAUSE = "pause"
    CANCEL = "cancel"
    RESUME = "resume"


_MOVES: dict[Verb, dict[SweepState, SweepState]] = {
    Verb.PAUSE: {_Q: _P, _R: _PG, _PG: _PG, _P: _P},
    Verb.CANCEL: {_Q: _C, _R: _CG, _PG: _CG, _CG: _CG, _P: _C, _C: _C},
    # Asked for while it still stops, it is queued as soon as it has: until then nobody else can claim it.
    Verb.RESUME: {_Q: _Q, _R: _R, _PG: _Q, _P: _Q, _F: _Q, _D: _D},
}

_REMEDIES = {
    _CG: "It is being cancelled, which is final; submit it again.",
    _C: "It was cancelled, which is final; submit it again.",
    _D: "Its result is final; read it with `emphasis show {id}`.",
    _F: "It has failed already; `emphasis resume {id}` would run what is missing.",
}


def after(sweep_id: str, state: SweepState, verb: Verb, owned: bool) -> SweepState:
    """The state of a sweep after it was asked something.

    Args:
        sweep_id: The sweep, for messages.
        state: Where it stands.
        verb: What is asked.
        owned: Whether a process runs it, or is still stopping to run it.

    Raises:
        IllegalMove: That cannot be asked of it.
    """
    move = _MOVES[verb].get(state)
    if move is None:
        raise IllegalMove(sweep_id, verb, state, _REMEDIES[state].format(id=sweep_id))
    if state is SweepState.QUEUED and owned:
        move = {SweepState.PAUSED: SweepState.PAUSING, SweepState.CANCELLED: SweepState.CANCELLING}.get(move, move)
    return move


def once_stopped(state: SweepState, attended: bool) -> SweepState:
    """The state of a sweep whose process has stopped before all trials were run.

    Args:
        state: Where it stood.
        attended: Whether a person ran it.
    """
    match state:
        case SweepState.RUNNING:
            return SweepState.PAUSED if attended else SweepState.QUEUED
        case SweepState.PAUSING:
            return SweepState.PAUSED
        case SweepState.CANCELLING:
            return SweepState.CANCELLED
    return state


def recorded_as(states: Iterable[SweepState]) -> frozenset[SweepState]:
    """The states on record of sweeps that are in one of these: what a dead process left running does not run."""
    wanted = frozenset(states)
    stopped = {state: {once_stopped(state, attended) for attended in (True, False)} for state in SweepState}
    return wanted.union(state for state, left in stopped.items() if not wanted.isdisjoint(left))
