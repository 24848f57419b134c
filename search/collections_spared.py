"""Python's search for garbage cycles, spared where it only costs: while libraries are imported, and at exit.

Torch, Ray, MLflow and what they need make a million objects when they are imported. Looking through them again and
again for cycles, of which there are none, takes a quarter of the imports' time; looking through them once more at exit
takes three seconds, to free memory that goes with the process.
"""

from __future__ import annotations

import atexit
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Objects that were made and not freed since the last look, instead of 700: imports are then looked through ten times,
# and a process that runs for weeks still finds its cycles.
_OBJECTS_BETWEEN_LOOKS = 100_000


def spare_collections() -> None:
    """Look for garbage cycles seldom in this process, which is ours, and not at all when it ends."""
    _, *older = gc.get_threshold()
    gc.set_threshold(_OBJECTS_BETWEEN_LOOKS, *older)
    # Registered first, so that it is done last.
    atexit.register(_spare_the_last)


def _spare_the_last() -> None:
    # Triton, which comes with torchvision, writes pages about what is left of it where nothing is collected.
    if "triton" not in sys.modules:
        gc.freeze()


@contextmanager
def no_collections() -> Iterator[None]:
    """Look for no garbage cycles inside the block: for imports in a process that is somebody else's."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
