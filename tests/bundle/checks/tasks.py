"""Jobs: their tasks and environments, and the wheel's entry point, called as a task calls it."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import re
import types
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import databricks.bundles.jobs
from packaging.utils import canonicalize_name

from bundle.deployment import Deployment, environments_of
from bundle.mappings import keys_of
from bundle.reading import Found, nearest, one_line, strings


def check_tasks(deployment: Deployment) -> Iterator[Found]:
    """Tasks do one thing, follow tasks that are there, and run in environments that are there."""
    kinds = {key for key in keys_of(databricks.bundles.jobs.Task) if key.endswith("_task")}
    for task in deployment.tasks():
        does = kinds & task.settings.keys()
        if len(does) != 1:
            yield task.path, f"a task does one thing, not {', '.join(sorted(does)) or 'nothing'}"
        names = [one["task_key"] for one in task.job["tasks"]]
        if task.settings["task_key"] in names[: task.job["tasks"].index(task.settings)]:
            yield (*task.path, "task_key"), f"two tasks are named {task.settings['task_key']}"
        for index, before in enumerate(task.settings.get("depends_on") or []):
            if before["task_key"] not in names:
                path = (*task.path, "depends_on", index, "task_key")
                yield path, f"no task is named {before['task_key']}; {nearest(before['task_key'], names)}"


def check_environments_of_tasks(deployment: Deployment) -> Iterator[Found]:
    """Tasks run in environments that are there; an environment has a task that runs in it."""
    for name, job in deployment.resources("jobs").items():
        path, known = ("resources", "jobs", name), environments_of(job)
        used = {index: task.get("environment_key") for index, task in enumerate(job.get("tasks") or [])}
        unknown = {index: key for index, key in used.items() if key not in (None, *known)}
        for index, key in unknown.items():
            where = (*path, "tasks", index, "environment_key")
            yield where, f"no environment is named {key}; {nearest(str(key), known)}"
        for index, key in enumerate(known):
            # A misspelt one is used by nothing, and is told already.
            if key not in used.values() and not unknown:
                yield (*path, "environments", index), f"no task runs in the environment {key}"


def check_volumes(deployment: Deployment) -> Iterator[Found]:
    """Each path on a volume is on one that the bundle makes."""
    volumes = {
        f"/Volumes/{one['catalog_name']}/{one['schema_name']}/{one['name']}"
        for one in deployment.resources("volumes").values()
    }
    for path, text in strings(deployment.config):
        for found in re.findall(r"/Volumes/[^/\s]+/[^/\s]+/[^/\s]+", text):
            if found not in volumes:
                yield path, f"{found} is on no volume of the bundle; {nearest(found, volumes)}"


def check_wheel_tasks(deployment: Deployment) -> Iterator[Found]:
    """The wheel's package, its entry point, and the parameters that it is called with."""
    pyproject = deployment.project.pyproject
    scripts: dict[str, str] = pyproject.get("scripts", {})
    for task in deployment.tasks():
        wheel = task.settings.get("python_wheel_task")
        if wheel is None:
            continue
        path = (*task.path, "python_wheel_task")
        package, entry = wheel["package_name"], wheel["entry_point"]
        if canonicalize_name(package) != canonicalize_name(pyproject["name"]):
            yield (*path, "package_name"), f"the wheel's package is {pyproject['name']}, not {package}"
        if not any(one.endswith(".whl") for one in task.dependencies):
            yield path, "no wheel is among the dependencies of the task's environment"
        if entry not in scripts:
            yield (*path, "entry_point"), f"pyproject.toml has no script {entry}; {nearest(entry, scripts)}"
            continue
        module, _, function = scripts[entry].partition(":")
        try:
            call = getattr(importlib.import_module(module), function)
        except (ImportError, AttributeError) as error:
            yield (*path, "entry_point"), f"{scripts[entry]} can't be loaded: {error}"
            continue
        if problem := refused(call, [str(one) for one in wheel.get("parameters") or []]):
            yield (*path, "parameters"), f"{entry} doesn't take them: {problem}"


class Reached(BaseException):
    """The job asked Spark for something: it has all that it must be told."""


class NoSpark:
    """A session that ends the job where it would begin to work."""

    def __getattr__(self, name: str) -> Any:
        raise Reached


class AnySecret:
    """A secret scope with each credential that a login may want."""

    def list(self, scope: str) -> list[types.SimpleNamespace]:
        """Their names, as Kafka has them."""
        names = ("sasl.username", "sasl.password", "sasl.oauthbearer.client.id", "sasl.oauthbearer.client.secret")
        return [types.SimpleNamespace(key=name) for name in names]

    def get(self, scope: str, key: str) -> str:
        """Something."""
        return key


def refused(call: Callable[..., None], parameters: list[str]) -> str | None:
    """What the job says against its parameters; None is nothing.

    It runs up to the first thing that it asks of Spark, in an environment like that of serverless compute.
    """
    told = io.StringIO()
    serverless = {"DATABRICKS_RUNTIME_VERSION": "client.4"}
    try:
        with mock.patch.dict(os.environ, serverless, clear=True), contextlib.redirect_stderr(told):
            call(parameters, spark=NoSpark(), secrets=AnySecret())
    except Reached:
        return None
    except SystemExit as end:
        return one_line(end.code if isinstance(end.code, str) else told.getvalue())
    return "it ends without asking anything of Spark"
