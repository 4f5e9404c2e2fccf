"""The keys of databricks.yml and what each may hold.

What a resource may say comes from Databricks' own package databricks-bundles, whose models are made from the schema of
the CLI release of the same number. The mappings around the resources are not in it: they are written down here from
https://docs.databricks.com/dev-tools/bundles/reference and the CLI's source, bundle/config/*.go.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
import types
import typing
from enum import Enum
from functools import cache
from typing import Any, Literal, Required, TypedDict

from databricks.bundles.core import Resources, Variable
from databricks.bundles.jobs import JobRunAs


class Git(TypedDict, total=False):
    """`bundle.git`."""

    branch: str
    origin_url: str


class Lock(TypedDict, total=False):
    """`bundle.deployment.lock`."""

    enabled: bool
    force: bool


class Deployment(TypedDict, total=False):
    """`bundle.deployment`."""

    fail_on_active_runs: bool
    lock: Lock


class BundleBlock(TypedDict, total=False):
    """`bundle`."""

    name: Required[str]
    cluster_id: str
    databricks_cli_version: str
    deployment: Deployment
    git: Git
    uuid: str


class ArtifactFile(TypedDict, total=False):
    """`artifacts.<name>.files[]`."""

    source: Required[str]


class Artifact(TypedDict, total=False):
    """`artifacts.<name>`."""

    type: Literal["whl", "jar"]
    build: str
    path: str
    files: list[ArtifactFile]
    executable: str
    dynamic_version: bool


class Sync(TypedDict, total=False):
    """`sync`."""

    paths: list[str]
    include: list[str]
    exclude: list[str]


class Permission(TypedDict, total=False):
    """`permissions[]`."""

    level: Required[Literal["CAN_MANAGE", "CAN_VIEW", "CAN_RUN"]]
    user_name: str
    group_name: str
    service_principal_name: str


class Presets(TypedDict, total=False):
    """`presets`."""

    name_prefix: str
    trigger_pause_status: Literal["PAUSED", "UNPAUSED"]
    jobs_max_concurrent_runs: int
    pipelines_development: bool
    source_linked_deployment: bool
    artifacts_dynamic_version: bool
    tags: dict[str, str]


class Workspace(TypedDict, total=False):
    """`workspace`."""

    host: str
    profile: str
    auth_type: str
    client_id: str
    account_id: str
    workspace_id: str
    google_service_account: str
    azure_workspace_resource_id: str
    azure_client_id: str
    azure_tenant_id: str
    azure_environment: str
    azure_login_app_id: str
    azure_use_msi: bool
    root_path: str
    file_path: str
    resource_path: str
    artifact_path: str
    state_path: str


class Lookup(TypedDict, total=False):
    """`variables.<name>.lookup`."""

    alert: str
    cluster: str
    cluster_policy: str
    dashboard: str
    instance_pool: str
    job: str
    metastore: str
    notification_destination: str
    pipeline: str
    query: str
    service_principal: str
    warehouse: str


class VariableBlock(TypedDict, total=False):
    """`variables.<name>`."""

    description: str
    default: Any
    type: Literal["complex"]
    lookup: Lookup


class Target(TypedDict, total=False):
    """`targets.<name>`."""

    default: bool
    mode: Literal["development", "production"]
    cluster_id: str
    bundle: BundleBlock
    workspace: Workspace
    artifacts: dict[str, Artifact]
    resources: Resources
    variables: dict[str, Any]
    git: Git
    run_as: JobRunAs
    sync: Sync
    permissions: list[Permission]
    presets: Presets


class Script(TypedDict, total=False):
    """`scripts.<name>`."""

    content: Required[str]


class Root(TypedDict, total=False):
    """databricks.yml, and each file that it includes."""

    bundle: Required[BundleBlock]
    targets: Required[dict[str, Target]]
    include: list[str]
    workspace: Workspace
    artifacts: dict[str, Artifact]
    resources: Resources
    variables: dict[str, VariableBlock]
    run_as: JobRunAs
    sync: Sync
    permissions: list[Permission]
    presets: Presets
    scripts: dict[str, Script]
    python: dict[str, Any]
    experimental: dict[str, Any]


@cache
def resource_kinds() -> dict[str, Any]:
    """Each key under `resources` and its model, by the package's collection of resources."""
    kinds = {}
    for part in Resources.__mro__:
        for name, member in vars(part).items():
            if isinstance(member, property) and name != "diagnostics":
                # `dict[str, "Job"]`: the class is imported for type checkers alone, from the package of the kind.
                (model,) = re.findall(r"\w+(?=['\"]?\]$)", str(member.fget.__annotations__["return"]))
                kinds[name] = getattr(importlib.import_module(f"databricks.bundles.{name}"), model)
    return kinds


def is_mapping(kind: Any) -> bool:
    """Whether it is a mapping whose keys are known."""
    return kind is Resources or typing.is_typeddict(kind) or (isinstance(kind, type) and dataclasses.is_dataclass(kind))


@cache
def keys_of(mapping: Any) -> dict[str, Any]:
    """Its keys and what each may hold."""
    if mapping is Resources:
        return {name: dict[str, model] for name, model in resource_kinds().items()}  # type: ignore[valid-type]
    return {key: plain(kind) for key, kind in typing.get_type_hints(mapping).items()}


@cache
def required_of(mapping: Any) -> list[str]:
    """Its keys that must be there."""
    if dataclasses.is_dataclass(mapping):
        nothing = dataclasses.MISSING
        return [
            one.name for one in dataclasses.fields(mapping) if one.default is nothing and one.default_factory is nothing
        ]
    hints = typing.get_type_hints(mapping, include_extras=True)
    return [key for key, kind in hints.items() if typing.get_origin(kind) is Required]


def plain(kind: Any) -> Any:
    """A type of the package's models without its alternatives: a reference, and nothing."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind, *_) = (
            one
            for one in typing.get_args(kind)
            if one is not type(None) and Variable not in (one, typing.get_origin(one))
        )
    return kind


def values_of(kind: Any) -> list[str] | None:
    """All values that there are; None is any."""
    if typing.get_origin(kind) is Literal:
        return list(typing.get_args(kind))
    return [one.value for one in kind] if isinstance(kind, type) and issubclass(kind, Enum) else None
