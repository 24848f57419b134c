"""Rewrite or check README."""

from __future__ import annotations

import argparse

import tests.benchmarks.tables as tables


def main() -> None:
    """Rewrite or check README."""
    parser = argparse.ArgumentParser(description=tables.__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing")
    text = tables.README.read_text()
    new = tables.rewritten(text)
    if parser.parse_args().check:
        raise SystemExit(None if new == text else "README.md is not what the result files say: run without --check")
    tables.README.write_text(new)


if __name__ == "__main__":
    main()
