"""dbt's commands, by dbt's own command line; and what dbt makes of the files that are deployed."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import tempfile
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import sqlglot
from sqlglot import exp

from bundle.checks import dashboards
from bundle.deployment import Deployment
from bundle.reading import Found, KeyPath, nearest, one_line

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest


# What Databricks gives a task's dbt, and no other variables of its kind.
GIVEN = {"DBT_HOST": "localhost", "DBT_ACCESS_TOKEN": "none"}


@dataclass(frozen=True)
class Command:
    """One of a task's dbt commands.

    Attributes:
        path: where it is written.
        target: of profiles.yml.
        variables: of `--vars`.
    """

    path: KeyPath
    target: str | None
    variables: dict[str, Any]


class Refused(Exception):
    """dbt doesn't take it. The message is one line."""


def check_dbt_tasks(deployment: Deployment) -> Iterator[Found]:
    """The project is where a task says, dbt is installed there, and its commands run."""
    for task in deployment.tasks():
        dbt = task.settings.get("dbt_task")
        if dbt is None:
            continue
        path = (*task.path, "dbt_task")
        project = dbt.get("project_directory", ".")
        profiles = dbt.get("profiles_directory", ".")
        folder = deployment.bundle.beside((*path, "project_directory"), project)
        if not (folder / "dbt_project.yml").is_file():
            yield (*path, "project_directory"), f"no dbt_project.yml is in {project}"
        elif not (folder / profiles / "profiles.yml").is_file():
            yield (*path, "profiles_directory"), f"no profiles.yml is in {profiles}"
        installed = {re.split(r"[^\w.-]", one)[0] for one in task.dependencies}
        for needed in ("dbt-core", "dbt-databricks"):
            # Where the environment isn't there, that is what is wrong.
            if task.dependencies and needed not in installed:
                yield task.path, f"{needed} is not among the dependencies of the task's environment"
        for index, words in enumerate(dbt.get("commands") or []):
            try:
                command = read_command((*path, "commands", index), words)
            except Refused as error:
                yield (*path, "commands", index), str(error)
            else:
                yield from check_command(deployment, command)


def read_command(path: KeyPath, command: str) -> Command:
    """A command as dbt's own command line reads it.

    Raises:
        Refused: it doesn't.
    """
    import click
    from dbt.cli.flags import args_to_context
    from dbt_common.events.event_manager_client import cleanup_event_logger

    try:
        words = shlex.split(command)
    except ValueError as error:
        raise Refused(f"{command!r} doesn't parse: {error}") from error
    if words[:1] != ["dbt"]:
        raise Refused(f"{command!r} doesn't begin with dbt")
    # What is wrong with --vars it would print as well.
    cleanup_event_logger()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            options = args_to_context(words[1:]).params
    except (click.exceptions.Exit, click.exceptions.NoArgsIsHelpError, IndexError) as error:
        # An IndexError is what args_to_context makes of `dbt docs` alone.
        raise Refused(f"{command!r} only tells how dbt is used") from error
    except click.ClickException as error:
        raise Refused(f"dbt doesn't take it: {one_line(error.format_message())}") from error
    return Command(path, options.get("target"), options.get("vars") or {})


def check_command(deployment: Deployment, command: Command) -> Iterator[Found]:
    """Its target is one of Databricks, and its variables are read."""
    project, target = deployment.project, command.target
    if target is None:
        yield command.path, f"--target is missing; {nearest('', project.dbt_targets)}"
    elif target not in project.dbt_targets:
        yield command.path, f"profiles.yml has no target {target}; {nearest(target, project.dbt_targets)}"
    elif project.dbt_targets[target]["type"] != "databricks":
        yield command.path, f"the target {target} of profiles.yml is not for Databricks"
    known = {*project.dbt_project.get("vars", {}), *re.findall(r"\bvar\(\s*'(\w+)'", project.profiles)}
    for name in command.variables:
        if name not in known:
            neither = "neither dbt_project.yml nor profiles.yml reads the variable"
            yield command.path, f"{neither} {name}; {nearest(name, known)}"


def commands_of(deployment: Deployment) -> list[Command]:
    """The first command of each kind that reads the project in a way of its own."""
    commands = [
        read_command((*task.path, "dbt_task", "commands", index), words)
        for task in deployment.tasks()
        for index, words in enumerate((task.settings.get("dbt_task") or {}).get("commands") or [])
    ]
    return list({f"{one.target} {one.variables}": one for one in reversed(commands)}.values())


