"""The leader board of a sweep: its best configurations beside the CCE baseline, as data."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from enum import StrEnum

from search.naming import label
from search.recommendation import Choice
from search.recommendation import defaults_standing
from search.recommendation import pick
from search.standings import Estimate
from search.standings import Objective
from search.standings import Standing
from search.standings import is_baseline
from search.standings import standings
from search.store import Phase
from search.store import SweepRecord
from search.store import TrialRecord
from spaces import Value
from spaces.emphasis import kappa_of


class Mark(StrEnum):
    """What a row of the leader board is, besides its numbers."""

    RECOMMENDED = "recommended"
    TIE = "tie"
    BASELINE = "baseline"
    DEFAULTS = "defaults"
    NONE = ""


@dataclass(frozen=True, slots=True)
class LeaderboardRow:
    """One configuration.

    Args:
        rank: 1 for the best; None for the defaults and the baseline, which does not compete.
        supervision: Name of the supervision.
        hyperparameters: Its values that were searched, (name, value) sorted by name.
        label: How to name the configuration to a reader, e.g. ``gr(beta=12, lam=0.5)``.
        beta: Emphasis spread of GR, None elsewhere.
        lam: Emphasis focus of GR, None elsewhere.
        kappa: Logarithm of GR's largest weight, None elsewhere.
        objective: What guides the search.
        test_accuracy: Final test accuracy; None without a test set.
        intact_accuracy: Final intact-training-set accuracy; None where it is not known.
        confirmed: Whether the numbers are from fresh seeds.
        mark: Whether it is recommended, tied with it, or the baseline.
    """

    rank: int | None
    supervision: str
    hyperparameters: tuple[tuple[str, Value], ...]
    label: str
    beta: float | None
    lam: float | None
    kappa: float | None
    objective: Objective
    test_accuracy: Estimate | None
    intact_accuracy: Estimate | None
    confirmed: bool
    mark: Mark


def leaderboard(sweep: SweepRecord, trials: Sequence[TrialRecord], top: int = 10) -> list[LeaderboardRow]:
    """The top configurations, those confirmed on fresh seeds first; defaults and the CCE baseline as the last rows.

    A confirmed mean is not comparable with a mean of the search, whose best are too good on average; so they
    are ranked apart, and a row says which it is. Test accuracy does not rank.

    Args:
        sweep: The sweep.
        trials: All its trials, any state.
        top: How many configurations to list, the baseline not counted; the first is the recommended one.
    """
    choice = pick(sweep, trials)
    if choice is None:
        return []
    first = list(choice.candidates)
    rest = standings(sweep, trials, Phase.CONFIRM) if choice.confirmed else []
    rest += standings(sweep, trials, Phase.SEARCH)
    listed = {(standing.supervision, standing.hyperparameters) for standing in first}
    for standing in rest:
        configuration = (standing.supervision, standing.hyperparameters)
        # Where CCE itself is searched, it competes.
        competes = not is_baseline(standing) or sweep.supervision == "cce"
        if configuration not in listed and competes:
            listed.add(configuration)
            first.append(standing)
    rows = [_row(rank, standing, choice) for rank, standing in enumerate(first[: max(top, 1)], start=1)]
    if defaults := defaults_standing(sweep, trials):
        rows.append(replace(_row(None, defaults, choice), mark=Mark.DEFAULTS))
    return rows + ([_row(None, choice.baseline, choice)] if choice.baseline else [])


def best_so_far(sweep: SweepRecord, trials: Sequence[TrialRecord]) -> LeaderboardRow | None:
    """The row that leads at this moment of a sweep; None while no trial of its supervision has finished.

    It is the best of the search until the confirm phase is over, and the recommended configuration then.
    """
    rows = leaderboard(sweep, trials, top=1)
    return rows[0] if rows else None


def _row(rank: int | None, standing: Standing, choice: Choice) -> LeaderboardRow:
    beta, lam = standing.beta, standing.lam
    return LeaderboardRow(
        rank=rank,
        supervision=standing.supervision,
        hyperparameters=standing.hyperparameters,
        label=label(standing.supervision, standing.hyperparameters),
        beta=beta,
        lam=lam,
        kappa=None if beta is None or lam is None else kappa_of(beta, lam),
        objective=standing.objective,
        test_accuracy=standing.test_accuracy,
        intact_accuracy=standing.intact_accuracy,
        confirmed=all(trial.phase is not Phase.SEARCH for trial in standing.trials),
        mark=_mark(standing, choice),
    )


def _mark(standing: Standing, choice: Choice) -> Mark:
    if standing is choice.winner:
        return Mark.RECOMMENDED
    if standing is choice.baseline:
        return Mark.BASELINE
    return Mark.TIE if any(standing is tie for tie in choice.ties) else Mark.NONE
