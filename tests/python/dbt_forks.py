"""dbt in a process of its own, forked from one that has imported it: of some fifty commands each takes seconds less."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import time_machine

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    ["dbt.cli.main", "dbt.adapters.databricks", "dbt.adapters.spark", "pyspark.sql.connect.session", "agate"]
)


def run_dbt(
    words: Sequence[str],
    *,
    folder: Path,
    environment: Mapping[str, str],
    timeout: float,
    ahead: timedelta = timedelta(),
) -> subprocess.CompletedProcess[str]:
    """Run `dbt` with these words in a folder. Its clock is ahead of the machine's by `ahead`.

    Returns:
        Its exit code and what it printed, all of it as standard output.

    Raises:
        subprocess.TimeoutExpired: it took longer, in seconds, and was ended.
    """
    with tempfile.NamedTemporaryFile() as printed:
        process = FORKS.Process(target=_dbt, args=(words, str(folder), dict(environment), printed.name, ahead))
        process.start()
        process.join(timeout)
        output = Path(printed.name).read_text()
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["dbt", *words], timeout, output)
        return subprocess.CompletedProcess(["dbt", *words], process.exitcode, output, "")


def _dbt(words: Sequence[str], folder: str, environment: Mapping[str, str], printed: str, ahead: timedelta) -> None:
    """What the fork does."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(printed, os.O_WRONLY)
    os.dup2(file, sys.stdout.fileno())
    os.dup2(file, sys.stderr.fileno())
    sys.argv = ["dbt", *words]
    # Imported already.
    from dbt.cli.main import cli

    if ahead:
        time_machine.travel(datetime.now(UTC) + ahead).start()
    cli()
