"""How many trials a search needs, by which sampler, and what may be stopped early."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.tables.layout import mean
from tests.benchmarks.tables.layout import origin
from tests.benchmarks.tables.layout import read_result
from tests.benchmarks.tables.layout import table

Rows = list[dict[str, Any]]


def sample_efficiency() -> str:
    """Trials that each search needs."""
    result = read_result("sample_efficiency_digits.json")
    most = result["measured"]["trials"]
    searches: Rows = result["searches"]
    rates = sorted({row["noise_rate"] for row in searches})
    kinds = list(dict.fromkeys(row["objective"] for row in searches))
    rows = []
    for name in dict.fromkeys(row["search"] for row in searches):
        cells = [name]
        for kind in kinds:
            for rate in rates:
                (row,) = [
                    each
                    for each in searches
                    if (each["search"], each["objective"], each["noise_rate"]) == (name, kind, rate)
                ]
                middle = row["quartiles"][1]
                cells.append(f"{'>' + str(most) if middle is None else middle} ({row['arrived']:.0%})")
        rows.append(cells)
    head = ["search", *(f"{kind}, r = {rate:g}" for kind in kinds for rate in rates)]
    return table(head, rows) + origin(result)


def default_sampler() -> str:
    """TPE against GP as a sweep uses them, with several trials at once."""
    result = read_result("sample_efficiency_default.json")
    rows = []
    for row in result["rows"]:
        gain, error = 100 * row["gp_gains"], 100 * row["standard_error"]
        below = (f"{100 * row[name]:.2f}" for name in ("tpe_below_best", "gp_below_best"))
        rows.append((f"{row['noise_rate']:g}", row["at_once"], *below, f"{gain:+.2f} ± {error:.2f}"))
    head = ("r", "trials at once", "TPE below the best, points", "GP below the best", "GP gains")
    return table(head, rows) + origin(result)


def startup_results() -> str:
    """How far below the best TPE ends, by how many results it waits for and how many trials run at once."""
    result = read_result("sample_efficiency_startup.json")
    rates = list(result["rows"][0]["below_best"])
    rows = []
    for row in result["rows"]:
        each = (f"{100 * row['below_best'][rate]:.2f}" for rate in rates)
        loses = f"{100 * row['loses']:+.2f} ± {100 * row['standard_error']:.2f}" if row["startup_results"] != 10 else ""
        rows.append((row["at_once"], row["startup_results"], *each, f"{100 * row['mean']:.2f}", loses))
    head = ("trials at once", "results waited for", *(f"r = {rate}" for rate in rates), "mean", "loses against ten")
    return table(head, rows) + origin(result)


def sweep_size() -> str:
    """What a sweep's recommendation is worth and costs, by how many trials, candidates and fresh seeds it takes."""
    result = read_result("sweep_size.json")
    rates = list(result["rows"][0]["worth"])
    rows = []
    for row in result["rows"]:
        size = [row["trials"], row["top"], row["seeds"]]
        gain = f"{100 * row['gain']:+.2f} ± {100 * row['standard_error']:.2f}"
        gain = "" if size == result["measured"]["default"] else gain
        worths = (f"{row['worth'][rate]:.3f}" for rate in rates)
        rows.append((*size, row["early_stopping"], f"{row['cost']:.0f}", *worths, gain))
    accuracies = (f"r = {rate}" for rate in rates)
    head = ("trials", "confirmed", "fresh seeds", "early stopping", "cost, trainings", *accuracies, "gain, points")
    return table(head, rows) + origin(result)


def early_stopping() -> str:
    """Cost saved and regret of each rule, mean over samplers."""
    result = read_result("early_stopping.json")
    rules: Rows = result["rules"]
    surfaces = list(dict.fromkeys((row["dataset"], row["noise_rate"]) for row in rules))
    rows = []
    for name in dict.fromkeys(row["rule"] for row in rules):
        if name.startswith("none"):
            continue
        mine = [row for row in rules if row["rule"] == name]
        by_surface = [[row for row in mine if (row["dataset"], row["noise_rate"]) == each] for each in surfaces]
        rows.append(
            (
                name,
                f"{mean(row['cost_saved'] for row in mine):.0%}",
                *(f"{100 * mean(row['regret_mean'] for row in each):+.2f}" if each else "" for each in by_surface),
                f"{100 * mean(row['regret_mean'] for row in mine):+.2f}",
                f"{100 * max(row['regret_worst'] for row in mine):.1f}",
            )
        )
    regrets = (f"regret, {dataset} r = {rate:g}" for dataset, rate in surfaces)
    head = ("rule", "epochs saved", *regrets, "mean", "worst sweep")
    return table(head, rows) + origin(result)
