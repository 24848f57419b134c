"""A line of a sweep's log, to read or for programs; the sweep and the trial are on every one."""

from __future__ import annotations

from search.service.logs import text_line
from search.service.views import EventView


def log_line(event: EventView, as_json: bool = False) -> str:
    """``2026-01-31 12:00:00  info     digits-r40-...-0003  started  beta=12 lambda=0.5``.

    Args:
        event: What happened.
        as_json: The event as one JSON object, with everything.
    """
    if as_json:
        return event.model_dump_json()
    # The state is the first word of a state's message.
    numbers = {name: value for name, value in event.data.items() if name != "state" and value is not None}
    return text_line(event.at, event.level, event.trial_id or event.sweep_id, event.message, numbers)
