"""What a trial costs the process that drives its sweep, from the first to the two-thousandth: no training, no Ray.

    python -m tests.benchmarks.trial_cost

A real plan over a real store (SQLite on disk) hands out trials of the default sampler; each is started, reports sixty
epochs in two reports and is finished; then the progress is counted, as for the display (its best so far is worked out
in two per cent of the time at most, however long that takes). The objective is a smooth function of (lambda, kappa),
since what it is does not matter here.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from typing import TypeVar

import numpy as np

from search.plan import SweepPlan
from search.spec import SweepSpec
from search.store import Accuracies
from search.store import EpochRecord
from search.store import Progress
from search.store import Store
from search.store import TrialRecord
from search.store import TrialState
from spaces import kappa_of
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import provenance
from tests.benchmarks.provenance import write_result

EPOCHS, REPORTS = 60, 2
AT = (10, 100, 500, 1000, 2000)

Result = TypeVar("Result")


def objective_of(trial: TrialRecord) -> float:
    """A ridge along kappa = 4.5, as on digits."""
    lam, beta = float(trial.hyperparameters["lam"]), float(trial.hyperparameters["beta"])
    return float(np.exp(-(((kappa_of(beta, lam) - 4.5) / 3) ** 2) - (lam - 0.7) ** 2 / 8))


def measure(trials: int) -> dict[str, list[float]]:
    """Milliseconds of each part for each trial, in order."""
    spec = SweepSpec(dataset="digits", noise_rate=0.4, trials=trials)
    parts: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, Store.open(f"sqlite:///{Path(folder) / 'emphasis.db'}") as store:
        store.create_sweep(
            id="sweep",
            spec=spec.to_json_dict(),
            dataset="digits",
            noise_rate=0.4,
            backbone="mlp",
            supervision="gr",
            data_hash="data",
            versions={},
        )
        plan = SweepPlan(store, "sweep", spec, 10, EPOCHS, 6, lambda epoch: epoch.intact_train_accuracy)

        def timed(part: str, call: Callable[[], Result]) -> Result:
            started = time.perf_counter()
            result = call()
            parts[part].append(1e3 * (time.perf_counter() - started))
            return result

        for _ in range(trials):
            trial = timed("propose", plan.next)
            assert isinstance(trial, TrialRecord)
            objective = objective_of(trial)

            def record(trial: TrialRecord = trial, objective: float = objective) -> TrialRecord:
                store.start_attempt(trial.id, "here", 1)
                for report in range(REPORTS):
                    share = EPOCHS // REPORTS
                    numbers = range(report * share + 1, (report + 1) * share + 1)
                    store.record_epochs(trial.id, [_epoch(trial.id, number, objective) for number in numbers])
                final = Accuracies(EPOCHS, objective, 0.5, objective)
                return store.finish_trial(trial.id, TrialState.DONE, objective=objective, final=final)

            finished = timed("record", record)
            timed("learn", lambda finished=finished: plan.update(finished))  # type: ignore[misc]
            timed("show", lambda: Progress.of(list(plan.trials())))
    return dict(parts)


def _epoch(trial_id: str, number: int, objective: float) -> EpochRecord:
    return EpochRecord(
        trial_id=trial_id,
        epoch=number,
        iteration=12 * number,
        train_loss=1.0,
        learning_rate=0.02,
        test_accuracy=objective,
        corrupted_train_accuracy=0.5,
        intact_train_accuracy=objective,
        seconds=0.02 * number,
    )


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    trials = parser.parse_args().trials
    parts = measure(trials)
    rows: list[dict[str, Any]] = []
    for number in (each for each in AT if each <= trials):
        window = slice(max(0, number - max(10, number // 10)), number)
        row = {name: round(float(np.median(values[window])), 2) for name, values in parts.items()}
        rows.append({"trials": number, **{f"{name}_ms": value for name, value in row.items()}})
        print(rows[-1], flush=True)
    write_result(RESULTS / "trial_cost.json", {"provenance": provenance(), "epochs": EPOCHS, "rows": rows})


if __name__ == "__main__":
    main()
