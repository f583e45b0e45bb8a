"""Brings what follows the log up to date: one at a time, and for everybody who waits in the same moment at once."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from interlock.kernel.errors import InterlockError

_LOG = logging.getLogger("interlock.http")
_PATIENCE_SECONDS = 10.0


class Follower:
    """Does the same chore for many callers: who asks while it is under way is served by the next time."""

    def __init__(self, chore: Callable[[], None], last: Callable[[], None] = lambda: None) -> None:
        """Take what is to be done, and what comes before the last time; it starts with the first wish."""
        self._chore, self._last = chore, last
        self._changed = threading.Condition()
        self._wished = self._done = 0
        self._ending = False
        self._thread = threading.Thread(target=self._work, name="follower", daemon=True)
        self._thread.start()

    def follow(self) -> None:
        """Wait until the chore has been done once from its beginning; but not for ever, it is only files."""
        mine = self.wish()
        with self._changed:
            if not self._changed.wait_for(lambda: self._done >= mine or self._ending, _PATIENCE_SECONDS):
                _LOG.warning("the window files are behind by more than %d s", _PATIENCE_SECONDS)

    def wish(self) -> int:
        """Let the chore be done once more, and wait for nothing."""
        with self._changed:
            self._wished += 1
            self._changed.notify_all()
            return self._wished

    def end(self) -> None:
        """Do it a last time, and stop."""
        self._last()
        with self._changed:
            self._wished += 1
            self._ending = True
            self._changed.notify_all()
        self._thread.join(_PATIENCE_SECONDS)

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._wished > self._done or self._ending)
                if self._wished == self._done:
                    return
                serves = self._wished
            try:
                self._chore()
            except Exception as error:  # noqa: BLE001 - a thread's last resort; the next wish tries again
                known = isinstance(error, InterlockError | OSError)
                _LOG.warning("the window files were not brought up to date: %s", error, exc_info=not known)
            with self._changed:
                self._done = serves
                self._changed.notify_all()
