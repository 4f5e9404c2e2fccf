"""How long somebody with a browser waits for the dashboard."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from playwright.sync_api import Browser, Playwright, sync_playwright

from benchmarks.chain import PROJECT, BenchmarkError, Chain
from benchmarks.results import Figure, figure
from local.home import free_port

# Seconds after which the dashboard asks Gold anew, and a little more (dashboard/ask.py).
FORGOTTEN = 11
# What an analyst is ready to wait, seconds.
BAR = 2.0


def waiting(chain: Chain, repeats: int) -> list[Figure]:
    """Until something is painted, and until the figures are there; each by a browser that was never there before."""
    customer = chain.value("select min(customer_id) from gold.customer_balance")
    rows = chain.value("select sum(transaction_count) from gold.daily_transactions")
    figures = []
    with serving() as address, sync_playwright() as playwright, contextlib.closing(launched(playwright)) as browser:
        for name, path in (("overview", ""), ("one customer", f"customer?customer={customer}")):
            runs: dict[str, list[dict[str, Any]]] = {"painted": [], "shown": []}
            for repeat in range(-1, repeats):
                time.sleep(FORGOTTEN)
                painted, shown = opened(browser, f"{address}/{path}")
                if repeat >= 0:
                    runs["painted"].append({"value": painted, "reference": BAR})
                    runs["shown"].append({"value": shown, "reference": BAR})
            figures.append(
                figure(
                    f"dashboard, first paint: {name}",
                    runs["painted"],
                    goal="at most 1.0",
                    against="the bar of 2 s",
                    note=f"First contentful paint, {rows:,} transactions in Gold, nothing kept by server or browser.",
                )
            )
            figures.append(
                figure(
                    f"dashboard, all figures: {name}",
                    runs["shown"],
                    goal="",
                    against="the bar of 2 s, which is the first paint's",
                    note="Until the first table is there, Spark's queries among it.",
                    is_met=None,
                )
            )
    return figures


@contextlib.contextmanager
def serving() -> Iterator[str]:
    """The dashboard on the chain's Gold: its address."""
    port = free_port()
    command = [sys.executable, "-m", "dashboard", "serve", "--port", str(port)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        try:
            said = running.stdout.readline() if running.stdout else ""
            if "http" not in said:
                raise BenchmarkError(f"The dashboard did not start: {said}")
            time.sleep(3)
            yield f"http://127.0.0.1:{port}"
        finally:
            running.terminate()


def launched(playwright: Playwright) -> Browser:
    """The machine's own Chromium, or Playwright's."""
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    # Chromium refuses to sandbox itself for root. It opens nothing but the dashboard.
    return playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"] if os.geteuid() == 0 else [])


def opened(browser: Browser, address: str) -> tuple[float, float]:
    """Seconds until the first contentful paint, and until the first table."""
    context = browser.new_context()
    page = context.new_page()
    began = time.monotonic()
    page.goto(address)
    page.get_by_role("table").first.wait_for()
    shown = time.monotonic() - began
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    context.close()
    return paint / 1000, shown
