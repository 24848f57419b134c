"""A sweep that somebody else runs, in a line; and waiting for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from search.cli.streams import output

if TYPE_CHECKING:
    from search.service.submitted import SubmittedSweep
    from search.service.views import SweepView


def progress_line(sweep: SweepView) -> str:
    """How a sweep stands: ``running | 3/12 trials, 2 running | best β=8 λ=0.5 intact accuracy 0.950 | CCE 0.610``."""
    progress = sweep.progress
    trials = f"{counts(sweep)} trials" + (f", {progress.running} running" if progress.running else "")
    parts = [sweep.state.value, trials]
    if sweep.best is not None:
        parts.append(f"best {best(sweep)}")
    if sweep.baseline_objective is not None:
        parts.append(f"CCE {sweep.baseline_objective:.3f}")
    return " | ".join(parts)


def counts(sweep: SweepView) -> str:
    """Finished trials of all that there will be: ``24/25, 1 failed``."""
    progress = sweep.progress
    text = f"{progress.done + progress.failed + progress.pruned}/{progress.planned}"
    return f"{text}, {progress.failed} failed" if progress.failed else text


def best(sweep: SweepView) -> str:
    """A sweep's best configuration with its objective: ``β=8 λ=0.5 intact accuracy 0.950``."""
    from search.naming import symbols
    from search.objective import objective_label
    from search.service.told import by_python_name

    if sweep.best is None:
        return "none yet"
    found = sweep.best
    point = symbols(found.supervision, by_python_name(found.hyperparameters)) or found.supervision
    seeds = " on fresh seeds" if found.confirmed else ""
    return f"{point} {objective_label(found.objective_name)} {found.objective:.3f}{seeds}"


def wait_for(sweep: SubmittedSweep) -> SubmittedSweep:
    """Wait for a sweep, showing how it stands: in place on a terminal, in plain lines anywhere else.

    Raises:
        EmphasisError: As `SubmittedSweep.wait`.
    """
    console = output()
    if console.is_terminal:
        with console.status(progress_line(sweep)) as status:
            return sweep.wait(on_progress=lambda now: status.update(progress_line(now)))
    shown = ""

    def show(now: SweepView) -> None:
        nonlocal shown
        if (line := progress_line(now)) != shown:
            shown = line
            console.print(line, soft_wrap=True)
            console.file.flush()

    return sweep.wait(on_progress=show)
