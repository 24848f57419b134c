"""What stopping trials early saves, and what it costs: rules replayed on recorded learning curves.

    python -m tests.benchmarks.early_stopping

A replay is a sweep without its training. The product's own sampler proposes configurations; each becomes the
nearest recorded cell of `record_surface`, whose curve, trained with one of the recorded seeds, is shown to the
product's own `EarlyStopping` where a sweep evaluates by default (ten times a training), two trials at a time. The best
three of those that were trained to the end are confirmed on three other recorded seeds (two, where three were
recorded), as in a sweep, and the best mean is recommended.

Two numbers a rule: the cost saved, 1 - epochs trained in the search / epochs of the whole search, and the regret,
how much lower the recommended cell's mean final intact accuracy over all recorded seeds is than that of the same
sweep without the rule, with the same sampler seed and the same recorded seed. The Wilcoxon rule needs several seeds a
configuration, so its sweeps, with and without it, train each on all five recorded seeds and confirm nothing; so do
those of the product's other rules that are told to have five seeds.

Also drawn is why early accuracy misleads here: the cell in which every example weighs alike, which memorises as CCE
does, against the best cell epoch by epoch, and how an epoch's ranking agrees with the last one's.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
import optuna
from optuna.pruners import BasePruner
from optuna.pruners import HyperbandPruner
from optuna.pruners import MedianPruner
from optuna.pruners import SuccessiveHalvingPruner
from optuna.pruners import WilcoxonPruner
from scipy import stats

from search.early_stopping import EarlyStopping
from search.early_stopping import EarlyStoppingRule
from search.sampler import ConfigurationSampler
from search.spec import Sampler
from spaces import KappaSpace
from spaces import kappa_of
from spaces import starting_points
from tests.benchmarks.provenance import DOCS
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from tests.benchmarks.record_surface import surface_path
from trainers.recipes import EVALUATIONS

mpl.use("Agg")
import matplotlib.pyplot as plt

NUM_CLASSES, CONFIGURATIONS, CONCURRENCY, TOP, CONFIRMED = 10, 30, 2, 3, 3
MOST_SEEDS = 5
TARGET = 0.005
SURFACES = (("digits", 0.2), ("digits", 0.4), ("digits", 0.6), ("cifar10", 0.4), ("cifar10-resnet20", 0.4))

Floats = npt.NDArray[np.float64]
Pruner = Callable[[], BasePruner]


class Curves:
    """Recorded intact accuracy by cell, seed and epoch."""

    def __init__(self, path: Path) -> None:
        recorded = json.loads(path.read_text())
        self.dataset: str = recorded["measured"]["dataset"]
        self.noise_rate: float = recorded["measured"]["noise_rate"]
        self.epochs: int = recorded["measured"]["recipe"]["epochs"]
        by_cell: dict[tuple[float, float], dict[int, list[float]]] = {}
        for run in recorded["runs"]:
            # A run that diverged is worth nothing from there on.
            curve = [*run["intact_curve"], *[0.0] * (self.epochs - len(run["intact_curve"]))]
            by_cell.setdefault((run["lam"], run["kappa"]), {})[run["seed"]] = curve
        self.cells = np.array(list(by_cell))
        self.seeds = min(len(each) for each in by_cell.values())
        # (cells, seeds, epochs)
        self.accuracy = np.array([[each[seed] for seed in range(self.seeds)] for each in by_cell.values()])
        self.worth: Floats = self.accuracy[:, :, -1].mean(axis=1)

    def nearest(self, beta: float, lam: float) -> int:
        """The recorded cell nearest to a configuration, each coordinate measured by its range."""
        point = np.array([lam, kappa_of(beta, lam)])
        return int(np.argmin((np.abs(self.cells - point) / np.array([3.0, 6.0])).sum(axis=1)))


@dataclass(frozen=True, slots=True)
class Contender:
    """One rule, as it is replayed."""

    name: str
    rule: EarlyStoppingRule
    pruner: Pruner | None = None


def contenders(epochs: int) -> list[Contender]:
    """The product's rules, and what they would be with other settings."""
    share = {name: max(1, round(epochs * part)) for name, part in (("1/8", 1 / 8), ("1/4", 1 / 4), ("1/2", 1 / 2))}
    found = [Contender("none", "none")]
    for name, grace in share.items():
        found.append(Contender(f"median, grace {name}", "median", lambda grace=grace: MedianPruner(5, grace)))
    for factor in (2, 3):
        for name, grace in share.items():
            found.append(
                Contender(
                    f"ASHA, grace {name}, 1 of {factor}",
                    "asha",
                    lambda grace=grace, factor=factor: SuccessiveHalvingPruner(grace, factor),
                )
            )
    for factor in (2, 3):
        least = max(1, round(epochs / factor**2))
        found.append(
            Contender(
                f"Hyperband, from 1/{factor**2}, 1 of {factor}",
                "hyperband",
                lambda least=least, factor=factor: HyperbandPruner(least, epochs, factor),
            )
        )
    return found


