"""What a search loses that is guided by noisy validation labels: the (beta, lambda) that it chooses, held against
the one that intact labels choose.

For each noise rate and sweep seed both sweeps are run whole (30 configurations, the best 3 confirmed on 3 fresh
seeds), then the two winners and CCE are trained on all of digits with seeds that neither sweep saw, so that what
differs is the choice alone. The regret is the difference of their final intact accuracies.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from statistics import fmean
from statistics import stdev
from typing import Any

from search import SweepSpec
from search import run_sweep
from search.recommendation import Recommendation
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from trainers.datasets import load_dataset
from trainers.noise import symmetric_noise
from trainers.recipes import training_task
from trainers.supervision import CategoricalCrossEntropy
from trainers.supervision import GradientRescaling
from trainers.supervision import Supervision
from trainers.training import Lane
from trainers.training import train

# Far from every seed that a sweep draws: those are 32 bits of a hash.
_FIRST_SEED = 10**12


def chosen(rate: float, seed: int, objective: str, home: Path) -> Recommendation:
    """What a sweep with this objective recommends."""
    spec = SweepSpec.model_validate({"dataset": "digits", "noise_rate": rate, "objective": objective, "seed": seed})
    recommendation = run_sweep(spec, home=home).recommendation
    assert recommendation is not None
    return recommendation


def final_intact(supervision: Supervision, rate: float, seeds: int) -> list[float]:
    """Final intact accuracies of a configuration on all of digits, one a seed."""
    data = load_dataset("digits")
    reached = []
    for number in range(seeds):
        labels = symmetric_noise(data.y_train, rate, 10, _FIRST_SEED + number)
        lane = Lane("lane", supervision, labels, _FIRST_SEED + number)
        (result,) = train(training_task(data, device="cpu"), [lane])
        assert result.final is not None
        reached.append(result.final.intact_train)
    return reached


def main() -> None:
    """Run and record it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise-rates", type=float, nargs="+", default=[0.2, 0.4, 0.6])
    parser.add_argument("--sweep-seeds", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5, help="fresh seeds for each winner")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--output", type=Path, default=RESULTS / "objective_regret_digits.json")
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for rate in options.noise_rates:
        baseline = final_intact(CategoricalCrossEntropy(), rate, options.seeds)
        for seed in range(options.sweep_seeds):
            row: dict[str, Any] = {"noise_rate": rate, "sweep_seed": seed, "cce": fmean(baseline)}
            reached = {}
            for objective in ("intact", "noisy_validation"):
                found = chosen(rate, seed, objective, options.home)
                point = found.recommended
                assert point.beta is not None
                assert point.lam is not None
                reached[objective] = final_intact(GradientRescaling(point.beta, point.lam), rate, options.seeds)
                row[objective] = {
                    "beta": point.beta,
                    "lambda": point.lam,
                    "objective": found.objective.as_dict(),
                    "intact_accuracy": fmean(reached[objective]),
                }
            differences = [a - b for a, b in zip(reached["intact"], reached["noisy_validation"], strict=True)]
            row["regret"] = {
                "mean": fmean(differences),
                "sem": stdev(differences) / len(differences) ** 0.5,
                "n": len(differences),
            }
            rows.append(row)
            print(row, flush=True)
            write_result(options.output, {**provenance(), "rows": rows})


if __name__ == "__main__":
    main()
