"""How many trials a search needs in each coordinate system: (lambda, kappa) against (beta, lambda).

The objective is a surface that `record_digits_surface` recorded: the mean over its seeds, interpolated
linearly in kappa along each recorded lambda and then linearly in lambda. Beyond a row's last recorded kappa
its last value holds; the rows reach kappa 6 and, where that is larger, beta 40, so that a configuration of
`BoxSpace` meets an edge only between a longer and a shorter row, and one of `KappaSpace` never does.

`ConfigurationSampler` searches it from many sampler seeds, one trial at a time. A search has arrived once the
configuration it would recommend, the one with the highest objective so far, lies within 0.01 of the surface's
best, for good. With --noise the sampler sees one seed's draw in place of the mean (normal, with the spread
between the recorded seeds, interpolated as the surface is); arrival is still judged on the mean. With
--confirm M the recommendation is the best on the mean of the M highest seen: what confirming them with fresh
seeds would find, had it seeds enough.

The best is the surface's own, wherever it lies: a space that does not hold it gains nothing by that.
The two coordinate systems, with and without the starting points from the paper, are interleaved seed by seed.
Random search in both systems is the floor.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from search.sampler import ConfigurationSampler
from search.spec import Sampler
from spaces import BoxSpace
from spaces import Configuration
from spaces import KappaSpace
from spaces import SearchSpace
from spaces import kappa_of
from spaces import starting_points
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from tests.benchmarks.record_digits_surface import surface_path

mpl.use("Agg")
import matplotlib.pyplot as plt

TOLERANCE = 0.01
NUM_CLASSES = 10

Floats = npt.NDArray[np.float64]


class Surface:
    """A recorded objective over (lambda, kappa), and how far one seed strays from its mean."""

    def __init__(self, path: Path) -> None:
        recorded = json.loads(path.read_text())
        self.noise_rate: float = recorded["measured"]["noise_rate"]
        values: dict[tuple[float, float], list[float]] = {}
        for run in recorded["runs"]:
            # A run that diverged is worth nothing, as in a sweep.
            values.setdefault((run["lam"], run["kappa"]), []).append(run["intact_train"] or 0.0)
        self.seeds = min(len(each) for each in values.values())
        self.cells = len(values)
        self.lams = np.array(sorted({lam for lam, _ in values}))
        self._rows: list[tuple[Floats, Floats, Floats]] = []
        for lam in self.lams:
            kappas = sorted(kappa for other, kappa in values if other == lam)
            means = [float(np.mean(values[lam, kappa])) for kappa in kappas]
            spreads = [float(np.std(values[lam, kappa], ddof=1)) if self.seeds > 1 else 0.0 for kappa in kappas]
            self._rows.append((np.array(kappas), np.array(means), np.array(spreads)))
        # Piecewise linear along a row and between rows: the highest point is a recorded one.
        self.best = max(float(means.max()) for _, means, _ in self._rows)
        self.best_at = max(values, key=lambda cell: float(np.mean(values[cell])))

    def value(self, lam: float, kappa: float) -> float:
        """The mean objective at a point."""
        return self._interpolate(lam, kappa, 1)

    def draw(self, lam: float, kappa: float, generator: np.random.Generator) -> float:
        """What one seed would have given at a point."""
        noisy = self.value(lam, kappa) + self._interpolate(lam, kappa, 2) * generator.standard_normal()
        return float(np.clip(noisy, 0.0, 1.0))

    def _interpolate(self, lam: float, kappa: float, column: int) -> float:
        along = [float(np.interp(kappa, row[0], row[column])) for row in self._rows]
        return float(np.interp(lam, self.lams, along))


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to search."""

    name: str
    space: SearchSpace
    sampler: Sampler
    starts: bool


CONTENDERS = (
    Contender("TPE, kappa, starting points", KappaSpace(), "tpe", True),
    Contender("TPE, box, starting points", BoxSpace(), "tpe", True),
    Contender("TPE, kappa", KappaSpace(), "tpe", False),
    Contender("TPE, box", BoxSpace(), "tpe", False),
    Contender("random, kappa", KappaSpace(), "random", False),
    Contender("random, box", BoxSpace(), "random", False),
)


def search(surface: Surface, contender: Contender, trials: int, seed: int, noise: bool, confirm: int) -> list[float]:
    """The mean objective of the configuration that would be recommended after each trial."""
    points: list[Configuration] = []
    if contender.starts:
        points = starting_points(surface.noise_rate, NUM_CLASSES)
    sampler = ConfigurationSampler(contender.space, contender.sampler, seed=seed, concurrency=1, starting_points=points)
    generator = np.random.default_rng([seed, 1])
    recommended: list[float] = []
    seen: list[tuple[float, float]] = []
    for _ in range(trials):
        proposal = sampler.ask()
        beta, lam = (proposal.configuration.as_dict()[name] for name in ("beta", "lam"))
        kappa = kappa_of(beta, lam)
        objective = surface.draw(lam, kappa, generator) if noise else surface.value(lam, kappa)
        sampler.tell(proposal.index, objective)
        seen.append((objective, surface.value(lam, kappa)))
        recommended.append(max(worth for _, worth in sorted(seen)[-confirm:]))
    return recommended


def arrival(recommended: list[float], best: float) -> int | None:
    """The trial, from 1, from which on the recommendation is within the tolerance; None if it never is."""
    near = [worth >= best - TOLERANCE for worth in recommended]
    if not near[-1]:
        return None
    return len(near) - next((back for back, each in enumerate(reversed(near)) if not each), len(near)) + 1


