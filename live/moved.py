"""Which Bronze tables have messages that no build has read."""

from __future__ import annotations

import threading


class MovedTables:
    """Names of Bronze tables, from the moment that messages land until a build takes them. Threads may share it."""

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._changed = threading.Condition()

    def add(self, *names: str) -> None:
        """Messages landed in these tables, or a build of them failed."""
        with self._changed:
            self._names.update(names)
            self._changed.notify_all()

    def wait(self, seconds: float) -> bool:
        """Wait until there is one, and say whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._names), timeout=seconds)

    def take(self) -> list[str]:
        """All of them, in order; what lands from now on is the next build's."""
        with self._changed:
            names = sorted(self._names)
            self._names.clear()
            return names
