"""A submission that names several noise rates: one sweep each, and none if anything is wrong with one."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from search.service.interface import Service
from search.service.views import SweepDetail
from trainers.errors import FieldError
from trainers.errors import InvalidInput


def submit_each(
    service: Service, fields: Mapping[str, Any], *, priority: int = 0, request_key: str | None = None
) -> Iterator[SweepDetail]:
    """Submit a sweep for each noise rate that is named, in their order; each is told once it is queued.

    Args:
        service: Where.
        fields: Of `search.spec.SweepSpec`; ``noise_rate`` may be a list.
        priority: Higher is run first.
        request_key: As for `Service.submit`; of several sweeps each gets one of its own, made from it.

    Raises:
        InvalidInput: Everything that is wrong with any of them; nothing was queued.
    """
    rates = fields.get("noise_rate")
    if not isinstance(rates, list | tuple) or len(rates) < 2:
        # What is wrong with none, the service says.
        yield service.submit(fields, priority=priority, request_key=request_key)
        return
    errors: dict[str, FieldError] = {}

    def asked(rate: Any) -> dict[str, Any]:
        key = None if request_key is None else f"{request_key} {rate}"
        return {"fields": {**fields, "noise_rate": rate}, "priority": priority, "request_key": key}

    for index, rate in enumerate(rates):
        for error in _errors(service, asked(rate), f"noise_rate[{index}]"):
            errors.setdefault(str(error), error)
        if rate in rates[:index]:
            twice = FieldError(f"noise_rate[{index}]", rate, "is given twice", "Give each noise rate once.")
            errors.setdefault(str(twice), twice)
    if errors:
        raise InvalidInput(*errors.values())
    for rate in rates:
        yield service.submit(**asked(rate))


def _errors(service: Service, asked: Mapping[str, Any], rate_field: str) -> list[FieldError]:
    try:
        service.check(**asked)
    except InvalidInput as error:
        return [
            FieldError(rate_field, each.value, each.problem, each.remedy) if each.field == "noise_rate" else each
            for each in error.errors
        ]
    return []
