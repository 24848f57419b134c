"""Processes of `emphasis` that need not import torch, Ray and MLflow anew: forked from one that has done so.

Whole sweeps are tested in dozens of real processes, and each would spend most of its time importing. These are as
real: each has its process id, session, environment and output, and dies as any other does.
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import signal
import sys
from collections.abc import Mapping
from collections.abc import Sequence
from functools import cache
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext
from multiprocessing.context import ForkServerProcess
from pathlib import Path

_IMPORTED = ["search.cli", "search.orchestrator", "search.tuning", "search.reports.figures", "search.service.worker"]
_IMPORTED += ["mlflow.tracking", "sklearn.datasets"]


def start_emphasis(
    arguments: Sequence[str], environment: Mapping[str, str], output: Connection, folder: Path
) -> ForkServerProcess:
    """Start `emphasis` in a process that has imported it already.

    Args:
        arguments: Of its command line.
        environment: All of its variables.
        output: Takes what it writes to its standard output and error.
        folder: Its working directory.
    """
    context, known = _fork_server()
    process = context.Process(target=_run, args=(list(arguments), dict(environment), known, output, str(folder)))
    process.start()
    return process


@cache
def _fork_server() -> tuple[ForkServerContext, frozenset[str]]:
    """The server, and the variables that it is started with; others it has are set by what it imports."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_IMPORTED)
    return context, frozenset(os.environ)


def _run(
    arguments: list[str], environment: dict[str, str], known: frozenset[str], output: Connection, folder: str
) -> None:
    os.setsid()  # as a terminal has it: Ctrl-C reaches the whole group, Ray's processes too
    os.chdir(folder)
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    set_by_imports = {name: value for name, value in os.environ.items() if name not in known}
    os.environ.clear()
    os.environ.update({**set_by_imports, **environment})
    sys.path[:0] = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
    # Where the tests themselves run in a script's background, Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["emphasis", *arguments]
    from ray._raylet import Config

    from search.cli import main

    Config.initialize("")  # Ray reads its variables when it is imported
    try:
        main()
    finally:
        # multiprocessing ends its processes without these.
        atexit._run_exitfuncs()
        sys.stdout.flush()
