"""The web server: Streamlit's own, on loopback."""

from __future__ import annotations

from pathlib import Path

import streamlit
from starlette.requests import Request
from starlette.responses import HTMLResponse
from starlette.routing import Route
from streamlit.starlette import App

from dashboard.views import PAGES

APP = Path(__file__).with_name("app.py")


def serve(port: int) -> None:
    """Serve the pages on 127.0.0.1 until Ctrl-C."""
    routes = [Route(path, document) for path in ("/", *(f"/{name}" for name, _, _ in PAGES))]
    App(APP, routes=routes).run(config={"server.address": "127.0.0.1", "server.port": port})


# Streamlit would look for its server below the page's own path first, and a page opened by its address began with
# errors in the browser's log. And a table that is wider than a phone is scrolled by keyboard, once it can be focused.
SCRIPT = """
<script>
    window.__streamlit = {BACKEND_BASE_URL: location.origin + '/'};
    new MutationObserver(() => document.querySelectorAll('table').forEach(table => {
        table.parentElement.tabIndex = table.offsetWidth > table.parentElement.clientWidth ? 0 : -1;
    })).observe(document, {childList: true, subtree: true});
</script>
"""


def document(request: Request) -> HTMLResponse:
    """Streamlit's document with the script above."""
    html = (Path(streamlit.__file__).parent / "static" / "index.html").read_text()
    return HTMLResponse(html.replace("<head>", f"<head>{SCRIPT}", 1), headers={"Cache-Control": "no-cache"})