def check_with_dbt(deployment: Deployment) -> Iterator[Found]:
    """dbt can log in, it can read what is deployed, and it and the bundle mean the same schemas and tables."""
    for command in commands_of(deployment):
        try:
            log_in(deployment, command)
            manifest = parse(deployment, command)
        except Refused as error:
            yield command.path, str(error)
        else:
            yield from check_schemas(deployment, command.path, manifest)
            yield from check_alerts(deployment, manifest)
            yield from dashboards.check_tables(deployment, manifest)


def log_in(deployment: Deployment, command: Command) -> None:
    """Have dbt fill in its profile from what it is given, short of logging in.

    Raises:
        Refused: something is missing, or isn't read.
    """
    from dbt.config.runtime import load_profile
    from dbt.flags import set_from_args
    from dbt_common.context import set_invocation_context
    from dbt_common.exceptions import DbtBaseException

    root = str(deployment.project.root)
    set_invocation_context(GIVEN)
    set_from_args(Namespace(PROFILES_DIR=root), None)
    try:
        login: Any = load_profile(root, command.variables, target_override=command.target).credentials
    except DbtBaseException as error:
        raise Refused(f"dbt can't read profiles.yml: {one_line(error)}") from error
    for name, read in {"DBT_HOST": login.host, "DBT_ACCESS_TOKEN": login.token}.items():
        if read != GIVEN[name]:
            raise Refused(f"profiles.yml doesn't read {name}, which is what Databricks gives")


def parse(deployment: Deployment, command: Command) -> Manifest:
    """What dbt makes of a copy of the deployed files, with a task's `--vars` and what Databricks gives.

    Raises:
        Refused: it can't read them.
    """
    from dbt.cli.main import dbtRunner

    foreign = ("DBT_", "DATABRICKS_", "SPARK_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    silent = ("--log-level", "none", "--log-level-file", "none")
    options = ("--no-write-json", "--target", str(command.target), "--vars", json.dumps(command.variables))
    with tempfile.TemporaryDirectory() as folder:
        for file in deployment.project.deployed(deployment.exclude()):
            copy = Path(folder, file)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(deployment.project.root / file, copy)
        with contextlib.chdir(folder), mock.patch.dict(os.environ, environment | GIVEN, clear=True):
            done = dbtRunner().invoke([*silent, "parse", *options])
    if done.exception:
        raise Refused(f"dbt can't read what is deployed: {one_line(done.exception)}")
    return done.result  # type: ignore[return-value]


def check_schemas(deployment: Deployment, path: KeyPath, manifest: Manifest) -> Iterator[Found]:
    """dbt writes to schemas that the bundle makes, and reads Bronze where the bundle lets it land."""
    known = {
        f"{one['catalog_name']}.{deployment.prefix}{one['name']}" for one in deployment.resources("schemas").values()
    }
    nodes = [node for node in manifest.nodes.values() if node.resource_type in ("model", "seed", "snapshot")]
    others = sorted({f"{node.database}.{node.schema}" for node in [*nodes, *manifest.sources.values()]} - known)
    if others:
        made = "dbt means schemas that the bundle doesn't make"
        yield path, f"{made}, {', '.join(others)}; {nearest(others[0], known)}"


def check_alerts(deployment: Deployment, manifest: Manifest) -> Iterator[Found]:
    """An alert's query is SQL of Databricks, on tables that dbt knows, with the column that is looked at."""
    nodes = [*manifest.nodes.values(), *manifest.sources.values()]
    known = {f"{node.database}.{node.schema}.{node.identifier}" for node in nodes}
    for name, alert in deployment.resources("alerts").items():
        path = ("resources", "alerts", name)
        try:
            query = sqlglot.parse_one(alert["query_text"], into=exp.Select, dialect="databricks")
        except sqlglot.errors.ParseError as error:
            yield (*path, "query_text"), f"the query isn't SQL: {one_line(error.errors[0]['description'])}"
            continue
        for table in query.find_all(exp.Table):
            if table.sql() not in known:
                yield (*path, "query_text"), f"dbt knows no table {table.sql()}; {nearest(table.sql(), known)}"
        column, columns = alert["evaluation"]["source"]["name"], query.named_selects
        if column not in columns:
            where = (*path, "evaluation", "source", "name")
            yield where, f"the query has no column {column}; {nearest(column, columns)}"