def summary(curves: list[list[float]], best: float, trials: int) -> dict[str, Any]:
    """Quartiles of the number of trials (None: not within the budget), and the share that arrived."""
    arrivals = sorted(arrival(curve, best) or trials + 1 for curve in curves)
    quartiles = np.percentile(arrivals, [25, 50, 75], method="higher")
    final = [curve[-1] for curve in curves]
    return {
        "quartiles": [int(each) if each <= trials else None for each in quartiles],
        "arrived": sum(each <= trials for each in arrivals) / len(arrivals),
        "regret_after": {
            str(count): round(best - float(np.median([curve[count - 1] for curve in curves])), 4)
            for count in (10, 20, 40, trials)
            if count <= trials
        },
        "worst_final": round(min(final), 4),
        "arrivals": arrivals,
    }


def draw_figure(path: Path, title: str, best: float, curves: dict[str, list[list[float]]]) -> None:
    """Best so far against trials: median and quartiles over the sampler seeds."""
    colours = {"kappa": "#0072B2", "box": "#D55E00"}
    panels = ("TPE, starting points", "TPE, none", "random search")
    figure, axes = plt.subplots(1, len(panels), figsize=(11, 3.8), sharey=True, layout="constrained")
    for name, each in curves.items():
        kind = "kappa" if "kappa" in name else "box"
        panel = 2 if name.startswith("random") else 0 if "starting" in name else 1
        shortfall = best - np.array(each)
        low, middle, high = np.percentile(shortfall, [25, 50, 75], axis=0)
        trials = np.arange(1, shortfall.shape[1] + 1)
        label = "(λ, κ)" if kind == "kappa" else "(β, λ)"
        axes[panel].fill_between(trials, low, high, color=colours[kind], alpha=0.2, linewidth=0)
        axes[panel].plot(trials, middle, color=colours[kind], label=label, linewidth=1.8)
    for axis, panel_title in zip(axes, panels, strict=True):
        axis.axhline(TOLERANCE, color="0.4", linewidth=0.9, linestyle="--")
        axis.set_title("TPE, no starting points" if panel_title == "TPE, none" else panel_title, fontsize=10)
        axis.set_xlabel("trials")
        axis.set_yscale("symlog", linthresh=TOLERANCE)
        axis.set_ylim(0, 0.5)
        axis.set_yticks([0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2], ["0", ".005", ".01", ".02", ".05", ".1", ".2"])
        axis.minorticks_off()
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, title="coordinates")
    axes[0].set_ylabel("below the surface's best\n(median and quartiles)")
    figure.suptitle(title, fontsize=11)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def run(noise_rate: float, sampler_seeds: int, trials: int, noise: bool, confirm: int) -> None:
    """Search one surface with every contender; print, write and draw."""
    surface = Surface(surface_path(noise_rate))
    lam, kappa = surface.best_at
    label = "one seed's draw" if noise else "mean of seeds"
    if confirm > 1:
        label += f", then the best of {confirm}"
    print(
        f"\nDigits r = {noise_rate:g}: {surface.cells} cells, {surface.seeds} seeds each; "
        f"best {surface.best:.4f} at lambda {lam:g}, kappa {kappa:g}; the sampler sees: {label}",
        flush=True,
    )
    curves: dict[str, list[list[float]]] = {contender.name: [] for contender in CONTENDERS}
    started = time.monotonic()
    for seed in range(sampler_seeds):
        for contender in CONTENDERS:
            curves[contender.name].append(search(surface, contender, trials, seed, noise, confirm))
        if (seed + 1) % 5 == 0:
            print(f"  {seed + 1}/{sampler_seeds} sampler seeds, {time.monotonic() - started:.0f} s", flush=True)
    summaries = {name: summary(each, surface.best, trials) for name, each in curves.items()}

    print(f"\ntrials to within {TOLERANCE} of the best, {sampler_seeds} sampler seeds, {trials} trials each\n")
    print(f"| search | median | quartiles | arrived within {trials} | below the best after 20 |")
    print("|" + " --- |" * 5)
    for name, each in summaries.items():
        low, middle, high = (f"> {trials}" if value is None else str(value) for value in each["quartiles"])
        share, regret = f"{each['arrived']:.0%}", f"{each['regret_after']['20']:.3f}"
        print(f"| {name} | {middle} | {low} to {high} | {share} | {regret} |")

    stem = f"coordinates_r{round(100 * noise_rate)}" + ("_noise" if noise else "")
    stem += f"_confirm{confirm}" if confirm > 1 else ""
    content = {
        "provenance": provenance(),
        "measured": {
            "what": "trials of ConfigurationSampler to within the tolerance of the surface's best, for good",
            "surface": surface_path(noise_rate).name,
            "tolerance": TOLERANCE,
            "best": surface.best,
            "best_at": {"lam": lam, "kappa": kappa},
            "objective": label,
            "sampler_seeds": sampler_seeds,
            "trials": trials,
        },
        "searches": [{"search": name, **each} for name, each in summaries.items()],
    }
    write_result(RESULTS / f"{stem}.json", content)
    title = f"Search on the recorded digits surface, r = {noise_rate:g} ({sampler_seeds} sampler seeds; {label})"
    draw_figure(RESULTS / f"{stem}.png", title, surface.best, curves)


def main() -> None:
    """Compare the coordinate systems on the surfaces that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--noise-rate", type=float, default=0.4)
    parser.add_argument("--sampler-seeds", type=int, default=30)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--noise", action="store_true", help="the sampler sees one seed's draw, not the mean")
    parser.add_argument("--confirm", type=int, default=1, metavar="M", help="recommend the best of the M highest")
    arguments = parser.parse_args()
    run(arguments.noise_rate, arguments.sampler_seeds, arguments.trials, arguments.noise, arguments.confirm)


if __name__ == "__main__":
    main()
