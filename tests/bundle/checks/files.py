"""What is built, what is installed and what is deployed."""

from __future__ import annotations

import fnmatch
import os
import shlex
import shutil
import sysconfig
from collections.abc import Iterator

import pathspec
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from bundle.deployment import Deployment
from bundle.reading import Found, KeyPath, nearest


def check_builds(deployment: Deployment) -> Iterator[Found]:
    """There is something to build each artifact."""
    search = os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")])
    for name, artifact in (deployment.config.get("artifacts") or {}).items():
        (command, *_) = [*shlex.split(artifact.get("build", "")), ""]
        if command and not shutil.which(command, path=search):
            yield ("artifacts", name, "build"), f"there is no command {command}"


def check_sync(deployment: Deployment) -> Iterator[Found]:
    """What dbt reads is deployed and nothing else, and each pattern leaves something out."""
    project, exclude = deployment.project, deployment.exclude()
    for index, pattern in enumerate(pathspec.GitIgnoreSpec.from_lines(exclude).patterns):
        if not any(pattern.match_file(file) for file in project.files):
            yield ("sync", "exclude", index), f"nothing is named {exclude[index]}"
    deployed = project.deployed(exclude)
    for needless in first_of_each_folder({*deployed} - {*project.read_by_dbt}):
        yield ("sync", "exclude"), f"{needless} would be deployed, and dbt doesn't read it: exclude it"
    for missing in first_of_each_folder({*project.read_by_dbt} - {*deployed}):
        yield ("sync", "exclude"), f"{missing} would not be deployed, and dbt reads it"


def first_of_each_folder(files: set[str]) -> list[str]:
    """One pattern leaves out a whole folder, or takes it in: it is one problem."""
    return list({file.split("/")[0]: file for file in sorted(files, reverse=True)}.values())


def check_environments(deployment: Deployment) -> Iterator[Found]:
    """Dependencies are the project's wheel, or the versions of requirements.lock."""
    for name, job in deployment.resources("jobs").items():
        for index, environment in enumerate(job.get("environments") or []):
            path = ("resources", "jobs", name, "environments", index, "spec", "dependencies")
            for number, dependency in enumerate((environment.get("spec") or {}).get("dependencies") or []):
                if problem := wrong_dependency(deployment, (*path, number), dependency):
                    yield (*path, number), problem


def wrong_dependency(deployment: Deployment, path: KeyPath, dependency: str) -> str | None:
    """What is wrong with a dependency; None is nothing."""
    project = deployment.project
    if "/" in dependency:
        file = deployment.bundle.beside(path, dependency)
        built = file.parent.resolve() == (project.root / "dist").resolve()
        if not built or not fnmatch.fnmatch(project.wheel, file.name):
            return f"no build makes {dependency}: it makes dist/{project.wheel}"
        return None
    try:
        wanted = Requirement(dependency)
    except InvalidRequirement:
        return f"{dependency!r} is no requirement: write name==version"
    locked = project.locked.get(canonicalize_name(wanted.name))
    if locked is None:
        return f"{wanted.name} is not in requirements.lock; {nearest(wanted.name, project.locked)}"
    if str(wanted.specifier) != f"=={locked}":
        return f"requirements.lock has {wanted.name}=={locked}, not {dependency}"
    return None
