"""How fast a GPU trains, by what, and whether to the same accuracy."""

from __future__ import annotations

from typing import Any

from tests.benchmarks.tables.layout import origin
from tests.benchmarks.tables.layout import read_result
from tests.benchmarks.tables.layout import table


def gpu_step() -> str:
    """A training step on a GPU, a row a side: ours and the loops of others."""
    return _of_steps(read_result("gpu_step.json"))


def gpu_forms() -> str:
    """The forms from which the engines were chosen, before there were engines."""
    return _of_steps(read_result("gpu_step_forms.json"))


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
    return table(head, rows) + origin(result)


def gpu_shapes() -> str:
    """The forms of each convolution of ResNet-56, milliseconds of a model-step."""
    result = read_result("gpu_shapes.json")
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
    return table(("convolution", *forms, "memory floor"), rows) + origin(result)


def gpu_norms() -> str:
    """Norm, shortcut and ReLU by torch and by our kernels, microseconds of eight lanes, forward and backward."""
    result = read_result("gpu_norms.json")
    forms = [form for form in result["ms_of_a_model_step"] if not form.startswith("our kernels, tiled")]
    maps: dict[str, list[str]] = {}
    for record in result["forms"]:
        if record["form"] in forms and record["microseconds"] is not None:
            name = f"{record['maps']}{' with shortcut' if record['shortcut'] else ''}, {record['layers']} ×"
            said = f"{record['microseconds']:.0f}: {record['share_of_floor']:.0%} of the floor"
            maps.setdefault(name, []).append(said)
    rows = [(name, *found) for name, found in maps.items()]
    rows.append(("ms of a model-step", *(f"**{result['ms_of_a_model_step'][form]:.2f}**" for form in forms)))
    return table(("maps of a lane", *forms), rows) + origin(result)


def gpu_accuracy() -> str:
    """Whether the engines train to the same accuracy."""
    result = read_result("gpu_accuracy.json")
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
    return table(head, rows) + origin(result)
