"""The tables of README that come from result files: written by this, never by hand.

    python -m tests.benchmarks.tables            # rewrites them in README.md
    python -m tests.benchmarks.tables --check    # says what is out of date, and fails if anything is

In README a table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``, two comments that nobody sees.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.tables import accuracy
from tests.benchmarks.tables import gpu
from tests.benchmarks.tables import searching
from tests.benchmarks.tables import speed

README = Path(__file__).parents[3] / "README.md"

_BLOCK = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

TABLES: dict[str, Callable[[], str]] = {
    "noise-estimate": accuracy.noise_estimate,
    "supervisions": accuracy.supervisions,
    "normalise": accuracy.normalise,
    "sample-efficiency": searching.sample_efficiency,
    "default-sampler": searching.default_sampler,
    "startup-results": searching.startup_results,
    "sweep-size": searching.sweep_size,
    "early-stopping": searching.early_stopping,
    "digits-defaults": accuracy.digits_defaults,
    "sweep-cost": speed.sweep_cost,
    "startup": speed.startup,
    "training-throughput": speed.training_throughput,
    "roofline": speed.roofline,
    "cpu-settings": speed.cpu_settings,
    "gpu-step": gpu.gpu_step,
    "gpu-forms": gpu.gpu_forms,
    "gpu-shapes": gpu.gpu_shapes,
    "gpu-norms": gpu.gpu_norms,
    "gpu-accuracy": gpu.gpu_accuracy,
    "objective-regret": accuracy.objective_regret,
    "cifar10-short": accuracy.cifar10_short,
    "service-load": speed.service_load,
}


def rewritten(text: str) -> str:
    """A text with its tables as the result files have them.

    Raises:
        KeyError: It names a table that there is not.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found['name']]()}{found[3]}", text)
