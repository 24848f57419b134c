"""Measurements behind the README's numbers; run one with `python -m tests.benchmarks.NAME`."""
