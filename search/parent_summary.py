"""What a stopped sweep has found, for its parent run in MLflow."""

from __future__ import annotations

from search.home import Home
from search.leaderboard import leaderboard
from search.naming import equations
from search.naming import noise
from search.naming import with_fixed
from search.recommendation import choose
from search.recommendation import noise_model_of
from search.reports.tables import leaderboard_markdown
from search.store import Store
from search.tracking import ParentSummary


def summarise(store: Store, home: Home, sweep_id: str) -> ParentSummary | None:
    """What a stopped sweep has found, for its MLflow parent run; None before there is anything."""
    sweep, trials = store.sweep(sweep_id), store.trials(sweep_id)
    recommendation = choose(sweep, trials)
    if recommendation is None:
        return None
    point, test = recommendation.recommended, recommendation.test_accuracy
    folder = home.figures(sweep_id)
    fixed = {name: value for name, value in point.hyperparameters.items() if name not in point.searched}
    found = equations(point.supervision, point.found, greek=True) + with_fixed(point.supervision, fixed, greek=True)
    headline = (
        f"**{recommendation.headline}: {found}** for {sweep.dataset} at "
        f"{noise(sweep.noise_rate, noise_model_of(sweep))} ({sweep.backbone}): {recommendation.objective.label} "
        f"{recommendation.objective}, final epoch, eval mode."
    )
    headline += "".join(f" **{caveat}**" for caveat in recommendation.caveats)
    return ParentSummary(
        supervision=point.supervision,
        found=point.found,
        fixed=fixed,
        objective=recommendation.objective.mean,
        test_accuracy=test.mean if test is not None else None,
        metric=recommendation.objective.name,
        intact_accuracy=recommendation.intact_accuracy.mean if recommendation.intact_accuracy else None,
        note_markdown=f"{headline}\n\n{leaderboard_markdown(leaderboard(sweep, trials))}",
        artifacts=folder if folder.is_dir() else None,
    )
