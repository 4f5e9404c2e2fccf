"""References, and the variables that they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from bundle.deployment import CURRENT_USER
from bundle.mappings import BundleBlock, Workspace, keys_of, resource_kinds
from bundle.reading import REFERENCE, Bundle, Found, nearest, strings


def check_references(bundle: Bundle) -> Iterator[Found]:
    """References to what isn't there, and values for variables that aren't."""
    for path, text in strings(bundle.config):
        for reference in REFERENCE.findall(text):
            if problem := unknown(bundle, reference):
                yield path, f"${{{reference}}}: {problem}"
    for target, chosen in bundle.targets.items():
        for name in chosen.get("variables") or {}:
            if name not in bundle.variables:
                path = ("targets", target, "variables", name)
                yield path, f"no variable is declared so; {nearest(name, bundle.variables)}"


def unknown(bundle: Bundle, reference: str) -> str | None:
    """What is wrong with a reference; None is nothing."""
    begin, _, rest = reference.partition(".")
    if begin == "var":
        known, problem = {*bundle.variables}, "no variable is declared so"
    elif begin == "bundle":
        known, problem = {*keys_of(BundleBlock), "target"}, "the bundle has no such key"
    elif begin == "workspace":
        known = {*keys_of(Workspace), *(f"current_user.{key}" for key in CURRENT_USER)}
        problem = "the workspace has no such key"
    elif begin == "resources":
        return unknown_resource(bundle.config.get("resources") or {}, *[*rest.split("."), "", ""][:3])
    else:
        rest, known, problem = begin, {"var", "bundle", "workspace", "resources"}, "references begin otherwise"
    return None if rest in known else f"{problem}; {nearest(rest, known)}"


def unknown_resource(resources: dict[str, dict[str, Any]], kind: str, name: str, key: str) -> str | None:
    """What is wrong with a reference to a resource; None is nothing."""
    if kind not in resources:
        return f"there are no {kind}; {nearest(kind, resources)}"
    if name not in resources[kind]:
        return f"no resource of {kind} is named so; {nearest(name, resources[kind])}"
    keys = {*keys_of(resource_kinds()[kind]), "id", "url"}
    return None if key in keys else f"a resource of {kind} has no {key or 'such key'}; {nearest(key, keys)}"


def check_variables(bundle: Bundle) -> Iterator[Found]:
    """Variables that nothing uses, and those that nobody can understand."""
    used = {reference for _, text in strings(bundle.config) for reference in REFERENCE.findall(text)}
    for name, variable in bundle.variables.items():
        if f"var.{name}" not in used:
            yield ("variables", name), "no reference uses it"
        if not variable.get("description"):
            yield ("variables", name), "description is missing"
