"""What is wrong with databricks.yml and resources/, told without a workspace: one line for each problem.

`make bundle-check` runs it. Beyond the CLI's own validation, what the bundle names is looked up: files, the wheel's
entry point and its options, dbt's commands, targets and variables, versions, tables and schemas. What a workspace alone
knows (names that are taken, rights, what a warehouse answers) is not seen here.
"""

from bundle.checks import check, check_with_dbt

__all__ = ["check", "check_with_dbt"]
