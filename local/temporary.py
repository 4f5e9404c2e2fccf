"""A stack for a while, beside one that is up: for tests and the benchmark."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from local.home import PROJECT, Home
from local.stack import down, without_other_stack

# Ends the stack when this process is gone, whatever ended that: its standard input closes then.
GUARD = """
import sys
import local
sys.stdin.read()
local.down(local.Home.from_environment())
"""


def environment_for(home: Home) -> dict[str, str]:
    """This process's environment with a stack's folder, and without what leads to another stack."""
    return {**without_other_stack(os.environ), "INSIGHTS_HOME": str(home.root)}


@contextlib.contextmanager
def temporary_home(name: str, *, keep: bool = False) -> Iterator[Home]:
    """The folder of a stack that isn't up yet. At the end its processes are stopped, and all of it is removed.

    Args:
        name: what it is for; part of the folder's name.
        keep: leave the files.
    """
    # As root Postgres is another user, and must get in: not pytest's own folder, nor one that TMPDIR may have closed.
    folder = Path(tempfile.mkdtemp(prefix=f"financial-insights-{name}-", dir="/tmp"))
    # A path as a user may have one.
    home = Home(folder / "the stack's home")
    home.create()
    guard = subprocess.Popen(
        [sys.executable, "-c", GUARD],
        cwd=PROJECT,
        env=environment_for(home),
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield home
    finally:
        down(home)
        guard.communicate(timeout=60)
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
