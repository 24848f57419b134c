"""Server-sent events, as `text/event-stream` carries them (WHATWG HTML, 9.2)."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Iterator
from dataclasses import dataclass

MEDIA_TYPE = "text/event-stream"


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event.

    Args:
        name: Its type; ``message`` where none was given.
        data: Its lines, joined.
        id: Its id, by which a connection goes on; empty where none was given yet.
    """

    name: str
    data: str
    id: str


def server_sent_events(lines: Iterable[str]) -> Iterator[ServerSentEvent]:
    """Read events from lines without their ends; one that was cut off is dropped, as the standard has it."""
    name, data, id = "", list[str](), ""
    for line in lines:
        if not line:
            if data:
                yield ServerSentEvent(name or "message", "\n".join(data), id)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match field:
            case "event":
                name = value
            case "data":
                data.append(value)
            case "id":
                id = value
