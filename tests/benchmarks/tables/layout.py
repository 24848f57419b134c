"""How a table of README is read from a result file and laid out."""

from __future__ import annotations

import json
from collections.abc import Iterable
from decimal import ROUND_HALF_UP
from decimal import Decimal
from pathlib import Path
from typing import Any

from tests.benchmarks.provenance import RESULTS

EXAMPLES = Path(__file__).parents[3] / "examples"


def read_result(name: str) -> dict[str, Any]:
    """A file of `tests/benchmarks/results`."""
    content: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return content


def table(head: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A table in Markdown."""
    lines = [list(map(str, head)), *[list(map(str, row)) for row in rows]]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def origin(*results: dict[str, Any]) -> str:
    """Where and when the numbers were measured, as the line below a table."""
    said = []
    for result in results:
        found = result.get("provenance", result)
        place = found.get("device") or f"{found['cores']} cores, {found['cpu']}"
        line = f"{place}, {found['date'][:10]}, commit {found['commit']}: `{found['command']}`"
        if line not in said:
            said.append(line)
    return "\n*" + "; ".join(said) + "*\n"


def mean(values: Iterable[float]) -> float:
    """Their mean."""
    each = list(values)
    return sum(each) / len(each)


def span(quartiles: Iterable[float], digits: int) -> str:
    """From one to the other, as 1.20–1.37."""
    return "–".join(f"{each:.{digits}f}" for each in quartiles)


def share(value: float) -> str:
    """A share of one to three decimals, as .951."""
    # By the decimals that a reader of the file sees: 0.1725 is .173, though its float is a little less.
    rounded = Decimal(repr(value)).quantize(Decimal("0.001"), ROUND_HALF_UP)
    return str(rounded).replace("0.", ".", 1).replace("-", "−")


def with_error(mean: float, error: float) -> str:
    """A share and its standard error, as .951 ± .004."""
    return f"{share(mean)} ± {share(error)}"
