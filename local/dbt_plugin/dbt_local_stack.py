"""Leads dbt to the embedded stack, so that plain `dbt run` works, and says in one line when the stack isn't up.

dbt loads every importable module whose name begins with `dbt_` and starts the plugins it lists (dbt.plugins.manager).
"""

from __future__ import annotations

import os
import warnings

from dbt.flags import get_flags
from dbt.plugins.manager import dbtPlugin
from dbt_common.exceptions import DbtRuntimeError
from pyspark.sql import SparkSession

from ingestion import IngestionError, require_spark
from local import Home

# Bytes of tables up to which compiling Java for each statement takes longer than what the compiled code saves. Without,
# a build of 5,000 messages takes 0.7 of the time, one of 120,000 takes 0.9, one of a million 2.2 times as long.
SMALL = 50_000_000

# Commands that work without a warehouse.
OFFLINE = {"parse", "list", "ls", "deps", "clean", "init", "serve"}


class LocalStack(dbtPlugin):
    """Does nothing for other targets than `local`."""

    def initialize(self) -> None:
        """Fill in what leads to the stack, where the environment doesn't say it, and see that Spark answers.

        Raises:
            DbtRuntimeError: the command needs Spark, and it isn't known where it is or nothing listens there.
        """
        flags = get_flags()  # type: ignore[no-untyped-call]
        if (getattr(flags, "TARGET", None) or os.environ.get("DBT_TARGET", "local")) != "local":
            return
        for name, value in Home.from_environment().read_env().items():
            os.environ.setdefault(name, value)
        # dbt-spark asks for Hive's catalog with each statement; a Connect server has its catalog from its start.
        warnings.filterwarnings("ignore", message="Failed to set spark.sql.catalogImplementation")
        if getattr(flags, "WHICH", None) not in OFFLINE:
            try:
                require_spark()
            except IngestionError as error:
                raise DbtRuntimeError(str(error)) from error
            if is_small(Home.from_environment()):
                interpret_statements()


def is_small(home: Home) -> bool:
    """Whether the stack's tables are small, by all their files; where these aren't here, they may be large."""
    warehouse = home.root / "warehouse"
    return warehouse.is_dir() and sum(file.stat().st_size for file in warehouse.rglob("*.parquet")) < SMALL


def interpret_statements() -> None:
    """Have Spark interpret this process's statements; dbt-spark takes the same session."""
    session = SparkSession.builder.getOrCreate()
    session.conf.set("spark.sql.codegen.wholeStage", "false")
    session.conf.set("spark.sql.codegen.factoryMode", "NO_CODEGEN")


plugins = [LocalStack]
