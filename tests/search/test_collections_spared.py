"""Garbage cycles are looked for less often, and never where somebody else's process relies on it."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from search.collections_spared import no_collections

PROGRAM = """
import gc
{spare}

class Node:
    def __init__(self):
        self.me = self

    def __del__(self):
        print("collected", flush=True)

Node()
print(gc.get_threshold()[0] > 10_000, gc.isenabled(), flush=True)
"""


def said(spare: str) -> list[str]:
    """What a process prints that leaves one cycle behind."""
    command = [sys.executable, "-c", PROGRAM.format(spare=spare)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[:-1]


def test_a_process_of_ours_looks_seldom_and_not_at_its_end() -> None:
    assert said("") == ["False True", "collected"]
    assert said("from search.collections_spared import spare_collections; spare_collections()") == ["True True"]


def test_a_process_that_has_imported_torchvision_ends_in_silence() -> None:
    program = "from search.collections_spared import spare_collections; spare_collections(); import torchvision"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_inside_the_block_nothing_is_collected_and_afterwards_as_before() -> None:
    assert gc.isenabled()
    with no_collections():
        assert not gc.isenabled()
        with no_collections():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ValueError, match="an import that fails"), no_collections():
        raise ValueError("an import that fails")
    assert gc.isenabled()
