"""Tables of what was measured, and the result files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.benchmarks.gpu.roofline import Roofline

Record = dict[str, Any]

# A capture that forgets something is off by far more than what bf16's rounding makes of three steps.
REPLAY_TOLERANCE = 0.05


def roofline_table(roofline: Roofline, records: Sequence[Record]) -> str:
    """A line a rate: median and quartiles."""
    lines = [f"{'rate':>10}  {'median':>9}  {'quartiles':>21}"]
    for record in records:
        scale, unit = (1e9, "GB/s") if record["unit"] == "bytes/s" else (1e12, "TFLOP/s")
        if record["quartiles"]:
            low, middle, high = (value / scale for value in record["quartiles"])
            lines.append(f"{record['side']:>10}  {middle:9.1f}  {low:10.1f} {high:10.1f}  {unit}")
        lines += _failure(record)
    return "\n".join(lines)


def shapes_table(records: Sequence[Record]) -> str:
    """A block a shape, a line a form."""
    lines: list[str] = []
    shape = None
    for record in records:
        if record["shape"] != shape:
            shape = record["shape"]
            lines.append(
                f"{shape}, {record['layers']} layers; floor {record['floor_ms']:.4f} ms a model-step\n"
                f"{'form':>24}  {'ms a model-step':>15}  {'quartiles':>19}  {'of floor':>8}"
            )
        if record["ms_of_a_model_step"]:
            low, middle, high = record["ms_of_a_model_step"]
            lines.append(
                f"{record['form']:>24}  {middle:15.4f}  {low:9.4f} {high:9.4f}  {record['share_of_floor']:8.0%}"
            )
        lines += _failure(record, "form")
    return "\n".join(lines)


def norms_table(content: Record) -> str:
    """A line a form of maps."""
    lines = [f"{'maps':>12}  {'shortcut':>8}  {'form':>12}  {'us':>8}  {'of floor':>8}  {'largest error':>13}"]
    for record in content["forms"]:
        if record["microseconds"] is not None:
            error = "" if record["largest_error"] is None else f"{record['largest_error']:.1e}"
            lines.append(
                f"{record['maps']:>12}  {'yes' if record['shortcut'] else 'no':>8}  {record['form']:>12}"
                f"  {record['microseconds']:8.1f}  {record['share_of_floor']:8.0%}  {error:>13}"
            )
        lines += _failure(record, "form")
    totals = ", ".join(f"{form} {total:.3f}" for form, total in content["ms_of_a_model_step"].items())
    return "\n".join([*lines, f"ms of a model-step: {totals}"])


def steps_table(content: Record) -> str:
    """A line a side."""
    floor = content["floor"]
    lines = [
        f"floor: {floor['fused_bytes'] / 1e9:.2f} GB, {floor['fused_ms']:.3f} ms with everything fused; "
        f"{floor['unfused_bytes'] / 1e9:.2f} GB, {floor['unfused_ms']:.3f} ms with nothing fused",
        f"{'side':>40}  {'ms':>8}  {'quartiles':>17}  {'x plain':>7}  {'x graph':>7}  {'floors':>6}  {'grid, h':>8}",
    ]
    for record in content["sides"]:
        if record["ms_a_model_step"]:
            low, middle, high = record["ms_a_model_step"]
            lines.append(
                f"{record['side']:>40}  {middle:8.3f}  {low:8.3f} {high:8.3f}"
                f"  {_number(record['times_as_fast_as_plain']):>7}  {_number(record['times_as_fast_as_graph']):>7}"
                f"  {_number(record['times_the_fused_floor']):>6}  {_number(record['grid_hours']):>8}"
            )
        lines += _failure(record)
    differences = content["replay_differences"]
    if differences:
        lines.append("largest relative difference of three replayed steps' losses from eager ones")
        lines += [
            f"{name:>40}  {value:.1e}" + ("" if value <= REPLAY_TOLERANCE else "  DOUBTFUL: is the capture whole?")
            for name, value in differences.items()
        ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _failure(record: Record, name: str = "side") -> list[str]:
    return [f"{'':>12}{record[name]}: {record['failure']}"] if record["failure"] else []


def rounded(value: Any) -> Any:
    """Floats in six significant digits, through lists and dictionaries: no clock here is better."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    return value
