"""The tables of README that come from result files: written by this, never by hand.

    python -m tests.benchmarks.tables            # rewrites them in README.md
    python -m tests.benchmarks.tables --check    # says what is out of date, and fails if anything is

In README a table stands between ``<!-- table: NAME -->`` and ``<!-- end -->``, two comments that nobody sees.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import processor_of

README = Path(__file__).parents[2] / "README.md"

_BLOCK = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Rows = list[dict[str, Any]]


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return content


def _table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    lines = [list(map(str, head)), *[list(map(str, row)) for row in rows]]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _origin(*results: dict[str, Any]) -> str:
    """Where and when the numbers were measured, as the line below a table."""
    said = []
    for result in results:
        found = result.get("provenance", result)
        place = found.get("device") or f"{found['cores']} cores, {found['cpu']}"
        line = f"{place}, {found['date'][:10]}, commit {found['commit']}: `{found['command']}`"
        if line not in said:
            said.append(line)
    return "\n*" + "; ".join(said) + "*\n"


def training_throughput() -> str:
    """Training speed against the loops of others, a row a side and a column a machine."""
    files = [_read(path.name) for path in sorted(RESULTS.glob("training_throughput_*.json"))]
    rows = []
    for result in files:
        for side in result["images_a_second"]:
            low, high = side["quartiles"]
            ratio = side.get("ours_over_it")
            said = "" if ratio is None else f"**{ratio['median']:.2f} ×** ({_span(ratio['quartiles'], 2)})"
            rows.append((processor_of(result), side["side"], f"{side['median']:.0f} ({low:.0f}–{high:.0f})", said))
    return _table(("processor", "side", "images/s", "ours over it"), rows) + _origin(*files)


def roofline() -> str:
    """What each processor could do at most, and how far our sides are from it."""
    files = [_read(path.name) for path in sorted(RESULTS.glob("training_throughput_*.json"))]
    measured = [result for result in files if "roofline" in result]
    rows = []
    for result in measured:
        found = result["roofline"]
        best = min(found["arithmetic_images_a_second"], found["fused_memory_images_a_second"])
        ours = max(side["median"] for side in result["images_a_second"] if side["side"].startswith("trainers"))
        rows.append(
            (
                processor_of(result),
                f"{found['gigabytes_a_second']:.0f} GB/s",
                f"{found['fp32_gigaflops']:.0f} GFLOP/s",
                f"{found['arithmetic_images_a_second']:.0f}",
                f"{found['fused_memory_images_a_second']:.0f}",
                f"{found['unfused_memory_images_a_second']:.0f}",
                f"{ours:.0f}: {ours / best:.0%} of the best",
            )
        )
    head = (
        "processor",
        "copy",
        "product",
        "images/s by arithmetic alone",
        "by memory alone, all fused",
        "nothing fused",
        "ours",
    )
    return _table(head, rows) + _origin(*measured)


def gpu_step() -> str:
    """A training step on a GPU, a row a side: ours and the loops of others."""
    return _of_steps(_read("gpu_step.json"))


def gpu_forms() -> str:
    """The forms from which the engines were chosen, before there were engines."""
    return _of_steps(_read("gpu_step_forms.json"))


def _of_steps(result: dict[str, Any]) -> str:
    rows = []
    for side in result["sides"]:
        if side["ms_a_model_step"] is None:
            continue
        low, middle, high = side["ms_a_model_step"]
        ratios = (side["times_as_fast_as_plain"], side["times_as_fast_as_graph"], side["times_the_fused_floor"])
        rows.append(
            (
                side["side"],
                f"{middle:.2f} ({low:.2f}–{high:.2f})",
                *(f"{ratio:.2f}" for ratio in ratios),
                f"{side['grid_hours']:.1f} h",
                side["repeats"],
            )
        )
    head = (
        "side",
        "ms a model-step (quartiles)",
        "times as fast as plain",
        "as the graph",
        "times the memory floor",
        "the paper's grid at this rate",
        "repeats",
    )
    return _table(head, rows) + _origin(result)


def gpu_shapes() -> str:
    """The forms of each convolution of ResNet-56, milliseconds of a model-step."""
    result = _read("gpu_shapes.json")
    shapes: dict[str, dict[str, str]] = {}
    forms: dict[str, None] = {}
    for record in result["forms"]:
        if record["ms_of_a_model_step"] is None:
            continue
        name = f"{record['shape']}, {record['layers']} ×"
        forms[record["form"]] = None
        found = shapes.setdefault(name, {"floor": f"{record['floor_ms']:.3f}"})
        found[record["form"]] = f"{record['ms_of_a_model_step'][1]:.3f}"
    rows = [(name, *(found.get(form, "") for form in (*forms, "floor"))) for name, found in shapes.items()]
    return _table(("convolution", *forms, "memory floor"), rows) + _origin(result)


def gpu_norms() -> str:
    """Norm, shortcut and ReLU by torch and by our kernels, microseconds of eight lanes, forward and backward."""
    result = _read("gpu_norms.json")
    forms = [form for form in result["ms_of_a_model_step"] if not form.startswith("our kernels, tiled")]
    maps: dict[str, list[str]] = {}
    for record in result["forms"]:
        if record["form"] in forms and record["microseconds"] is not None:
            name = f"{record['maps']}{' with shortcut' if record['shortcut'] else ''}, {record['layers']} ×"
            said = f"{record['microseconds']:.0f}: {record['share_of_floor']:.0%} of the floor"
            maps.setdefault(name, []).append(said)
    rows = [(name, *found) for name, found in maps.items()]
    rows.append(("ms of a model-step", *(f"**{result['ms_of_a_model_step'][form]:.2f}**" for form in forms)))
    return _table(("maps of a lane", *forms), rows) + _origin(result)


def gpu_accuracy() -> str:
    """Whether the engines train to the same accuracy."""
    result = _read("gpu_accuracy.json")
    seconds = {row["engine"]: row["seconds"] for row in result["engines"]}
    rows = []
    for row in result["comparisons"]:
        low, high = (100 * each for each in row["difference_95"])
        rows.append(
            (
                row["engine"],
                row["accuracy"].replace("_train", ""),
                f"{100 * row['mean']:.1f} %",
                f"{100 * row['mean_of_solo']:.1f} %",
                f"{100 * row['mean_difference']:+.1f} points ({low:+.1f} to {high:+.1f})",
                row["seeds"],
                f"{seconds[row['engine']]:.0f} s, {seconds['solo']:.0f} s",
            )
        )
    head = ("engine", "accuracy", "mean", "of solo", "difference, 95%", "seeds", "all lanes took; solo")
    return _table(head, rows) + _origin(result)


def cpu_settings() -> str:
    """What processes, pinning and allocators change, and what an evaluation costs."""
    result = _read("cpu_settings.json")
    trainings = result["trainings"]
    rows = []
    for number, side in enumerate(row["side"] for row in trainings[0]["sides"]):
        cells = [side]
        for training in trainings:
            row = training["sides"][number]
            low, middle, high = row["machine_ms_an_epoch"]
            ratio = row["times_as_fast_as_reference"]
            said = "" if ratio is None else f", **{ratio[1]:.2f} ×** ({_span((ratio[0], ratio[2]), 2)})"
            cells.append(f"{middle:,.0f} ms ({low:,.0f}–{high:,.0f}){said}")
        rows.append(cells)
    head = ("trained as", *(f"{training['training']}: machine time an epoch" for training in trainings))
    return _table(head, rows) + _origin(result)


def default_sampler() -> str:
    """TPE against GP as a sweep uses them, with several trials at once."""
    result = _read("sample_efficiency_default.json")
    rows = []
    for row in result["rows"]:
        gain, error = 100 * row["gp_gains"], 100 * row["standard_error"]
        below = (f"{100 * row[name]:.2f}" for name in ("tpe_below_best", "gp_below_best"))
        rows.append((f"{row['noise_rate']:g}", row["at_once"], *below, f"{gain:+.2f} ± {error:.2f}"))
    head = ("r", "trials at once", "TPE below the best, points", "GP below the best", "GP gains")
    return _table(head, rows) + _origin(result)


def startup_results() -> str:
    """How far below the best TPE ends, by how many results it waits for and how many trials run at once."""
    result = _read("sample_efficiency_startup.json")
    rates = list(result["rows"][0]["below_best"])
    rows = []
    for row in result["rows"]:
        each = (f"{100 * row['below_best'][rate]:.2f}" for rate in rates)
        loses = f"{100 * row['loses']:+.2f} ± {100 * row['standard_error']:.2f}" if row["startup_results"] != 10 else ""
        rows.append((row["at_once"], row["startup_results"], *each, f"{100 * row['mean']:.2f}", loses))
    head = ("trials at once", "results waited for", *(f"r = {rate}" for rate in rates), "mean", "loses against ten")
    return _table(head, rows) + _origin(result)


def sweep_cost() -> str:
    """What a sweep costs beside its training."""
    names = {"digits": "digits", "long": "digits, 4,800 epochs", "cifar10": "CIFAR-10, ResNet-20"}
    results = {said: _read(f"sweep_cost_{name}.json") for name, said in names.items()}
    rows = []
    for said, result in results.items():
        rows.append(
            (
                f"{said}: {result['trials']} trials of {result['mean_seconds_per_trial']:.1f} s",
                f"{result['wall_seconds']:.0f} s",
                f"{result['first_trial_seconds']:.1f} s" if "first_trial_seconds" in result else "–",
                f"{result['training_seconds_per_slot']:.0f} s",
                f"{result['wall_over_training']:.2f}",
                f"{result['cores_busy_while_trials_ran']:.0%}" if "first_trial_seconds" in result else "–",
                f"{result['peak_pss_gib']:.2f} GiB",
            )
        )
    head = ("sweep", "wall time", "until the first trains", "training, a slot", "ratio", "cores busy", "memory (PSS)")
    return _table(head, rows) + _origin(*results.values())


def startup() -> str:
    """How long commands take that only look, and a sweep to its first step."""
    result = _read("startup.json")
    rows = []
    for each in result["commands"]:
        name = each["command"]
        shown = f"`{name}`" if name.startswith("emphasis") else name
        rows.append((shown, f"{each['median']:.2f} s ({_span(each['quartiles'], 2)})"))
    return _table(("command", "wall time, median (quartiles)"), rows) + _origin(result)


def service_load() -> str:
    """95th percentiles of the service under load."""
    result = _read("service_load.json")
    reads = [row for row in result["rows"] if "list" in row]
    found = {(row["store"], row["sweeps"], row["trials"], row["clients"]): row for row in reads}
    stores = list(dict.fromkeys(row["store"] for row in reads))
    sizes = list(dict.fromkeys((row["sweeps"], row["trials"]) for row in reads))
    rows: list[list[str]] = []
    for sweeps, trials in sizes:
        cells = [f"list / read, {sweeps:,} sweeps" + (f" with {trials:,} trials" if trials else "")]
        for store in stores:
            for clients in (1, 50):
                row = found[store, sweeps, trials, clients]
                cells.append(f"{row['list']['p95_ms']:,.0f} / {row['read']['p95_ms']:,.0f}")
        rows.append(cells)
    head = ["p95, ms"]
    for store in stores:
        head += [f"{store}, 1 client", "50 clients"]
    return _table(head, rows) + _origin(result)


def early_stopping() -> str:
    """Cost saved and regret of each rule, mean over samplers."""
    result = _read("early_stopping.json")
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
                f"{_mean(row['cost_saved'] for row in mine):.0%}",
                *(f"{100 * _mean(row['regret_mean'] for row in each):+.2f}" if each else "" for each in by_surface),
                f"{100 * _mean(row['regret_mean'] for row in mine):+.2f}",
                f"{100 * max(row['regret_worst'] for row in mine):.1f}",
            )
        )
    regrets = (f"regret, {dataset} r = {rate:g}" for dataset, rate in surfaces)
    head = ("rule", "epochs saved", *regrets, "mean", "worst sweep")
    return _table(head, rows) + _origin(result)


def sample_efficiency() -> str:
    """Trials that each search needs."""
    result = _read("sample_efficiency_digits.json")
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
    return _table(head, rows) + _origin(result)


TABLES: dict[str, Callable[[], str]] = {
    "training-throughput": training_throughput,
    "roofline": roofline,
    "gpu-step": gpu_step,
    "gpu-forms": gpu_forms,
    "gpu-shapes": gpu_shapes,
    "gpu-norms": gpu_norms,
    "gpu-accuracy": gpu_accuracy,
    "cpu-settings": cpu_settings,
    "default-sampler": default_sampler,
    "startup-results": startup_results,
    "sweep-cost": sweep_cost,
    "startup": startup,
    "service-load": service_load,
    "early-stopping": early_stopping,
    "sample-efficiency": sample_efficiency,
}


def rewritten(text: str) -> str:
    """A text with its tables as the result files have them.

    Raises:
        KeyError: It names a table that there is not.
    """
    return _BLOCK.sub(lambda found: f"{found[1]}\n{TABLES[found['name']]()}{found[3]}", text)


def _mean(values: Iterable[float]) -> float:
    each = list(values)
    return sum(each) / len(each)


def _span(quartiles: Iterable[float], digits: int) -> str:
    return "–".join(f"{each:.{digits}f}" for each in quartiles)


def main() -> None:
    """Rewrite or check README."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    text = README.read_text()
    new = rewritten(text)
    if parser.parse_args().check:
        raise SystemExit(None if new == text else "README.md is not what the result files say: run without --check")
    README.write_text(new)


if __name__ == "__main__":
    main()
