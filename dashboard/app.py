"""What Streamlit runs: the list of pages, and the one that is open."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import streamlit as st

from dashboard.views import PAGES

# An icon of our own: Streamlit fetches its symbols for this from outside.
ICON = str(Path(__file__).with_name("icon.svg"))

st.set_page_config(page_title="Financial Insights", page_icon=ICON, layout="wide")
pages = [
    st.Page(
        import_module(f"dashboard.views.{name}").page,
        title=title,
        icon=f":material/{icon}:",
        url_path=name,
        default=name == PAGES[0][0],
    )
    for name, title, icon in PAGES
]
st.navigation(pages).run()