SEVERAL_SEEDS = (
    Contender("none, 5 seeds", "none"),
    Contender("Wilcoxon, p < 0.1, 5 seeds", "wilcoxon", lambda: WilcoxonPruner(p_threshold=0.1)),
    Contender("Wilcoxon, p < 0.2, 5 seeds", "wilcoxon", lambda: WilcoxonPruner(p_threshold=0.2)),
    Contender("median, 5 seeds", "median"),
    Contender("ASHA, 5 seeds", "asha"),
    Contender("Hyperband, 5 seeds", "hyperband"),
)


@dataclass(slots=True)
class _Running:
    index: int
    cell: int
    repeat: int = 0
    epoch: int = 0


def replay(curves: Curves, contender: Contender, sampler_name: Sampler, seed: int) -> tuple[float, float, float]:
    """One sweep: (epochs trained / epochs of the whole search, worth of its recommendation, share given up)."""
    generator = np.random.default_rng([seed, 7])
    seeds = generator.permutation(curves.seeds)
    repeats = MOST_SEEDS if "5 seeds" in contender.name else 1
    searched = seeds[:repeats]
    fresh = seeds[1 : 1 + CONFIRMED]
    points = starting_points(curves.noise_rate, NUM_CLASSES) if sampler_name == "tpe" else []
    sampler = ConfigurationSampler(KappaSpace(), sampler_name, seed=seed, starting_points=points)
    stopping = EarlyStopping(contender.rule, curves.epochs, repeats, contender.pruner)
    evaluate_every = -(-curves.epochs // EVALUATIONS)
    slots: list[_Running] = []
    asked = trained = given_up = 0
    finals: dict[int, float] = {}
    while asked < CONFIGURATIONS or slots:
        while len(slots) < CONCURRENCY and asked < CONFIGURATIONS:
            proposal = sampler.ask()
            beta, lam = (proposal.configuration.as_dict()[name] for name in ("beta", "lam"))
            slots.append(_Running(proposal.index, curves.nearest(beta, lam)))
            asked += 1
        for each in list(slots):
            curve = curves.accuracy[each.cell, searched[each.repeat]]
            each.epoch += 1
            trained += 1
            if each.epoch % evaluate_every == 0 or each.epoch == curves.epochs:
                stopping.see_epoch(each.index, each.repeat, each.epoch, float(curve[each.epoch - 1]))
            if each.epoch == curves.epochs and stopping.reason(each.index, each.repeat) is None:
                stopping.see_end(each.index, each.repeat, float(curve[-1]))
                each.repeat, each.epoch = each.repeat + 1, 0
            if stopping.reason(each.index, each.repeat) is not None:
                sampler.tell(each.index, None, pruned=True)
                given_up += 1
                slots.remove(each)
            elif each.repeat == repeats:
                objective = float(curves.accuracy[each.cell, searched, -1].mean())
                sampler.tell(each.index, objective)
                finals[each.cell] = objective
                slots.remove(each)
    best = sorted(finals, key=lambda cell: -finals[cell])
    if repeats > 1:
        recommended = best[0]
    else:
        recommended = max(best[:TOP], key=lambda cell: float(curves.accuracy[cell, fresh, -1].mean()))
    whole = CONFIGURATIONS * curves.epochs * repeats
    return trained / whole, float(curves.worth[recommended]), given_up / CONFIGURATIONS


def compare(curves: Curves, sampler: Sampler, sweeps: int) -> list[dict[str, Any]]:
    """Every rule on the same sweeps; regret is paired with the sweep without a rule."""
    rows = []
    # A surface of fewer seeds has too few pairs for Wilcoxon.
    groups = [contenders(curves.epochs), *([SEVERAL_SEEDS] if curves.seeds >= MOST_SEEDS else [])]
    for group in groups:
        results = {each.name: [] for each in group}  # type: dict[str, list[tuple[float, float, float]]]
        for seed in range(sweeps):
            for each in group:
                results[each.name].append(replay(curves, each, sampler, seed))
        reference = np.array(results[group[0].name])[:, 1]
        for each in group:
            cost, worth, given_up = np.array(results[each.name]).T
            regret = reference - worth
            rows.append(
                {
                    "dataset": curves.dataset,
                    "noise_rate": curves.noise_rate,
                    "sampler": sampler,
                    "rule": each.name,
                    "cost_saved": round(1 - float(cost.mean()), 3),
                    "given_up": round(float(given_up.mean()), 3),
                    "regret_mean": round(float(regret.mean()), 4),
                    "regret_standard_error": round(float(regret.std(ddof=1) / np.sqrt(sweeps)), 4),
                    "regret_worst": round(float(regret.max()), 4),
                    "below_best": round(float(curves.worth.max() - worth.mean()), 4),
                }
            )
    return rows


def early_bias(curves: Curves) -> dict[str, Any]:
    """What the accuracy of each epoch says about the last, means over seeds."""
    mean = curves.accuracy.mean(axis=1)
    leaders = mean.argmax(axis=0)
    order = np.argsort(-mean, axis=0)[: max(1, len(mean) // 10)]
    return {
        "dataset": curves.dataset,
        "noise_rate": curves.noise_rate,
        "spearman_with_final": [
            round(float(stats.spearmanr(mean[:, epoch], mean[:, -1])[0]), 3) for epoch in range(curves.epochs)
        ],
        "leader_kappa": [float(curves.cells[cell, 1]) for cell in leaders],
        "leader_lam": [float(curves.cells[cell, 0]) for cell in leaders],
        "leader_comes_to": [round(float(mean[cell, -1]), 4) for cell in leaders],
        "best_tenth_mean_kappa": [round(float(curves.cells[order[:, e], 1].mean()), 3) for e in range(curves.epochs)],
        "uniform": [round(float(each), 4) for each in mean[_uniform(curves)]],
        "final_best": [round(float(each), 4) for each in mean[leaders[-1]]],
    }


def _uniform(curves: Curves) -> int:
    """The cell in which every example weighs alike: it memorises, as CCE does."""
    return int(np.argmin(np.abs(curves.cells).sum(axis=1)))


def draw(path: Path, bias: list[dict[str, Any]], rows: list[dict[str, Any]]) -> None:
    """The bias of early accuracy, and cost saved against regret."""
    figure, axes = plt.subplots(1, 3, figsize=(13.5, 4.2), layout="constrained")
    colours = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00")
    for colour, each in zip(colours, bias, strict=False):
        epochs = np.arange(1, len(each["uniform"]) + 1)
        rate = f"{each['dataset']}, r = {each['noise_rate']:g}"
        axes[0].plot(epochs, each["uniform"], color=colour, linestyle="--")
        axes[0].plot(epochs, each["final_best"], color=colour, label=rate)
        axes[1].plot(epochs, each["spearman_with_final"], color=colour, label=rate)
    axes[0].set_title("dashed: all examples weigh alike; solid: the final best", fontsize=10)
    axes[0].set_ylabel("intact accuracy, eval mode, mean of seeds")
    axes[1].set_title("rank correlation of an epoch's accuracy with the final", fontsize=10)
    axes[1].axhline(0, color="0.5", linewidth=0.8)
    axes[1].set_ylabel("Spearman's ρ over all cells")
    for axis in axes[:2]:
        axis.set_xlabel("epoch")
        axis.legend(frameon=False, fontsize=9)
    styles = {
        "median": ("o", "#0072B2"),
        "ASHA": ("s", "#D55E00"),
        "Hyperband": ("^", "#009E73"),
        "Wilcoxon": ("D", "#CC79A7"),
    }
    for family, (marker, colour) in styles.items():
        names = list(dict.fromkeys(row["rule"] for row in rows if row["rule"].startswith(family)))
        for number, name in enumerate(names):
            chosen = [row for row in rows if row["rule"] == name]
            saved = float(np.mean([row["cost_saved"] for row in chosen]))
            regret = 100 * float(np.mean([row["regret_mean"] for row in chosen]))
            axes[2].scatter(saved, regret, marker=marker, color=colour, label=family if number == 0 else None, zorder=3)
    axes[2].axhline(100 * TARGET, color="0.4", linestyle="--", linewidth=0.9)
    axes[2].set_title("rules, mean over surfaces and samplers", fontsize=10)
    axes[2].set_xlabel("share of the search's epochs saved")
    axes[2].set_ylabel("regret, points of intact accuracy")
    axes[2].legend(frameon=False)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Replay every rule on the recorded curves; print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=40, help="replayed sweeps of each rule, surface and sampler")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rows: list[dict[str, Any]] = []
    bias = []
    started = time.monotonic()
    recorded = {}
    for dataset, rate in SURFACES:
        curves = Curves(surface_path(dataset, rate))
        recorded[f"{dataset}, r = {rate:g}"] = {"cells": len(curves.cells), "seeds": curves.seeds}
        bias.append(early_bias(curves))
        samplers: tuple[Sampler, ...] = ("tpe", "random")
        for sampler in samplers:
            rows += compare(curves, sampler, arguments.sweeps)
            print(f"{dataset}, r = {rate:g}, {sampler}: {time.monotonic() - started:.0f} s", flush=True)
    print("\n| dataset | r | sampler | rule | cost saved | given up | regret, points | worst |")
    print("|" + " --- |" * 8)
    for row in rows:
        regret = f"{100 * row['regret_mean']:+.2f} ± {100 * row['regret_standard_error']:.2f}"
        print(
            f"| {row['dataset']} | {row['noise_rate']:g} | {row['sampler']} | {row['rule']} | {row['cost_saved']:.0%} "
            f"| {row['given_up']:.0%} | {regret} | {100 * row['regret_worst']:.1f} |"
        )
    write_result(
        RESULTS / "early_stopping.json",
        {
            "provenance": provenance(),
            "measured": {
                "what": "regret of the recommended cell in final intact accuracy, against the same sweep without rule",
                "configurations": CONFIGURATIONS,
                "concurrency": CONCURRENCY,
                "sweeps": arguments.sweeps,
                "surfaces": recorded,
            },
            "rules": rows,
            "early_accuracy": bias,
        },
    )
    draw(DOCS / "early_stopping.png", bias, rows)


if __name__ == "__main__":
    main()
