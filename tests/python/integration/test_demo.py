"""`make demo`, killed and interrupted in the middle, is run again and ends well.

It goes on from all that the rounds left. Its figures are compared in `test_gold.py`; it ends with `dbt build`, so
that dbt's data tests hold after everything.
"""

from __future__ import annotations

from rounds import Demos
from test_gold import COLUMNS as DESIGNED


def test_an_interrupted_demo_says_what_to_do(demos: Demos) -> None:
    assert demos.interrupted.returncode == 1
    assert demos.interrupted.stderr.strip() == "Interrupted. Nothing is lost: run it again with: make demo"


def test_a_demo_shows_the_gold_of_the_design(demos: Demos) -> None:
    assert demos.whole.returncode == 0, demos.whole.stdout + demos.whole.stderr
    assert [mart for mart in DESIGNED if f"gold.{mart}" not in demos.whole.stdout] == []
    assert "make down" in demos.whole.stdout
