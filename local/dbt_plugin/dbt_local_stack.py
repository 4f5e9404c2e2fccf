"""Leads dbt to the embedded stack, so that plain `dbt run` works, and says in one line when the stack isn't up.

dbt loads every importable module whose name begins with `dbt_` and starts the plugins it lists (dbt.plugins.manager).
"""

from __future__ import annotations

import os
import warnings

from dbt.flags import get_flags
from dbt.plugins.manager import dbtPlugin
from dbt_common.exceptions import DbtRuntimeError

from ingestion import IngestionError, require_spark
from local import Home

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


plugins = [LocalStack]
