"""How large a sweep has to be: what its recommendation is worth with more or fewer trials, candidates and fresh seeds.

    python -m tests.benchmarks.sweep_size

Nothing is replayed: each sweep trains digits as `emphasis run` does, by the product's own sampler, early stopping,
recipe and seeds, two trials at a time, only without Ray and for 50 trials. Whatever is among the eight highest after
30, 40 or 50 of them is then trained on twelve fresh seeds, those that its sweep would confirm it with and more.
So every smaller sweep is part of the recorded one: `trials` of it, of which the `top` highest are confirmed on
`seeds` of the twelve, the best mean wins, and what it is worth is its mean over those that did not choose it, 400
random choices of the seeds. The objective and the worth are final intact accuracy, in eval mode. A sweep of 20 trials
stops none of them early by default, so it is recorded by itself, with the three highest.

The cost is in whole trainings: the search less what was stopped early, the confirming ones, and CCE on as many seeds.
Differences are paired sweep by sweep with the default's size. An interrupted recording goes on where it was.

What the candidates reached on fresh seeds also says how true the recorded surfaces are that `sample_efficiency` and
`early_stopping` replay: both are compared at the candidates' (lambda, kappa).
"""

from __future__ import annotations

import argparse
import json
import os
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from search.early_stopping import EarlyStopping
from search.early_stopping import EarlyStoppingRule
from search.plan import trial_seeds
from search.sampler import ConfigurationSampler
from search.spec import DEFAULT_TRIALS
from search.spec import Confirm
from search.spec import SweepSpec
from search.store import Phase
from spaces import KappaSpace
from spaces import kappa_of
from spaces import starting_points
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result
from tests.benchmarks.record_surface import surface_path
from tests.benchmarks.sample_efficiency import Surface
from trainers.datasets import Dataset
from trainers.datasets import load_dataset
from trainers.noise import make_noise_model
from trainers.recipes import training_task
from trainers.supervision import make_supervision
from trainers.training import Lane
from trainers.training import LaneResult
from trainers.training import train

SIZES: dict[EarlyStoppingRule, tuple[int, ...]] = {"asha": (30, 40, 50), "none": (20,)}
CANDIDATES: dict[EarlyStoppingRule, int] = {"asha": 8, "none": 3}
FRESH, CONCURRENCY, CHOICES = 12, 2, 400
DEFAULT = (DEFAULT_TRIALS, Confirm().top, Confirm().seeds)
# (trials, candidates, fresh seeds of each); no fresh seed recommends the highest of the search.
CASES = (
    (30, 1, 0),
    (20, 3, 3),
    (30, 2, 3),
    (30, 3, 1),
    (30, 3, 2),
    (30, 3, 3),
    (30, 3, 5),
    (30, 5, 1),
    (30, 5, 2),
    (30, 5, 3),
    (30, 5, 5),
    (40, 3, 3),
    (50, 3, 3),
    (50, 5, 5),
)

Floats = npt.NDArray[np.float64]


@dataclass(slots=True)
class _Running:
    index: int
    beta: float
    lam: float
    result: LaneResult
    epoch: int = 0


@lru_cache
def _digits() -> Dataset:
    torch.set_num_threads(1)
    return load_dataset("digits")


def _trained(noise_rate: float, beta: float, lam: float, seeds: tuple[int, int]) -> LaneResult:
    """One configuration by digits' recipe, on a pair of (noise seed, training seed)."""
    data = _digits()
    labels = make_noise_model("symmetric", noise_rate).draw(data.y_train, data.num_classes, seeds[0])
    supervision = make_supervision("gr", beta=beta, lam=lam, normalise="batch")
    (result,) = train(training_task(data, device="cpu"), [Lane("lane", supervision, labels, seeds[1])])
    return result


def _intact(result: LaneResult) -> float:
    return result.final.intact_train if result.final else 0.0


