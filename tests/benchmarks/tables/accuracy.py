"""What is learnt: by which settings, supervisions and objectives, and what is known of the labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import fmean
from statistics import stdev
from typing import Any

from search.naming import symbol
from search.recommendation import Recommendation
from search.reports.tables import accuracy
from search.reports.tables import recommendations_markdown
from spaces import kappa_of
from tests.benchmarks.normalise import DIGITS_LEARNING_RATES
from tests.benchmarks.normalise import DIGITS_SETTINGS
from tests.benchmarks.normalise import NORMALISES
from tests.benchmarks.tables.layout import EXAMPLES
from tests.benchmarks.tables.layout import origin
from tests.benchmarks.tables.layout import read_result
from tests.benchmarks.tables.layout import share
from tests.benchmarks.tables.layout import table
from tests.benchmarks.tables.layout import with_error


def noise_estimate() -> str:
    """Estimated noise rates beside the true ones, of the first seed."""
    result = read_result("noise_estimate_digits.json")
    drawn = [row for row in result["estimates"] if row["seed"] == 0]
    estimates = (f"{share(row['estimate'])} ({share(row['low'])}–{share(row['high'])})" for row in drawn)
    rows = [("estimate", *estimates), ("truth", *(share(row["truth"]) for row in drawn))]
    return table(("nominal r", *(f"{row['noise_rate']:g}" for row in drawn)), rows) + origin(result)


def supervisions() -> str:
    """Every supervision with its defaults and after a search of its own, the best of those first."""
    path = EXAMPLES / "supervisions_digits_r40.json"
    found = {(row["supervision"], row["how"]): row for row in json.loads(path.read_text())["rows"]}
    rows = []
    for supervision in (name for name, how in found if how in ("searched", "baseline")):
        searched = found.get((supervision, "searched"))
        # What has nothing to choose is trained once.
        defaults = found.get((supervision, "defaults")) or searched or found[supervision, "baseline"]
        paper = f" (the paper's {', '.join(_values(defaults).values())})" if supervision == "gr" else ""
        rows.append((f"`{supervision}`", _learnt(defaults) + paper, *_of_search(searched)))
    head = ("supervision", "its defaults: intact / test", "its own small sweep: intact / test", "found")
    return table(head, rows) + f"\n*`examples/{path.name}`*\n"


def _of_search(row: dict[str, Any] | None) -> tuple[str, str]:
    if row is None:
        return "–", "–"
    values = (f"{symbol(row['supervision'], name)}={value}" for name, value in _values(row).items())
    return _learnt(row), ", ".join(values) or "–"


def _learnt(row: dict[str, Any]) -> str:
    measured = (row["intact_accuracy"], row["test_accuracy"])
    return " / ".join(with_error(each["mean"], each["sem"]) for each in measured)


def _values(row: dict[str, Any]) -> dict[str, str]:
    """The values in a label such as gce(q=0.9339)."""
    inside = row["label"].partition("(")[2].removesuffix(")")
    return dict(each.split("=") for each in inside.split(", ")) if inside else {}


def normalise() -> str:
    """GR divided by the sum of its weights or by the batch's size, at several learning rates."""
    result = read_result("normalise_digits.json")
    reached: dict[tuple[tuple[float, float], str, float], list[float]] = {}
    for run in result["runs"]:
        key = ((run["beta"], run["lam"]), run["normalise"], run["learning_rate"])
        # What diverged has learnt nothing.
        reached.setdefault(key, []).append(run["intact_train"] or 0.0)
    rates = sorted(DIGITS_LEARNING_RATES)
    recipe, default = DIGITS_LEARNING_RATES[0], NORMALISES[0]
    rows = []
    # Equal weights and the band's edge are in the mean and in the file.
    for setting in DIGITS_SETTINGS[2:]:
        beta, lam = setting
        for kind in NORMALISES:
            cells = []
            for rate in rates:
                values = reached[setting, kind, rate]
                said = with_error(fmean(values), stdev(values) / len(values) ** 0.5)
                cells.append(f"**{said}**" if (kind, rate) == (default, recipe) else said)
            name = f"{beta:g}, {lam:g} ({kappa_of(beta, lam):.2g})" if kind == default else ""
            rows.append((name, kind, *cells))
    means = []
    for rate in rates:
        batch, none = (
            share(fmean(fmean(reached[setting, kind, rate]) for setting in DIGITS_SETTINGS)) for kind in NORMALISES
        )
        means.append(f"**{batch}** / {none}" if rate == recipe else f"{batch} / {none}")
    rows.append(("mean of all six", " / ".join(NORMALISES), *means))
    heads = (f"**lr {rate:g} (recipe)**" if rate == recipe else f"lr {rate:g}" for rate in rates)
    return table(("β, λ (κ)", "normalise", *heads), rows) + origin(result)


def digits_defaults() -> str:
    """What the default sweep of digits recommends."""
    rows = []
    found = _exported("digits.json")
    for each in found:
        assert each.baseline is not None
        best, baseline = each.recommended, each.baseline
        measured = (each.intact_accuracy, each.test_accuracy, baseline.intact_accuracy, baseline.test_accuracy)
        rows.append((f"{each.noise_rate:g}", f"{best.beta:.3g}, {best.lam:.3g}", *map(accuracy, measured)))
    head = ("r", "recommended (β, λ)", "intact", "test", "CCE intact", "CCE test")
    return table(head, rows) + _origin_of_export("digits.json", found)


def cifar10_short() -> str:
    """What the short sweep of CIFAR-10 recommends, as the export writes it."""
    found = _exported("cifar10_short.json")
    shown, _, _ = recommendations_markdown(found).partition("\n\n")
    return f"{shown}\n" + _origin_of_export("cifar10_short.json", found)


def _exported(name: str) -> list[Recommendation]:
    return [Recommendation.from_dict(each) for each in json.loads((EXAMPLES / name).read_text())]


def _origin_of_export(name: str, found: Sequence[Recommendation]) -> str:
    sweeps = [each.provenance for each in found]
    said = (f"{each.finished:%Y-%m-%d}, commit {each.versions['git_commit']:.10}" for each in sweeps)
    return f"\n*`examples/{name}`, {'; '.join(dict.fromkeys(said))}*\n"


def objective_regret() -> str:
    """What is lost where held-out noisy labels guide the search instead of intact ones."""
    result = read_result("objective_regret_digits.json")
    rows = []
    for row in result["rows"]:
        cells = []
        for objective in ("intact", "noisy_validation"):
            chosen = row[objective]
            cells += [f"{chosen['beta']:.3g}, {chosen['lambda']:.3g}", share(chosen["intact_accuracy"])]
        lost = ("+" if row["regret"]["mean"] > 0 else "") + with_error(row["regret"]["mean"], row["regret"]["sem"])
        rows.append((f"{row['noise_rate']:g}", *cells, lost, share(row["cce"])))
    head = ("r", "intact objective chooses", "reaches", "noisy_validation chooses", "reaches", "it loses", "CCE")
    return table(head, rows) + origin(result)
