"""Keys, types and values: as they are written, and as they are once variables have values."""

from __future__ import annotations

import difflib
import re
import typing
from collections.abc import Iterator
from typing import Any

from bundle.deployment import Deployment
from bundle.mappings import Root, is_mapping, keys_of, plain, required_of, resource_kinds, values_of
from bundle.reading import REFERENCE, Bundle, Found, KeyPath, nearest

NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false", list: "a list"}
NUMBERS = {int: r"-?\d+", float: r"-?\d+(\.\d+)?"}


def check_shape(bundle: Bundle) -> Iterator[Found]:
    """Unknown keys, missing ones, wrong types and values, as written."""
    yield from shape(bundle.config, Root, ())


def check_resolved_shape(deployment: Deployment) -> Iterator[Found]:
    """The same for the values of variables, and what the package's own models say of each resource."""
    kinds = keys_of(Root)
    found = [
        problem
        for block, value in deployment.config.items()
        for problem in shape(value, kinds[block], (block,), resolved=True)
    ]
    yield from found
    for kind, named in (deployment.config.get("resources") or {}).items() if not found else ():
        for name, resource in named.items():
            try:
                resource_kinds()[kind].from_dict(resource).as_dict()
            except (ValueError, TypeError, KeyError) as error:
                yield ("resources", kind, name), f"databricks-bundles refuses it: {error}"


def shape(value: Any, kind: Any, path: KeyPath, *, resolved: bool = False) -> Iterator[Found]:
    """Where a value isn't what its type allows.

    Args:
        value: as read.
        kind: a mapping whose keys are known, or the type of one of its keys.
        path: where it is.
        resolved: references have been replaced: text is a number where a number is wanted, as the CLI takes it.
    """
    kind = plain(kind)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any or (isinstance(value, str) and REFERENCE.search(value)):
        return
    if value is None:
        yield path, "there is nothing here"
    elif (is_mapping(kind) or origin is dict) and not isinstance(value, dict):
        yield path, "expected a mapping"
    elif is_mapping(kind):
        yield from keys(value, kind, path, resolved=resolved)
    elif origin is dict:
        for key, item in value.items():
            yield from shape(item, inner[1], (*path, key), resolved=resolved)
    elif origin is list and isinstance(value, list):
        for index, item in enumerate(value):
            yield from shape(item, inner[0], (*path, index), resolved=resolved)
    elif (allowed := values_of(kind)) is not None:
        if value not in allowed:
            yield path, f"{value!r} is not one of its values; {nearest(str(value), allowed)}"
    elif not is_a(value, kind, resolved=resolved):
        yield path, f"expected {NAMES[origin or kind]}, not {value!r}"


def keys(value: dict[str, Any], kind: Any, path: KeyPath, *, resolved: bool) -> Iterator[Found]:
    """The same for a mapping: unknown keys, missing ones, and what the others hold."""
    known = keys_of(kind)
    misspelt = set[str]()
    for key, item in value.items():
        if key in known:
            yield from shape(item, known[key], (*path, key), resolved=resolved)
        else:
            yield (*path, key), f"no such key here; {nearest(key, known)}"
            misspelt.update(difflib.get_close_matches(key, known, n=1))
    # A target says only what differs.
    if path[:1] == ("targets",) and path[2:3] in (("bundle",), ("artifacts",), ("resources",)):
        return
    for key in required_of(kind):
        if key not in value and key not in misspelt:
            yield path, f"{key} is missing"


def is_a(value: Any, kind: Any, *, resolved: bool) -> bool:
    """Whether a single value is of a type."""
    if kind not in (str, int, float, bool) or isinstance(value, dict | list):
        return False
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return True
    if kind is float and isinstance(value, int):
        return True
    return resolved and (kind is str or re.fullmatch(NUMBERS.get(kind, r"(?!)"), str(value)) is not None)