def recorded(noise_rate: float, seed: int, early_stopping: EarlyStoppingRule) -> dict[str, Any]:
    """One search of the largest size that is stopped early so, and its candidates on fresh seeds."""
    sizes = SIZES[early_stopping]
    epochs = training_task(_digits(), device="cpu").epochs
    sampler = ConfigurationSampler(
        KappaSpace(), "tpe", seed=seed, starting_points=starting_points(noise_rate, _digits().num_classes)
    )
    stopping = EarlyStopping(early_stopping, epochs, 1)
    searched = trial_seeds(seed, Phase.SEARCH, 0)
    slots: list[_Running] = []
    asked = 0
    finals: list[dict[str, Any]] = []
    shares = [0.0] * sizes[-1]
    while asked < sizes[-1] or slots:
        while len(slots) < CONCURRENCY and asked < sizes[-1]:
            proposal = sampler.ask()
            beta, lam = (proposal.configuration.as_dict()[name] for name in ("beta", "lam"))
            slots.append(_Running(proposal.index, beta, lam, _trained(noise_rate, beta, lam, searched)))
            asked += 1
        for each in list(slots):
            each.epoch += 1
            seen = [
                report.evaluation
                for report in each.result.reports
                if report.epoch == each.epoch and report.evaluation is not None
            ]
            if seen:
                stopping.see_epoch(each.index, 0, each.epoch, seen[0].intact_train)
            given_up = stopping.reason(each.index, 0) is not None
            if not given_up and each.epoch < epochs:
                continue
            shares[each.index] = each.epoch / epochs
            slots.remove(each)
            if given_up:
                sampler.tell(each.index, None, pruned=True)
                continue
            objective = _intact(each.result)
            stopping.see_end(each.index, 0, objective)
            sampler.tell(each.index, objective)
            finals.append({"trial": each.index, "beta": each.beta, "lam": each.lam, "searched": round(objective, 6)})
    wanted = {each["trial"] for size in sizes for each in _highest(finals, size)[: CANDIDATES[early_stopping]]}
    for each in finals:
        if each["trial"] in wanted:
            pairs = [trial_seeds(seed, Phase.CONFIRM, repeat) for repeat in range(FRESH)]
            each["fresh"] = [round(_intact(_trained(noise_rate, each["beta"], each["lam"], pair)), 6) for pair in pairs]
    return {
        "noise_rate": noise_rate,
        "seed": seed,
        "early_stopping": early_stopping,
        "trained": [round(each, 3) for each in shares],
        "finals": finals,
    }


def _highest(finals: list[dict[str, Any]], size: int) -> list[dict[str, Any]]:
    """Of the first trials of a search those that were trained to the end, highest first."""
    ended = (each for each in finals if each["trial"] < size)
    return sorted(ended, key=lambda each: (-each["searched"], each["trial"]))


def worth(sweep: dict[str, Any], size: int, top: int, seeds: int) -> float:
    """What a sweep of this size would recommend, by seeds that did not choose it."""
    fresh: Floats = np.array([each["fresh"] for each in _highest(sweep["finals"], size)[:top]])
    if seeds == 0:
        return float(fresh[0].mean())
    generator = np.random.default_rng([sweep["seed"], size, top, seeds])
    found = []
    for _ in range(CHOICES):
        order = generator.permutation(FRESH)
        best = fresh[:, order[:seeds]].mean(axis=1).argmax()
        found.append(fresh[best, order[seeds:]].mean())
    return float(np.mean(found))


def rule_of(size: int, top: int, seeds: int) -> EarlyStoppingRule:
    """By which rule `emphasis run` stops a sweep of this size unless it is asked for another."""
    confirm = Confirm(top=top, seeds=seeds)
    spec = SweepSpec(dataset="digits", noise_rate=0.4, trials=size, confirm=confirm)
    return spec.resolved_early_stopping("intact")


def cost(sweep: dict[str, Any], size: int, top: int, seeds: int) -> float:
    """In whole trainings."""
    return float(sum(sweep["trained"][:size])) + (top + 1) * seeds


