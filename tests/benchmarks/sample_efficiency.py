"""How many trials a search needs: samplers, coordinate systems, with and without the paper's starting points.

    python -m tests.benchmarks.sample_efficiency
    python -m tests.benchmarks.sample_efficiency --default   # TPE against GP at a sweep's own budget
    python -m tests.benchmarks.sample_efficiency --startup   # how many results TPE should wait for

The objective is a surface that `record_surface` recorded: the mean over its seeds, interpolated
linearly in kappa along each recorded lambda and then linearly in lambda. Beyond a row's last recorded kappa
its last value holds; the rows reach kappa 6 and, where that is larger, beta 40, so that a configuration of
`BoxSpace` meets an edge only between a longer and a shorter row, and one of `KappaSpace` never does.

`ConfigurationSampler`, the product's own, searches it from many sampler seeds, one trial at a time. A search has
arrived once the configuration it would recommend lies within 0.005 of the surface's best, for good. Recommended is:

- objective "mean of seeds": the configuration with the highest objective so far;
- objective "one seed": the sampler sees one seed's draw (normal, with the spread between the recorded seeds,
  interpolated as the surface is), and the best on the mean of the three highest seen is recommended: what confirming
  them with fresh seeds would find, had it seeds enough. This is what a sweep does.

The best is the surface's own, wherever it lies: a space that does not hold it gains nothing by that. All searches are
interleaved seed by seed. Of a random search the starting points are its first trials.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import deque
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt

from search.sampler import STARTUP_RESULTS
from search.sampler import ConfigurationSampler
from search.spec import DEFAULT_TRIALS
from search.spec import Sampler
from spaces import BoxSpace
from spaces import Configuration
from spaces import KappaSpace
from spaces import SearchSpace
from spaces import kappa_of
from spaces import starting_points
from tests.benchmarks.provenance import DOCS
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from tests.benchmarks.record_surface import surface_path

mpl.use("Agg")
import matplotlib.pyplot as plt

TOLERANCE = 0.005
NUM_CLASSES = 10
CONFIRMED = 3
MEAN, ONE_SEED = "mean of seeds", "one seed"

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

    sampler: Sampler
    coordinates: str
    starts: bool

    @property
    def name(self) -> str:
        """As tables and figures say it."""
        names = {"tpe": "TPE", "gp": "GP", "cmaes": "CMA-ES", "random": "random"}
        return f"{names[self.sampler]}, {self.coordinates}" + (", starting points" if self.starts else "")

    @property
    def space(self) -> SearchSpace:
        """What it searches."""
        return KappaSpace() if self.coordinates == "kappa" else BoxSpace()


SAMPLERS: tuple[Sampler, ...] = ("tpe", "gp", "cmaes", "random")
CONTENDERS = [Contender(*each) for each in product(SAMPLERS, ("kappa", "box"), (True, False))]


def search(
    surface: Surface,
    contender: Contender,
    trials: int,
    seed: int,
    objective_kind: str,
    at_once: int = 1,
    startup_results: int = STARTUP_RESULTS,
) -> list[float]:
    """The mean objective of the configuration that would be recommended after each trial, of which some run at once."""
    points: list[Configuration] = []
    if contender.starts:
        points = starting_points(surface.noise_rate, NUM_CLASSES)
    sampler = ConfigurationSampler(
        contender.space, contender.sampler, seed=seed, startup_results=startup_results, starting_points=points
    )
    generator = np.random.default_rng([seed, 1])
    noisy = objective_kind == ONE_SEED
    recommended: list[float] = []
    seen: list[tuple[float, float]] = []
    running = deque(sampler.ask() for _ in range(min(at_once, trials)))
    for told in range(1, trials + 1):
        proposal = running.popleft()
        beta, lam = (proposal.configuration.as_dict()[name] for name in ("beta", "lam"))
        kappa = kappa_of(beta, lam)
        objective = surface.draw(lam, kappa, generator) if noisy else surface.value(lam, kappa)
        sampler.tell(proposal.index, objective)
        if told + len(running) < trials:
            running.append(sampler.ask())
        seen.append((objective, surface.value(lam, kappa)))
        recommended.append(max(worth for _, worth in sorted(seen)[-(CONFIRMED if noisy else 1) :]))
    return recommended


@lru_cache
def _surface(noise_rate: float) -> Surface:
    return Surface(surface_path("digits", noise_rate))


def _searched(noise_rate: float, objective_kind: str, seed: int, trials: int) -> dict[str, list[float]]:
    import torch  # of Optuna's GP

    torch.set_num_threads(1)
    surface = _surface(noise_rate)
    return {each.name: search(surface, each, trials, seed, objective_kind) for each in CONTENDERS}


def _of_default(noise_rate: float, at_once: int, seed: int) -> list[float]:
    import torch

    torch.set_num_threads(1)
    surface = _surface(noise_rate)
    two = (Contender(sampler, "kappa", True) for sampler in ("tpe", "gp"))
    return [search(surface, each, DEFAULT_TRIALS, seed, ONE_SEED, at_once)[-1] for each in two]


def compare_default(rates: list[float], seeds: int) -> None:
    """TPE and GP as a sweep uses them by default, on the same draws: how far below the best, and the difference."""
    jobs = list(product(rates, (1, 2, 4, 8, 16), range(seeds)))
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        worths = np.array(list(pool.map(_of_default, *zip(*jobs, strict=True))))
    rows = []
    for rate, at_once in dict.fromkeys((rate, at_once) for rate, at_once, _ in jobs):
        mine = np.array([(each[0], each[1]) == (rate, at_once) for each in jobs])
        tpe, gp = _surface(rate).best - worths[mine].T
        row = {
            "noise_rate": rate,
            "at_once": at_once,
            "tpe_below_best": round(float(tpe.mean()), 4),
            "gp_below_best": round(float(gp.mean()), 4),
            "gp_gains": round(float((tpe - gp).mean()), 4),
            "standard_error": round(float((tpe - gp).std(ddof=1) / np.sqrt(seeds)), 4),
        }
        rows.append(row)
        print(row, flush=True)
    measured = {"trials": DEFAULT_TRIALS, "sampler_seeds": seeds, "objective": ONE_SEED, "confirmed": CONFIRMED}
    content = {"provenance": provenance(), "measured": measured, "rows": rows}
    write_result(RESULTS / "sample_efficiency_default.json", content)


def _after_startup(noise_rate: float, at_once: int, startup_results: int, seed: int) -> float:
    surface = _surface(noise_rate)
    contender = Contender("tpe", "kappa", True)
    worths = search(surface, contender, DEFAULT_TRIALS, seed, ONE_SEED, at_once, startup_results)
    return surface.best - worths[-1]


def compare_startup(rates: list[float], seeds: int) -> None:
    """How far below the best TPE ends where it waits for few results, and for twice as many as run at once."""
    cases = [(at_once, results) for at_once in (4, 8, 16) for results in sorted({5, 10, at_once, 2 * at_once})]
    jobs = [(rate, *case, seed) for rate, case, seed in product(rates, cases, range(seeds))]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=get_context("spawn")) as pool:
        found = np.array(list(pool.map(_after_startup, *zip(*jobs, strict=True), chunksize=25)))
    found = found.reshape(len(rates), len(cases), seeds)
    rows = []
    over_rates = dict(zip(cases, found.mean(axis=0), strict=True))
    for (at_once, results), here in zip(cases, found.swapaxes(0, 1), strict=True):
        # The same sampler seeds, so that they are compared one by one.
        loses = over_rates[at_once, results] - over_rates[at_once, STARTUP_RESULTS]
        row = {
            "at_once": at_once,
            "startup_results": results,
            "below_best": {f"{rate:g}": round(float(each.mean()), 4) for rate, each in zip(rates, here, strict=True)},
            "mean": round(float(over_rates[at_once, results].mean()), 4),
            "loses": round(float(loses.mean()), 4),
            "standard_error": round(float(loses.std(ddof=1) / np.sqrt(seeds)), 4),
        }
        rows.append(row)
        print(row, flush=True)
    measured = {"trials": DEFAULT_TRIALS, "sampler_seeds": seeds, "objective": ONE_SEED, "confirmed": CONFIRMED}
    content = {"provenance": provenance(), "measured": measured, "rows": rows}
    write_result(RESULTS / "sample_efficiency_startup.json", content)


def arrival(recommended: list[float], best: float) -> int | None:
    """The trial, from 1, from which on the recommendation is within the tolerance; None if it never is."""
    near = [worth >= best - TOLERANCE for worth in recommended]
    if not near[-1]:
        return None
    return len(near) - next((back for back, each in enumerate(reversed(near)) if not each), len(near)) + 1


def summary(curves: list[list[float]], best: float, trials: int) -> dict[str, Any]:
    """Quartiles of the number of trials (None: not within the budget), the share that arrived, and the curve."""
    arrivals = sorted(arrival(curve, best) or trials + 1 for curve in curves)
    quartiles = np.percentile(arrivals, [25, 50, 75], method="higher")
    below = best - np.array(curves)
    return {
        "quartiles": [int(each) if each <= trials else None for each in quartiles],
        "arrived": sum(each <= trials for each in arrivals) / len(arrivals),
        "below_best_after_30": round(float(below[:, min(trials, 30) - 1].mean()), 4),
        "below_best_median": [round(float(each), 4) for each in np.median(below, axis=0)],
    }


def draw_figure(path: Path, rows: list[dict[str, Any]]) -> None:
    """How far below the best a sweep's recommendation is, against trials: medians over the sampler seeds."""
    rates = sorted({row["noise_rate"] for row in rows})
    colours = {"TPE": "#0072B2", "GP": "#D55E00", "CMA-ES": "#009E73", "random": "0.45"}
    panels = [("kappa", True), ("kappa", False), ("box", True), ("box", False)]
    figure, axes = plt.subplots(
        len(rates), len(panels), figsize=(13, 2.9 * len(rates)), sharex=True, sharey=True, layout="constrained"
    )
    for line, rate in zip(np.atleast_2d(axes), rates, strict=True):
        for axis, (coordinates, starts) in zip(line, panels, strict=True):
            for row in rows:
                chosen = (row["coordinates"], row["starting_points"], row["noise_rate"], row["objective"])
                if chosen == (coordinates, starts, rate, ONE_SEED):
                    name = row["search"].split(",")[0]
                    below = row["below_best_median"]
                    axis.plot(range(1, len(below) + 1), below, color=colours[name], label=name, linewidth=1.7)
            axis.axhline(TOLERANCE, color="0.4", linewidth=0.9, linestyle="--")
            axis.set_yscale("symlog", linthresh=TOLERANCE)
            axis.set_ylim(0, 0.3)
            axis.set_yticks([0, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2], ["0", ".005", ".01", ".02", ".05", ".1", ".2"])
            axis.minorticks_off()
            axis.spines[["top", "right"]].set_visible(False)
            label = "(λ, κ)" if coordinates == "kappa" else "(β, λ)"
            axis.set_title(f"r = {rate:g}, {label}" + (", starting points" if starts else ""), fontsize=10)
        line[0].set_ylabel("below the surface's best")
    for axis in np.atleast_2d(axes)[-1]:
        axis.set_xlabel("trials")
    np.atleast_2d(axes)[0, 0].legend(frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Search every surface in every way; print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--noise-rate", type=float, action="append", help="default 0.2, 0.4 and 0.6; repeatable")
    parser.add_argument("--sampler-seeds", type=int, help="default 20, with --startup 400")
    parser.add_argument("--trials", type=int, default=50)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--default", action="store_true", help="compare TPE and GP alone, several trials at once too")
    which.add_argument("--startup", action="store_true", help="compare how many results TPE waits for")
    arguments = parser.parse_args()
    rates, trials = arguments.noise_rate or [0.2, 0.4, 0.6], arguments.trials
    seeds = arguments.sampler_seeds or (400 if arguments.startup else 20)
    if arguments.default or arguments.startup:
        (compare_startup if arguments.startup else compare_default)(rates, seeds)
        return
    cases = list(product(rates, (MEAN, ONE_SEED)))
    curves: dict[tuple[float, str, str], list[list[float]]] = {}
    started = time.monotonic()
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [(rate, kind, seed, trials) for seed in range(seeds) for rate, kind in cases]
        for number, (job, found) in enumerate(zip(jobs, pool.map(_searched, *zip(*jobs, strict=True)), strict=True), 1):
            for name, curve in found.items():
                curves.setdefault((job[0], job[1], name), []).append(curve)
            if number % 12 == 0 or number == len(jobs):
                print(f"{number}/{len(jobs)} searched, {time.monotonic() - started:.0f} s", flush=True)
    rows = [
        {
            "noise_rate": rate,
            "objective": kind,
            "search": each.name,
            "coordinates": each.coordinates,
            "starting_points": each.starts,
            **summary(curves[rate, kind, each.name], _surface(rate).best, trials),
        }
        for (rate, kind), each in product(cases, CONTENDERS)
    ]
    print(f"\ntrials to within {TOLERANCE} of the best; {seeds} sampler seeds, {trials} trials\n")
    print(f"| r | objective | search | median | quartiles | arrived within {trials} | below the best after 30 |")
    print("|" + " --- |" * 7)
    for row in rows:
        low, middle, high = (f"> {trials}" if value is None else str(value) for value in row["quartiles"])
        print(
            f"| {row['noise_rate']:g} | {row['objective']} | {row['search']} | {middle} | {low} to {high} "
            f"| {row['arrived']:.0%} | {row['below_best_after_30']:.3f} |"
        )
    surfaces = [_surface(rate) for rate in rates]
    content = {
        "provenance": provenance(),
        "measured": {
            "what": "trials of ConfigurationSampler to within the tolerance of the surface's best, for good",
            "tolerance": TOLERANCE,
            "surfaces": [
                {
                    "noise_rate": each.noise_rate,
                    "cells": each.cells,
                    "seeds": each.seeds,
                    "best": round(each.best, 4),
                    "best_at": {"lam": each.best_at[0], "kappa": each.best_at[1]},
                }
                for each in surfaces
            ],
            "sampler_seeds": seeds,
            "trials": trials,
            "confirmed_of_one_seed": CONFIRMED,
        },
        "searches": rows,
    }
    write_result(RESULTS / "sample_efficiency_digits.json", content)
    draw_figure(DOCS / "sample_efficiency.png", rows)


if __name__ == "__main__":
    main()
