"""How much memory the stack's processes take, sampled each second."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any

import psutil

import local


class MemorySampler:
    """A thread that adds up the memory of all processes of a stack, by service."""

    def __init__(self, home: local.Home, seconds: float = 1) -> None:
        self.home, self.seconds = home, seconds
        self.peaks: dict[str, int] = {}
        self.peak = 0
        self.course: list[tuple[float, int]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> MemorySampler:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        started = time.monotonic()
        while not self._stop.wait(self.seconds):
            now = by_service(local.status(self.home))
            total = sum(now.values())
            self.peak = max(self.peak, total)
            self.course.append((time.monotonic() - started, total))
            for service, size in now.items():
                self.peaks[service] = max(self.peaks.get(service, 0), size)


def by_service(status: list[dict[str, Any]]) -> dict[str, int]:
    """Bytes of each service, its children included, and of their supervisor."""
    sizes: dict[str, int] = {}
    for service in status:
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(service["pid"])
            sizes[service["name"]] = sum(size_of(one) for one in [process, *process.children(recursive=True)])
            if "supervisor" not in sizes and (parent := process.parent()) is not None:
                sizes["supervisor"] = size_of(parent)
    return sizes


def size_of(process: psutil.Process) -> int:
    """PSS, which shares out what processes share; RSS where the system doesn't tell."""
    with contextlib.suppress(psutil.Error):
        full = process.memory_full_info()
        return int(getattr(full, "pss", 0) or full.rss)
    return 0
