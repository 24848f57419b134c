"""From a checked spec to a sweep on record, and back: what `emphasis run`, the queue, the API and Python begin with."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC
from datetime import datetime
from typing import Any

from search.resolve import resolved
from search.settled_rate import SettledRate
from search.settled_rate import settle_noise_rate
from search.spec import UNKNOWN
from search.spec import SweepSpec
from search.spec_reading import parse_specs
from search.store import Store
from search.store import SweepRecord
from search.task import PreparedTask
from search.task import file_hashes
from search.versions import versions


def record_sweep(
    store: Store,
    spec: SweepSpec,
    prepared: PreparedTask,
    rate: SettledRate | None = None,
    *,
    id: str | None = None,
    attended: bool = False,
    priority: int = 0,
    submitter: str = "local",
    request_key: str | None = None,
    request: Mapping[str, Any] | None = None,
) -> SweepRecord:
    """Record a sweep as queued, with every default of its spec written out.

    Args:
        store: Where.
        spec: A spec that passed `search.preflight.check`.
        prepared: Its data and network, as its `TaskSettings` load them.
        rate: What its noise rate comes to. Without it, what the data tells at once; a rate that must be estimated is
            left to who runs the sweep, since that trains networks.
        id: As `new_id` gives it; None for a new one.
        attended: Whether this process runs it, so that workers leave it alone.
        priority: Higher is run first.
        submitter: Name of the token it comes with.
        request_key: As for `Store.create_sweep`, as is ``request``.
        request: What was asked for under it.
    """
    if rate is None and spec.noise_rate != UNKNOWN:
        rate = settle_noise_rate(spec, prepared)
    task = prepared.task
    return store.create_sweep(
        id=id or new_id(task.dataset.name, rate),
        spec=resolved(spec, prepared, rate.value if rate else UNKNOWN).to_json_dict(),
        dataset=task.dataset.name,
        noise_rate=rate.value if rate else math.nan,
        backbone=task.backbone,
        supervision=spec.supervision,
        data_hash=task.dataset.fingerprint,
        versions=versions(),
        facts={**prepared.facts(), **(rate.facts if rate else {}), "files": file_hashes(spec)},
        attended=attended,
        priority=priority,
        submitter=submitter,
        request_key=request_key,
        request=request,
    )


def settle_sweep(
    store: Store, sweep: SweepRecord, spec: SweepSpec, prepared: PreparedTask, rate: SettledRate
) -> SweepSpec:
    """Record what the unknown noise rate of a queued sweep was found to come to; the spec that says so."""
    settled = resolved(spec, prepared, rate.value)
    store.settle(sweep.id, spec=settled.to_json_dict(), noise_rate=rate.value, facts=rate.facts)
    return settled


def spec_of(sweep: SweepRecord, **given: Any) -> SweepSpec:
    """A recorded sweep's spec, with other values of some fields where given."""
    fields = {**sweep.spec, **given}
    with suppress(ValueError):  # of another version: what is wrong with it is said below
        space = SweepSpec.recorded(fields).searched_space
        if space.grid() is None and space.size is not None and fields.get("trials"):
            # An early release went through ranges of whole numbers more than once.
            fields["trials"] = min(fields["trials"], space.size)
    (spec,) = parse_specs(fields)
    return spec


def new_id(dataset: str, rate: SettledRate | None) -> str:
    """An id for a sweep that no other has: its dataset and noise rate, the moment, and chance."""
    moment = datetime.now(UTC).strftime("%y%m%d-%H%M%S")
    name = "".join(letter if letter.isalnum() else "-" for letter in dataset).strip("-").lower()
    noise = f"r{round(rate.value * 100):02d}" if rate else "runknown"
    return f"{name}-{noise}-{moment}-{secrets.token_hex(3)}"
