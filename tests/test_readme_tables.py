"""README says what the result files say."""

from __future__ import annotations

import pytest

from tests.benchmarks.tables import README
from tests.benchmarks.tables import TABLES
from tests.benchmarks.tables import rewritten


def test_tables_of_readme_are_those_of_the_result_files() -> None:
    text = README.read_text()
    assert rewritten(text) == text, "python -m tests.benchmarks.tables rewrites them"


@pytest.mark.parametrize("name", list(TABLES))
def test_every_table_is_shown(name: str) -> None:
    assert f"<!-- table: {name} -->" in README.read_text()


def test_a_table_that_was_typed_by_hand_is_replaced() -> None:
    typed = "before\n<!-- table: startup -->\n| wrong |\n<!-- end -->\nafter\n"
    new = rewritten(typed)
    assert new.startswith("before\n<!-- table: startup -->\n")
    assert new.endswith("<!-- end -->\nafter\n")
    assert "wrong" not in new
    assert TABLES["startup"]() in new
