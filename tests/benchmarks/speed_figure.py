"""The pictures of README's training speed, drawn from the result files of `training_throughput` and of the GPU.

    python -m tests.benchmarks.speed_figure

A panel a processor; our sides are dark, those of others light. A line says how many images a second the processor could
train at best in float32, where everything but the convolutions costs nothing, wherever that was measured.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import matplotlib as mpl

from tests.benchmarks.provenance import DOCS
from tests.benchmarks.provenance import RESULTS
from tests.benchmarks.provenance import processor_of

mpl.use("Agg")
import matplotlib.pyplot as plt

_OURS, _THEIRS = "#0072B2", "#B8C9D6"


def draw(results: list[dict[str, Any]], path: Path) -> None:
    """Bars of images a second, medians with quartiles."""
    heights = [len(result["images_a_second"]) for result in results]
    figure, axes = plt.subplots(
        len(results), 1, figsize=(8.5, 1.1 + 0.36 * sum(heights)), height_ratios=heights, layout="constrained"
    )
    for axis, result in zip([axes] if len(results) == 1 else axes, results, strict=True):
        sides = result["images_a_second"]
        names = [side["side"] for side in sides]
        medians = [side["median"] for side in sides]
        spread = [
            [middle - side["quartiles"][0] for middle, side in zip(medians, sides, strict=True)],
            [side["quartiles"][1] - middle for middle, side in zip(medians, sides, strict=True)],
        ]
        colours = [_OURS if name.startswith("trainers") else _THEIRS for name in names]
        bars = axis.barh(names, medians, xerr=spread, color=colours, error_kw={"ecolor": "0.35", "linewidth": 1})
        behind = {"facecolor": "white", "edgecolor": "none", "pad": 1}
        axis.bar_label(bars, [f"{middle:.0f}" for middle in medians], padding=6, fontsize=9, bbox=behind)
        axis.set_ylim(len(names) - 0.4, -1.1)  # the first on top, and above it room for what the line says
        roofline = result.get("roofline")
        if roofline is not None:
            best = min(roofline["arithmetic_images_a_second"], roofline["fused_memory_images_a_second"])
            axis.axvline(best, color="0.35", linestyle="--", linewidth=1)
            axis.annotate(
                f"at best in float32: {best:.0f}",
                (best, 1),
                xycoords=("data", "axes fraction"),
                xytext=(-4, -2),
                textcoords="offset points",
                ha="right",
                va="top",
                fontsize=9,
                color="0.35",
            )
        title = f"{result['cores']} cores, {processor_of(result)}, {result['date'][:10]}"
        axis.set_title(title, fontsize=9, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
        axis.margins(x=0.12)
    axis.set_xlabel("images trained a second, ResNet-20, batch 128")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_gpu(result: dict[str, Any], path: Path) -> None:
    """Bars of milliseconds a model-step, medians with quartiles, and what memory alone would take."""
    sides = [side for side in result["sides"] if side["ms_a_model_step"]]
    names = [side["side"] for side in sides]
    medians = [side["ms_a_model_step"][1] for side in sides]
    spread = [
        [side["ms_a_model_step"][1] - side["ms_a_model_step"][0] for side in sides],
        [side["ms_a_model_step"][2] - side["ms_a_model_step"][1] for side in sides],
    ]
    figure, axis = plt.subplots(figsize=(8.5, 1.1 + 0.36 * len(sides)), layout="constrained")
    colours = [_OURS if name.startswith("engine") else _THEIRS for name in names]
    bars = axis.barh(names, medians, xerr=spread, color=colours, error_kw={"ecolor": "0.35", "linewidth": 1})
    axis.bar_label(bars, [f"{middle:.2f}" for middle in medians], padding=6, fontsize=9)
    axis.invert_yaxis()
    floor = result["floor"]["fused_ms"]
    axis.axvline(floor, color="0.35", linestyle="--", linewidth=1)
    axis.annotate(
        f"memory floor: {floor:.2f}",
        (floor, 0),
        xycoords=("data", "axes fraction"),
        xytext=(8, 6),
        textcoords="offset points",
        fontsize=9,
        color="0.35",
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
    )
    axis.set_title(f"{result['device']}, {result['date'][:10]}", fontsize=10, loc="left")
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(x=0.12)
    axis.set_xlabel(f"milliseconds a model-step, ResNet-{result['depth']}, batch {result['batch_size']}")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main() -> None:
    """Draw every processor and the GPU that were measured."""
    results = [json.loads(path.read_text()) for path in sorted(RESULTS.glob("training_throughput_*.json"))]
    draw(results, DOCS / "training_speed.png")
    draw_gpu(json.loads((RESULTS / "gpu_step.json").read_text()), DOCS / "gpu_speed.png")


if __name__ == "__main__":
    main()
