"""`python -m bundle [FOLDER]`: print each problem; exit code 1 if there is one."""

from __future__ import annotations

import sys
from pathlib import Path

from bundle import check, check_with_dbt


def main(arguments: list[str]) -> None:
    """Check the project in a folder, or else this one."""
    root = Path(*arguments).resolve()
    if problems := check(root) or check_with_dbt(root):
        sys.exit("\n".join(problems))
    print("databricks.yml and resources/: nothing wrong that can be seen without a workspace.")


if __name__ == "__main__":
    main(sys.argv[1:])
