"""The project that the bundle deploys: its wheel, its locked versions, its files."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pathspec
import yaml
from packaging.utils import canonicalize_name

# dbt reads these from its folders, and these files beside them.
DBT_SUFFIXES = {".sql", ".yml", ".yaml", ".md", ".csv"}
DBT_FILES = {"dbt_project.yml", "profiles.yml", "selectors.yml", ".dbtignore"}


class Project:
    """The files of the project in a folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def pyproject(self) -> dict[str, Any]:
        """`[project]` of pyproject.toml."""
        found: dict[str, Any] = tomllib.loads((self.root / "pyproject.toml").read_text())["project"]
        return found

    @property
    def wheel(self) -> str:
        """The name of the file that a build makes."""
        return f"{self.pyproject['name'].replace('-', '_')}-{self.pyproject['version']}-py3-none-any.whl"

    @cached_property
    def locked(self) -> dict[str, str]:
        """Versions in requirements.lock, by name."""
        text = (self.root / "requirements.lock").read_text()
        pairs = re.findall(r"^([\w.-]+)(?:\[[^]]*\])?==(\S+)", text, flags=re.MULTILINE)
        return {canonicalize_name(name): version for name, version in pairs}

    @cached_property
    def dbt_project(self) -> dict[str, Any]:
        """dbt_project.yml."""
        found: dict[str, Any] = yaml.load((self.root / "dbt_project.yml").read_text(), yaml.CSafeLoader)
        return found

    @cached_property
    def profiles(self) -> str:
        """profiles.yml."""
        return (self.root / "profiles.yml").read_text()

    @cached_property
    def dbt_targets(self) -> dict[str, Any]:
        """The targets of profiles.yml."""
        found: dict[str, Any] = yaml.load(self.profiles, yaml.CSafeLoader)[self.dbt_project["profile"]]["outputs"]
        return found

    @cached_property
    def files(self) -> list[str]:
        """All that git doesn't ignore."""
        return sorted(
            self._walk(pathspec.GitIgnoreSpec.from_lines((self.root / ".gitignore").read_text().splitlines()))
        )

    def _walk(self, ignored: pathspec.GitIgnoreSpec) -> Iterator[str]:
        for folder, folders, files in os.walk(self.root):
            at = Path(folder).relative_to(self.root)
            folders[:] = [
                name for name in folders if name != ".git" and not ignored.match_file(f"{(at / name).as_posix()}/")
            ]
            yield from (path for name in files if not ignored.match_file(path := (at / name).as_posix()))

    def deployed(self, exclude: Iterable[str]) -> list[str]:
        """What `bundle deploy` copies into the workspace: all that neither git nor `sync.exclude` leaves out."""
        excluded = pathspec.GitIgnoreSpec.from_lines(exclude)
        return [file for file in self.files if not excluded.match_file(file)]

    @cached_property
    def read_by_dbt(self) -> list[str]:
        """What dbt reads."""
        folders = {folder for key, paths in self.dbt_project.items() if key.endswith("-paths") for folder in paths}
        ignored = pathspec.GitIgnoreSpec.from_lines((self.root / ".dbtignore").read_text().splitlines())
        return [
            file
            for file in self.files
            if file in DBT_FILES
            or (file.split("/")[0] in folders and Path(file).suffix in DBT_SUFFIXES and not ignored.match_file(file))
        ]
