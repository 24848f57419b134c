"""A sweep as a person sees it: live on a terminal, in plain lines anywhere else; and what it found."""

from __future__ import annotations

import math
import time
from types import TracebackType
from typing import TYPE_CHECKING
from typing import Protocol
from typing import Self

from rich.console import Console
from rich.console import Group
from rich.console import RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from search.naming import equations
from search.naming import noise
from search.naming import symbols
from search.naming import with_fixed
from search.objective import AS_GIVEN
from search.reports.tables import accuracy

if TYPE_CHECKING:
    from search.leaderboard import LeaderboardRow
    from search.recommendation import Baseline
    from search.recommendation import Recommendation
    from search.status import SweepStatus

_REFRESHES_PER_SECOND = 4
_BAR_WIDTH = 48


class Display(Protocol):
    """Shows how a sweep stands, each time it is told."""

    def show(self, status: SweepStatus) -> None:
        """Show this status in place of, or after, the last."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def progress_display(console: Console) -> Display:
    """The display that suits a console."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class LiveDisplay:
    """A few lines of a terminal that follow the sweep; its clock runs on between two statuses."""

    def __init__(self, console: Console) -> None:
        self._status: SweepStatus | None = None
        self._shown_at = 0.0
        self._live = Live(
            console=console,
            get_renderable=self._rendered,
            refresh_per_second=_REFRESHES_PER_SECOND,
            transient=True,
        )

    def show(self, status: SweepStatus) -> None:
        """Show this status from now on."""
        self._status, self._shown_at = status, time.monotonic()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def _rendered(self) -> RenderableType:
        if self._status is None:
            return Text("loading Ray, MLflow and the data")
        return panel(self._status, seconds_since=time.monotonic() - self._shown_at)


class PlainDisplay:
    """One line for each finished trial or change of state, for logs and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._last: tuple[object, ...] | None = None

    def show(self, status: SweepStatus) -> None:
        """Write a line if this status says something that the last line did not."""
        news = (status.sweep_id, status.state, status.message, status.progress.finished)
        if news != self._last:
            self._last = news
            self._console.print(line(status), soft_wrap=True)
            self._console.file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


def panel(status: SweepStatus, seconds_since: float = 0.0) -> RenderableType:
    """A status as a few lines for a terminal.

    Args:
        status: The sweep.
        seconds_since: Time since the status was taken; it moves the clocks on.
    """
    progress = status.progress
    title = Text.assemble(
        (status.dataset, "bold"), f", noise rate {_rate(status)}   ", (status.sweep_id, "dim")
    )
    bar = Table.grid(padding=(0, 2))
    bar.add_row(
        ProgressBar(total=max(status.planned, 1), completed=progress.finished, width=_BAR_WIDTH),
        Text(f"{progress.finished}/{status.planned} trials"),
        Text(status.message, "dim"),
    )
    trials = Text.assemble(
        "done ",
        (f"{progress.done}", "green"),
        *([f"   stopped early {progress.pruned}"] if progress.pruned else []),
        "   running ",
        (f"{progress.running}", "cyan"),
        "   failed ",
        (f"{progress.failed}", "red" if progress.failed else ""),
    )
    elapsed = f"elapsed {duration(status.elapsed_seconds + seconds_since)}"
    if status.remaining_seconds is not None and progress.finished < status.planned:
        elapsed += f"   remaining about {duration(max(status.remaining_seconds - seconds_since, 0.0))}"
    return Group(
        title, bar, trials, Text(f"best so far: {_best(status.best)}   {_baseline(status)}"), Text(elapsed)
    )


def line(status: SweepStatus) -> str:
    """A status as one line for a log."""
    progress = status.progress
    trials = f"{progress.finished}/{status.planned} trials, {progress.running} running"
    if progress.pruned:
        trials += f", {progress.pruned} stopped early"
    if progress.failed:
        trials += f", {progress.failed} failed"
    parts = [f"{status.dataset} r={_rate(status)}", status.message, trials]
    if status.best is not None:
        parts += [f"best {_best(status.best)}"]
    if status.baseline_objective is not None:
        parts += [_baseline(status)]
    parts += [duration(status.elapsed_seconds)]
    if status.remaining_seconds is not None and progress.finished < status.planned:
        parts += [f"about {duration(status.remaining_seconds)} left"]
    return " | ".join(part for part in parts if part)


def recommendation_lines(recommendation: Recommendation | None) -> list[str]:
    """What a sweep recommends and how sure it is, for a terminal; or that it recommends nothing."""
    if recommendation is None:
        return ["No recommendation: no configuration of the searched supervision trained to the full budget."]
    found = recommendation
    best = found.recommended
    fixed = {name: value for name, value in best.hyperparameters.items() if name not in best.searched}
    point = equations(best.supervision, best.found) + with_fixed(best.supervision, fixed)
    as_given = f" {AS_GIVEN}" if AS_GIVEN in found.provenance.measured else ""
    labels = noise(found.noise_rate, found.noise_model)
    lines = [
        f"{found.headline}: {point} for {found.dataset} at {labels} ({found.backbone})",
        f"  {_measured(found)}{as_given}",
    ]
    if found.baseline is not None:
        lines.append(
            f"  CCE beside it: {_measured(found.baseline)}{as_given}"
        )
    if found.ties and found.objective.n > 1:
        count = len(found.ties)
        lines.append(f"  not told apart from {count} other{'' if count == 1 else 's'} (≈)")
    return [*lines, *(f"  {caveat}" for caveat in found.caveats)]


def duration(seconds: float) -> str:
    """A time span in its two largest units: ``52 s``, ``4 min 10 s``, ``3 h 05 min``, ``2 d 04 h``."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def _rate(status: SweepStatus) -> str:
    return "unknown" if math.isnan(status.noise_rate) else f"{status.noise_rate:g}"


def _measured(found: Recommendation | Baseline) -> str:
    intact = ""
    if found.objective.name != "intact_train_accuracy" and found.intact_accuracy is not None:
        intact = f", intact accuracy {found.intact_accuracy}"
    return f"{found.objective.label} {found.objective}{intact}, test accuracy {found.test_accuracy or '–'}"


def _best(row: LeaderboardRow | None) -> str:
    if row is None:
        return "none yet"
    gradient_rescaling = row.beta is not None and row.lam is not None
    point = symbols(row.supervision, row.hyperparameters) if gradient_rescaling else row.label
    seeds = " on fresh seeds" if row.confirmed else ""
    return f"{point} {row.objective.label} {accuracy(row.objective)}{seeds}"


def _baseline(status: SweepStatus) -> str:
    if status.baseline_objective is None:
        return "CCE: not yet measured"
    return f"CCE {status.baseline_objective:.3f}"
