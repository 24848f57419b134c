from __future__ import annotations

import threading
from contextlib import suppress

import pytest

from search.cluster import done_aside


@pytest.mark.parametrize("ending", [None, ValueError(), KeyboardInterrupt()])
def test_what_is_done_aside_is_done_once_the_block_has_ended_however_it_ends(ending: BaseException | None) -> None:
    block_ended, done = threading.Event(), []

    def work() -> None:
        block_ended.wait()
        done.append(threading.current_thread())

    with suppress(ValueError, KeyboardInterrupt), done_aside(work):
        block_ended.set()
        if ending is not None:
            raise ending

    (thread,) = done
    assert thread is not threading.current_thread()


def test_what_goes_wrong_with_it_is_raised_unless_the_block_has_failed_itself() -> None:
    def fail() -> None:
        raise OSError("aside")

    with pytest.raises(OSError, match="aside"), done_aside(fail):
        pass
    with pytest.raises(ValueError, match="here"), done_aside(fail):
        raise ValueError("here")
