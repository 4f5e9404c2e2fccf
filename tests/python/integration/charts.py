"""Print what the charts of some pages draw, as JSON, by Streamlit's own runner of pages: `python -m charts ADDRESS...`.

In a process of its own: the runner takes the place of the main module, and keeps what a page has opened.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pyarrow
from streamlit.testing.v1 import AppTest

# Seconds that a page may take.
PATIENCE = 90


def drawn(address: str) -> Iterator[list[dict[str, Any]]]:
    """The points of each chart on a page, by the page's address with its filters."""
    parts = urlsplit(address)
    running = AppTest.from_string(f"from dashboard.views.{parts.path or 'overview'} import page\npage()")
    running.query_params.update(dict(parse_qsl(parts.query)))
    running.run(timeout=PATIENCE)
    assert not running.exception, running.exception
    for chart in running.get("vega_lite_chart"):
        yield pyarrow.ipc.open_stream(chart.proto.datasets[0].data.data).read_all().to_pylist()


if __name__ == "__main__":
    print(json.dumps([[*drawn(address)] for address in sys.argv[1:]], default=lambda day: day.isoformat()[:10]))
