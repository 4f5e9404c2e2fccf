"""What must never be written, and what production must say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from packaging.specifiers import SpecifierSet

from bundle.deployment import Deployment
from bundle.project import Project
from bundle.reading import REFERENCE, Bundle, Found, show, strings

SECRETS = {
    "a personal access token": re.compile(r"\bdapi[0-9a-f]{32}\b"),
    "an OAuth secret": re.compile(r"\bdose[0-9a-f]{32}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a password": re.compile(r"(?i)(password|passwd|secret|token|api[_.-]?key)\s*[=:]\s*(?!\$\{)\S{6,}"),
}


def check_secrets(bundle: Bundle) -> Iterator[Found]:
    """A secret belongs in the secret scope: what is in a file is read by whoever may look at the repository."""
    for path, text in strings(bundle.config):
        said = f"{show(path).removesuffix('.default')}={text}"
        for kind, pattern in SECRETS.items():
            if path[-1] not in ("description", "comment") and pattern.search(said):
                yield path, f"{kind} is written here; put it into the secret scope, and renew it"
                break


def check_targets(bundle: Bundle) -> Iterator[Found]:
    """One target is the default and a developer's own; production says who runs it, who sees it and where it is."""
    default = [name for name, target in bundle.targets.items() if target.get("default") is True]
    if len(default) != 1:
        yield ("targets",), f"exactly one target must be the default, not {', '.join(default) or 'none'}"
    for name in default:
        if bundle.targets[name].get("mode") != "development":
            path = ("targets", name, "mode")
            yield path, "the default target must be of mode development: a slip must not deploy production"
    for name, target in bundle.targets.items():
        if target.get("mode") == "production":
            yield from check_production(bundle, name)


def check_production(bundle: Bundle, name: str) -> Iterator[Found]:
    """Who runs and sees it is said at deployment."""
    path, target = ("targets", name), bundle.targets[name]
    if not (target.get("workspace") or {}).get("root_path"):
        yield path, "workspace.root_path is missing: production must be one place, whoever deploys"
    if not target.get("permissions"):
        yield path, "permissions is missing: nobody but who deploys could see the job"
    if list(target.get("run_as") or {}) != ["service_principal_name"]:
        yield path, "run_as.service_principal_name is missing: production must not run as a person"
    given = {f"var.{one}" for one, variable in bundle.variables.items() if not {"default", "lookup"} & variable.keys()}
    given -= {f"var.{one}" for one in target.get("variables") or {}}
    for where, text in strings({key: target.get(key) for key in ("run_as", "permissions")}, path):
        reference = REFERENCE.fullmatch(text)
        if where[-1] != "level" and not (reference and reference[1] in given):
            told = "who may run and see production is said at deployment"
            yield where, f"must be a variable without a default: {told}"


def check_permissions(deployment: Deployment) -> Iterator[Found]:
    """Each principal has one permission on a resource. The CLI adds those of the target to what a resource says."""
    of_all = [_principal(entry) for entry in deployment.config.get("permissions") or []]
    for kind, resources in (deployment.config.get("resources") or {}).items():
        for name, resource in resources.items():
            own = [_principal(entry) for entry in (resource or {}).get("permissions") or []]
            for principal in dict.fromkeys(own):
                if principal in of_all:
                    told = f"here, and by the permissions of {deployment.target}"
                    yield ("resources", kind, name), f"{principal} has a permission twice: {told}"
                elif own.count(principal) > 1:
                    yield ("resources", kind, name), f"{principal} has a permission twice here"


def _principal(entry: dict[str, Any]) -> str:
    """Who a permission is for, a user, a group or a service principal."""
    return next((str(value) for key, value in sorted(entry.items()) if key != "level"), "nobody")


def check_cli_version(bundle: Bundle, project: Project) -> Iterator[Found]:
    """The release that the models are of must be admitted."""
    wanted = str(bundle.config["bundle"].get("databricks_cli_version", ""))
    locked = project.locked["databricks-bundles"]
    if locked not in SpecifierSet(wanted):
        yield ("bundle", "databricks_cli_version"), f"{wanted} leaves out {locked}, by which this is checked"
