"""The bundle as it is deployed to one of its targets: overrides laid on, values put for references."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bundle.project import Project
from bundle.reading import REFERENCE, Bundle, KeyPath, merged

# Who deploys is known at deployment only; this stands for them.
SOMEONE = "someone"
CURRENT_USER = ("short_name", "userName", "domain_friendly_name", "id")
OVERRIDES = ("bundle", "workspace", "artifacts", "resources", "run_as", "sync", "permissions", "presets")


class Circular(Exception):
    """A value refers to itself; holds the reference."""


@dataclass(frozen=True)
class Task:
    """A task of a job.

    Attributes:
        path: where it is.
        settings: what it says.
        job: what its job says.
    """

    path: KeyPath
    settings: dict[str, Any]
    job: dict[str, Any]

    @property
    def dependencies(self) -> list[str]:
        """What is installed where it runs."""
        return environments_of(self.job).get(self.settings.get("environment_key", ""), [])


def environments_of(job: dict[str, Any]) -> dict[str, list[str]]:
    """The dependencies of each of a job's environments."""
    environments = job.get("environments") or []
    return {one["environment_key"]: (one.get("spec") or {}).get("dependencies") or [] for one in environments}


class Deployment:
    """The bundle as deployed to a target.

    Attributes:
        config: with samples for what only deployment knows.

    Raises:
        Circular: a value refers to itself.
    """

    def __init__(self, bundle: Bundle, project: Project, target: str) -> None:
        self.bundle = bundle
        self.project = project
        self.target = target
        chosen = bundle.targets[target]
        laid = {key: value for key, value in bundle.config.items() if key not in ("targets", "variables", "include")}
        laid |= {key: merged(laid.get(key), chosen[key]) for key in OVERRIDES if key in chosen}
        self._laid = laid
        self.config: dict[str, Any] = self._value(laid, ())

    @property
    def prefix(self) -> str:
        """What development mode puts before the name of a schema (the CLI's apply_presets.go)."""
        return f"dev_{SOMEONE}_" if self.bundle.targets[self.target].get("mode") == "development" else ""

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """The resources of a kind, by their keys."""
        return (self.config.get("resources") or {}).get(kind) or {}

    def tasks(self) -> Iterator[Task]:
        """Each task of each job."""
        for name, job in self.resources("jobs").items():
            for index, settings in enumerate(job.get("tasks") or []):
                yield Task(("resources", "jobs", name, "tasks", index), settings, job)

    def exclude(self) -> list[str]:
        """What `sync` leaves out."""
        return (self.config.get("sync") or {}).get("exclude") or []

    def _value(self, value: Any, within: tuple[str, ...]) -> Any:
        """The value without references; one that is nothing but a reference keeps the type of what it refers to."""
        if isinstance(value, dict):
            return {key: self._value(item, within) for key, item in value.items()}
        if isinstance(value, list):
            return [self._value(item, within) for item in value]
        if not isinstance(value, str):
            return value
        if whole := REFERENCE.fullmatch(value):
            return self._referred(whole[1], within)
        return REFERENCE.sub(lambda found: str(self._referred(found[1], within)), value)

    def _referred(self, reference: str, within: tuple[str, ...]) -> Any:
        """What a reference stands for."""
        if reference in within:
            raise Circular(reference)
        begin, *rest = reference.split(".")
        if reference == "bundle.target":
            return self.target
        if rest[0] == "current_user":
            return SOMEONE
        if begin == "var":
            given = self.bundle.targets[self.target].get("variables") or {}
            found = given.get(rest[0], self.bundle.variables[rest[0]].get("default"))
        else:
            found = self._laid
            for key in (begin, *rest):
                found = (found or {}).get(key)
        if found is None:
            # Only deployment knows; its own name stands for it.
            return "-".join(rest).replace("_", "-")
        value = self._value(found, (*within, reference))
        return f"{self.prefix}{value}" if rest[:1] == ["schemas"] and rest[-1] == "name" else value