def rows_of(sweeps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every size, over all sweeps."""
    rates = sorted({sweep["noise_rate"] for sweep in sweeps})

    def of(case: tuple[int, int, int]) -> list[dict[str, Any]]:
        return [sweep for sweep in sweeps if sweep["early_stopping"] == rule_of(*case)]

    def worths(case: tuple[int, int, int]) -> dict[float, Floats]:
        # By seed, as they are sorted: differences are paired.
        return {
            rate: np.array([worth(sweep, *case) for sweep in of(case) if sweep["noise_rate"] == rate]) for rate in rates
        }

    usual = worths(DEFAULT)
    rows = []
    for case in CASES:
        here = worths(case)
        # Every rate counts alike; sweeps of different rates are taken as independent.
        gains = [here[rate] - usual[rate] for rate in rates]
        rows.append(
            {
                "trials": case[0],
                "top": case[1],
                "seeds": case[2],
                "early_stopping": rule_of(*case),
                "cost": round(float(np.mean([cost(sweep, *case) for sweep in of(case)])), 1),
                "worth": {f"{rate:g}": round(float(each.mean()), 4) for rate, each in here.items()},
                "gain": round(float(np.mean([each.mean() for each in gains])), 4),
                "standard_error": round(
                    float(np.sqrt(sum(each.var(ddof=1) / len(each) for each in gains)) / len(rates)), 4
                ),
            }
        )
    return rows


def surface_errors(sweeps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How far the recorded surfaces are from what the candidates reached, by noise rate."""
    found = []
    for rate in sorted({sweep["noise_rate"] for sweep in sweeps}):
        surface = Surface(surface_path("digits", rate))
        candidates = [
            each for sweep in sweeps if sweep["noise_rate"] == rate for each in sweep["finals"] if "fresh" in each
        ]
        reached = np.array([np.mean(each["fresh"]) for each in candidates])
        replayed = np.array([surface.value(each["lam"], kappa_of(each["beta"], each["lam"])) for each in candidates])
        found.append(
            {
                "noise_rate": rate,
                "candidates": len(candidates),
                "reached": round(float(reached.mean()), 4),
                "replayed": round(float(replayed.mean()), 4),
                "root_mean_square_error": round(float(np.sqrt(((replayed - reached) ** 2).mean())), 4),
            }
        )
    return found


def main() -> None:
    """Record what is missing, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise-rate", type=float, action="append", help="default 0.2, 0.4 and 0.6; repeatable")
    parser.add_argument("--sweeps", type=int, default=12, help="of each noise rate")
    parser.add_argument("--output", type=Path, default=RESULTS / "sweep_size.json")
    arguments = parser.parse_args()
    rates = arguments.noise_rate or [0.2, 0.4, 0.6]
    measured = {
        "what": "final intact accuracy on digits; searches by TPE, two trials at once",
        "recorded_trials": {rule: sizes[-1] for rule, sizes in SIZES.items()},
        "fresh_seeds": FRESH,
        "default": list(DEFAULT),
    }
    sweeps: list[dict[str, Any]] = []
    header, earlier = provenance(), []
    if arguments.output.exists():
        kept = json.loads(arguments.output.read_text())
        if kept["measured"] != measured:
            raise SystemExit(f"{arguments.output} was recorded with other settings; remove it to record it anew.")
        sweeps, earlier = kept["sweeps"], [*kept.get("earlier", []), kept["provenance"]]
    done = {(sweep["noise_rate"], sweep["seed"], sweep["early_stopping"]) for sweep in sweeps}
    wanted = [(rate, seed, rule) for seed, rate, rule in product(range(arguments.sweeps), rates, SIZES)]
    missing = [each for each in wanted if each not in done]
    if sweeps and not missing:
        header, earlier = earlier[-1], earlier[:-1]  # only the rows are written anew
    workers = len(os.sched_getaffinity(0))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(recorded, *each) for each in missing]
        for number, job in enumerate(as_completed(jobs), 1):
            sweeps.append(job.result())
            sweeps.sort(key=lambda sweep: (sweep["early_stopping"], sweep["noise_rate"], sweep["seed"]))
            content = {"provenance": header, "earlier": earlier, "measured": measured, "sweeps": sweeps}
            write_result(arguments.output, content)
            print(f"{number}/{len(missing)} sweeps recorded", flush=True)
    rows, surfaces = rows_of(sweeps), surface_errors(sweeps)
    for row in (*rows, *surfaces):
        print(row)
    told = {"provenance": header, "earlier": earlier, "measured": measured, "rows": rows, "surfaces": surfaces}
    write_result(arguments.output, {**told, "sweeps": sweeps})


if __name__ == "__main__":
    main()
