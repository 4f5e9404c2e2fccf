"""All checks, in the order in which one presupposes another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from bundle.checks import dashboards, dbt, files, names, policy, shape, tasks
from bundle.deployment import Circular, Deployment
from bundle.project import Project
from bundle.reading import Bundle, Found, Unreadable

# Each needs what is before it to be right: a misspelt reference, say, leaves a variable unused, and is one fault.
AS_WRITTEN: list[Callable[[Bundle], Iterator[Found]]] = [
    shape.check_shape,
    names.check_references,
    policy.check_secrets,
    names.check_variables,
    policy.check_targets,
]
AS_DEPLOYED: list[Callable[[Deployment], Iterator[Found]]] = [
    policy.check_permissions,
    files.check_builds,
    files.check_sync,
    files.check_environments,
    tasks.check_tasks,
    tasks.check_environments_of_tasks,
    tasks.check_volumes,
    tasks.check_wheel_tasks,
    dbt.check_dbt_tasks,
    dashboards.check_dashboards,
]


def check(root: Path) -> list[str]:
    """What can be seen in a moment: a line for each problem, in the order of the files."""
    try:
        bundle = Bundle(root)
    except Unreadable as error:
        return [str(error)]
    for as_written in AS_WRITTEN:
        if found := bundle.lines(as_written(bundle)):
            return found
    return (
        bundle.lines(policy.check_cli_version(bundle, Project(root)))
        or each_target(bundle, [shape.check_resolved_shape])
        or each_target(bundle, AS_DEPLOYED)
    )


def check_with_dbt(root: Path) -> list[str]:
    """What dbt says of what is deployed, where `check` found nothing. It takes a minute."""
    return each_target(Bundle(root), [dbt.check_with_dbt])


def each_target(bundle: Bundle, checks: Iterable[Callable[[Deployment], Iterator[Found]]]) -> list[str]:
    """A line for each problem of any target."""
    project = Project(bundle.root)
    found: dict[Found, None] = {}
    for target in bundle.targets:
        # What is wrong in one target is mostly wrong in the next, and is told once.
        told = {path for path, _ in found}
        try:
            deployment = Deployment(bundle, project, target)
        except Circular as error:
            return bundle.lines([(("variables", str(error).removeprefix("var.")), f"${{{error}}} refers to itself")])
        problems = [problem for check in checks for problem in check(deployment)]
        found |= dict.fromkeys(problem for problem in problems if problem[0] not in told)
    return bundle.lines(found)
