"""How fast training, commands, sweeps and the service are on a CPU."""

from __future__ import annotations

from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import processor_of
from tests.benchmarks.tables.layout import origin
from tests.benchmarks.tables.layout import read_result
from tests.benchmarks.tables.layout import span
from tests.benchmarks.tables.layout import table


def training_throughput() -> str:
    """Training speed against the loops of others, a row a side and a column a machine."""
    files = [read_result(path.name) for path in sorted(RESULTS.glob("training_throughput_*.json"))]
    rows = []
    for result in files:
        for side in result["images_a_second"]:
            low, high = side["quartiles"]
            ratio = side.get("ours_over_it")
            said = "" if ratio is None else f"**{ratio['median']:.2f} ×** ({span(ratio['quartiles'], 2)})"
            rows.append((processor_of(result), side["side"], f"{side['median']:.0f} ({low:.0f}–{high:.0f})", said))
    return table(("processor", "side", "images/s", "ours over it"), rows) + origin(*files)


def roofline() -> str:
    """What each processor could do at most, and how far our sides are from it."""
    files = [read_result(path.name) for path in sorted(RESULTS.glob("training_throughput_*.json"))]
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
    return table(head, rows) + origin(*measured)


def cpu_settings() -> str:
    """What processes, pinning and allocators change, and what an evaluation costs."""
    result = read_result("cpu_settings.json")
    trainings = result["trainings"]
    rows = []
    for number, side in enumerate(row["side"] for row in trainings[0]["sides"]):
        cells = [side]
        for training in trainings:
            row = training["sides"][number]
            low, middle, high = row["machine_ms_an_epoch"]
            ratio = row["times_as_fast_as_reference"]
            said = "" if ratio is None else f", **{ratio[1]:.2f} ×** ({span((ratio[0], ratio[2]), 2)})"
            cells.append(f"{middle:,.0f} ms ({low:,.0f}–{high:,.0f}){said}")
        rows.append(cells)
    head = ("trained as", *(f"{training['training']}: machine time an epoch" for training in trainings))
    return table(head, rows) + origin(result)


def sweep_cost() -> str:
    """What a sweep costs beside its training."""
    names = {"digits": "digits", "long": "digits, 4,800 epochs", "cifar10": "CIFAR-10, ResNet-20"}
    results = {said: read_result(f"sweep_cost_{name}.json") for name, said in names.items()}
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
    return table(head, rows) + origin(*results.values())


def startup() -> str:
    """How long commands take that only look, and a sweep to its first step."""
    result = read_result("startup.json")
    rows = []
    for each in result["commands"]:
        name = each["command"]
        shown = f"`{name}`" if name.startswith("emphasis") else name
        rows.append((shown, f"{each['median']:.2f} s ({span(each['quartiles'], 2)})"))
    return table(("command", "wall time, median (quartiles)"), rows) + origin(result)


def service_load() -> str:
    """95th percentiles of the service under load."""
    result = read_result("service_load.json")
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
    return table(head, rows) + origin(result)
