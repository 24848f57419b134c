"""Processes that end with the one that started them, even where that one is killed without a word.

``python -m search.service.fate_sharing PARENT COMMAND…`` becomes the command; the kernel then kills it as soon as
the process PARENT, its parent, is gone. Elsewhere than on Linux the command runs on until its own end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def sharing_fate(command: Sequence[str]) -> list[str]:
    """The command line of a command that is to end with this process.

    It must be started from the main thread: the kernel looks at the thread that has started a process.
    """
    return [sys.executable, "-m", "search.service.fate_sharing", str(os.getpid()), *command]


def _main() -> None:
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):
        sys.exit(1)  # it is gone already
    os.execvp(command[0], command)


if __name__ == "__main__":
    _main()
