"""Sweeps: submit, schedule, record, recommend.

Example:
    >>> from search import SweepSpec, run_sweep, recommend
    >>> outcome = run_sweep(SweepSpec(dataset="digits", noise_rate=0.4))
    >>> recommend("digits", 0.4).recommended
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from search.newest_recommendations import recommend
    from search.orchestrator import resume_sweep
    from search.orchestrator import run_sweep
    from search.recommendation import Recommendation
    from search.service.client import Client
    from search.spec import SweepSpec
    from search.spec_reading import parse_specs
    from search.sweep_session import SweepOutcome

__all__ = [
    "Client",
    "Recommendation",
    "SweepOutcome",
    "SweepSpec",
    "parse_specs",
    "recommend",
    "resume_sweep",
    "run_sweep",
]

_WHERE = {
    "Client": "search.service.client",
    "Recommendation": "search.recommendation",
    "SweepOutcome": "search.sweep_session",
    "SweepSpec": "search.spec",
    "parse_specs": "search.spec_reading",
    "recommend": "search.newest_recommendations",
    "resume_sweep": "search.orchestrator",
    "run_sweep": "search.orchestrator",
}


def __getattr__(name: str) -> object:
    # torch, Ray and SQLAlchemy take seconds to import; `emphasis --help` needs none of them.
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
