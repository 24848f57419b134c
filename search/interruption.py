"""What stops a running sweep from outside, and the thread that looks out for it."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any
from typing import Self

from search.errors import LeaseLost
from trainers.errors import EmphasisError

_log = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 1.0
_SECONDS_BETWEEN_HEARTBEATS = 2.0
# Tune looks up from what it waits for ten times a second, unless it is in a call that waits for a dead Ray.
_LONGEST_REACTION = 10.0


class Interruption:
    """Ctrl-C, SIGTERM and what another thread finds, as one: `KeyboardInterrupt` where the sweep runs.

    The request is remembered too: raised inside one of Ray's callbacks, the exception itself would be lost.
    Away from the main thread, where Python delivers no signals, it is all there is.

    Args:
        by_signal: The reason where it was a signal.
    """

    def __init__(self, by_signal: str = "interrupted") -> None:
        self.by_signal = by_signal
        self.reason: str | None = None
        self._deaf = False
        self._handlers: dict[int, Any] = {}

    def request(self, reason: str) -> None:
        """Stop the sweep; from any thread."""
        self.reason = self.reason or reason
        if self._handlers:
            # SIGTERM: a process in the background of a script ignores SIGINT.
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    def raise_if_requested(self) -> None:
        """Raise KeyboardInterrupt if the sweep is to stop."""
        if self.reason is not None:
            raise KeyboardInterrupt

    def settle(self) -> None:
        """Raise no more: the sweep is being stopped, and that shall not be cut off half way."""
        self._deaf = True

    def __enter__(self) -> Self:
        self.listen()
        return self

    def listen(self) -> None:
        """Take the signals; to be called again once Ray has started.

        Ray installs a handler of its own for SIGTERM, which aborts the process after three seconds.
        """
        if threading.current_thread() is not threading.main_thread():
            return
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                before = signal.signal(number, self._on_signal)
                self._handlers.setdefault(number, before)

    def __exit__(self, *exception: object) -> None:
        handlers, self._handlers = self._handlers, {}
        for number, handler in handlers.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.reason = self.reason or self.by_signal
        if not self._deaf:
            raise KeyboardInterrupt


class Lookout:
    """Sees to it that a sweep which has lost what it stands on stops, and says that the others live.

    When Ray's head has died, Ray ends the process after a minute without a word to the store; when its raylet
    has died, Ray waits for ever. A main thread that is inside such a call hears of no signal.

    Args:
        interruption: Of the sweep.
        heartbeat: Says to the store that the owner lives; why the sweep is to stop, if it is.
        last_resort: Called with the reason, from the thread that looks out, if the sweep does not stop when it should.
    """

    def __init__(
        self, interruption: Interruption, heartbeat: Callable[[], str | None], last_resort: Callable[[str], None]
    ) -> None:
        self.find_loss: Callable[[], str | None] = lambda: None
        self._interruption = interruption
        self._heartbeat = heartbeat
        self._last_resort = last_resort
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="emphasis-lookout", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        beaten_at = time.monotonic()
        while not self._over.wait(_SECONDS_BETWEEN_LOOKS):
            reason = self._asked(self.find_loss)
            if reason is None and time.monotonic() - beaten_at >= _SECONDS_BETWEEN_HEARTBEATS:
                beaten_at = time.monotonic()
                reason = self._asked(self._heartbeat)
            if reason is not None:
                self._interruption.request(reason)
                if not self._over.wait(_LONGEST_REACTION):
                    self._last_resort(reason)
                return

    def _asked(self, why: Callable[[], str | None]) -> str | None:
        try:
            return why()
        except LeaseLost as error:
            return error.reason
        except EmphasisError:
            return None  # what the sweep itself writes next will say so
        except Exception:
            _log.exception("the sweep is looked after on, since who stops renewing its lease loses it")
            return None
