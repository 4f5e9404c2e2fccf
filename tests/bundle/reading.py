"""databricks.yml and the files that it includes, with the place of each key."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]
# What is wrong, and where.
Found = tuple[KeyPath, str]

REFERENCE = re.compile(r"(?<!\$)\$\{([^{}]*)\}")


def show(path: KeyPath) -> str:
    """`resources.jobs.x.tasks[0]`."""
    return "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path).removeprefix(".")


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of a message about a name that isn't known: what it may have been, or all that there is."""
    names = sorted({str(one) for one in known})
    close = difflib.get_close_matches(name, names, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"known: {', '.join(names)}" if names else "there is none"


def one_line(text: object) -> str:
    """A message of somebody else's, in one line."""
    return " ".join(str(text).split())


def strings(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, str]]:
    """Every text in it, with its key path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from strings(item, (*path, index))
    elif isinstance(value, str):
        yield path, value


def merged(base: Any, over: Any) -> Any:
    """`over` laid on `base` as the CLI does: mappings key by key, sequences one after the other."""
    if isinstance(base, dict) and isinstance(over, dict):
        return {key: merged(base.get(key), over[key]) if key in over else base[key] for key in {**base, **over}}
    if isinstance(base, list) and isinstance(over, list):
        return base + over
    return base if over is None else over


class Unreadable(Exception):
    """A file can't be read as YAML. The message is one line."""


def read(root: Path, file: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    """A YAML file's mapping, and the line of each key path.

    Raises:
        Unreadable: it is not there, no YAML, no mapping, or has a key twice.
    """
    places: dict[KeyPath, int] = {}
    scalars = yaml.CSafeLoader("")

    def value(node: Any, path: KeyPath) -> Any:
        places.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.SequenceNode):
            return [value(item, (*path, index)) for index, item in enumerate(node.value)]
        if not isinstance(node, yaml.MappingNode):
            return scalars.construct_object(node)
        found: dict[str, Any] = {}
        for key, item in node.value:
            line, where = key.start_mark.line + 1, (*path, key.value)
            if key.value in found:
                raise Unreadable(f"{file}:{line}: {show(where)}: the key is there twice")
            places[where] = line
            found[key.value] = value(item, where)
        return found

    try:
        node = yaml.compose((root / file).read_text(), yaml.CSafeLoader)
    except FileNotFoundError as error:
        raise Unreadable(f"{file}:1: there is no such file") from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Unreadable(f"{file}:{line}: not YAML: {error.problem}") from error
    if not isinstance(node, yaml.MappingNode):
        raise Unreadable(f"{file}:1: expected a mapping")
    return value(node, ()), places


class Bundle:
    """databricks.yml with the files that it includes.

    Attributes:
        root: its folder.
        config: everything in one mapping, as written.

    Raises:
        Unreadable: one of the files can't be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.config: dict[str, Any] = {}
        self._places: dict[KeyPath, tuple[str, int]] = {}
        self._read("databricks.yml")
        for index, pattern in enumerate(self.config.get("include", [])):
            files = sorted(path.relative_to(root).as_posix() for path in root.glob(pattern))
            if not files:
                raise Unreadable(self.line(("include", index), f"no file is named {pattern}"))
            for file in files:
                self._read(file)

    def _read(self, file: str) -> None:
        config, places = read(self.root, file)
        for path, line in places.items():
            self._places.setdefault(path, (file, line))
        self.config = merged(self.config, config)

    @property
    def targets(self) -> dict[str, dict[str, Any]]:
        """By name."""
        return {name: target or {} for name, target in (self.config.get("targets") or {}).items()}

    @property
    def variables(self) -> dict[str, dict[str, Any]]:
        """By name, as declared."""
        return {name: variable or {} for name, variable in (self.config.get("variables") or {}).items()}

    def place(self, path: KeyPath) -> tuple[str, int]:
        """File and line of a key path, or of what is nearest above it; a target's override counts as its resource."""
        for candidate in (path, *(("targets", name, *path) for name in self.targets)):
            if candidate in self._places:
                return self._places[candidate]
        return self.place(path[:-1])

    def beside(self, path: KeyPath, relative: str) -> Path:
        """A path that is written relative to the file it is written in."""
        return (self.root / self.place(path)[0]).parent / relative

    def line(self, path: KeyPath, message: str) -> str:
        """A problem as it is printed."""
        file, line = self.place(path)
        return ": ".join(filter(None, (f"{file}:{line}", show(path), message)))

    def lines(self, found: Iterable[Found]) -> list[str]:
        """Problems as they are printed, in the order of the files."""
        ordered = sorted(dict.fromkeys(found), key=lambda one: (self.place(one[0]), one[1]))
        return [self.line(path, message) for path, message in ordered]
