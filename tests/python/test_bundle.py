"""databricks.yml and resources/ hold together, and each fault that one can make in them is told in one line."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bundle
import bundle.__main__
import pytest
from bundle.checks import dashboards, dbt
from bundle.deployment import Deployment
from bundle.project import Project
from bundle.reading import Bundle, read

ROOT = Path(__file__).resolve().parents[2]
JOB = "resources/bank_to_gold.job.yml"
ALERT = "resources/stale_data.alert.yml"
DASHBOARD = "resources/financial_insights.dashboard.yml"
PAGES = "dashboard/financial_insights.lvdash.json"
TASKS = "resources.jobs.bank_to_gold.tasks"
IN_PAGES = f"{DASHBOARD}: resources.dashboards.financial_insights.file_path"

PERMITTED = """\
      permissions:
        - {level: READ, service_principal_name: "${var.service_principal}"}
      name:"""
READS_ALREADY = """\
            - {level: CAN_MANAGE, group_name: "${var.readers}"}
            - level: CAN_READ
"""

Plant = Callable[[str, str, str], int]

# dbt-databricks speaks to an older Pydantic.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:dbt")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the files that git keeps."""
    copy = tmp_path_factory.mktemp("bundle")
    for file in Project(ROOT).files:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / file, copy / file)
    return copy


@pytest.fixture
def plant(copy: Path) -> Iterator[Plant]:
    """Replaces one place in a file of the copy, until the test ends; gives the line it is on."""
    originals: dict[Path, str] = {}

    def plant(file: str, old: str, new: str) -> int:
        text = (copy / file).read_text()
        originals.setdefault(copy / file, text)
        assert old in text, f"{file} has no {old!r}"
        (copy / file).write_text(text.replace(old, new, 1))
        return text[: text.index(old)].count("\n") + 1

    yield plant
    for file, text in originals.items():
        file.write_text(text)


@pytest.fixture(scope="module")
def manifest() -> Any:
    """What dbt makes of what is deployed to a developer's target, read once as it takes its time."""
    deployment = Deployment(Bundle(ROOT), Project(ROOT), "dev")
    (command,) = dbt.commands_of(deployment)
    dbt.log_in(deployment, command)
    return dbt.parse(deployment, command)


def beside_dbt(root: Path, manifest: Any) -> list[str]:
    """What the checks say that look at dbt's manifest."""
    deployment = Deployment(Bundle(root), Project(root), "dev")
    (command,) = dbt.commands_of(deployment)
    found = [
        *dbt.check_schemas(deployment, command.path, manifest),
        *dbt.check_alerts(deployment, manifest),
        *dashboards.check_tables(deployment, manifest),
    ]
    return deployment.bundle.lines(found)


def test_nothing_is_wrong_with_it() -> None:
    assert bundle.check(ROOT) == []


def test_dbt_reads_what_is_deployed_and_means_the_bundles_schemas(manifest: Any) -> None:
    """In `dev`, whose names are the bundle's doing; `make bundle-check` asks dbt for every target."""
    assert beside_dbt(ROOT, manifest) == []


FAULTS = {
    # Keys, types and values, of the mappings around resources and of resources.
    "a misspelt key of the bundle": (
        *("databricks.yml", "targets:\n", "target:\n"),
        "databricks.yml: target: no such key here; did you mean targets?",
    ),
    "a misspelt key of a target": (
        *("databricks.yml", "    mode: development", "    modus: development"),
        "databricks.yml: targets.dev.modus: no such key here; did you mean mode?",
    ),
    "a misspelt kind of resource": (
        *("resources/checkpoints.volume.yml", "  volumes:", "  volume:"),
        "resources/checkpoints.volume.yml: resources.volume: no such key here; did you mean volumes?",
    ),
    "a misspelt key of a task": (
        *(JOB, "max_retries: 2", "max_retry: 2"),
        f"{JOB}: {TASKS}[0].max_retry: no such key here; did you mean max_retries?",
    ),
    "a misspelt key in production's override": (
        *("databricks.yml", "prevent_destroy: true", "prevent_destroi: true"),
        "databricks.yml: targets.prod.resources.schemas.bronze.lifecycle.prevent_destroi: no such key here; "
        "did you mean prevent_destroy?",
    ),
    "a key that is missing": (
        *(JOB, "            entry_point: ingestion\n", ""),
        f"{JOB}: {TASKS}[0].python_wheel_task: entry_point is missing",
    ),
    "a key that is there twice": (
        *(JOB, "      name: bank_to_gold\n", "      name: bank_to_gold\n      name: gold\n"),
        f"{JOB}: resources.jobs.bank_to_gold.name: the key is there twice",
    ),
    "words for a number": (
        *(JOB, "timeout_seconds: 10800", "timeout_seconds: 3 hours"),
        f"{JOB}: resources.jobs.bank_to_gold.timeout_seconds: expected a whole number, not '3 hours'",
    ),
    "a text for a list": (
        *(JOB, "on_failure:\n          - ${var.notification_email}", "on_failure: nobody"),
        f"{JOB}: resources.jobs.bank_to_gold.email_notifications.on_failure: expected a list",
    ),
    "a value that isn't one": (
        *(JOB, "performance_target: STANDARD", "performance_target: STANDART"),
        f"{JOB}: resources.jobs.bank_to_gold.performance_target: 'STANDART' is not one of its values; "
        "did you mean STANDARD?",
    ),
    "a value that isn't one, by way of a variable": (
        *("databricks.yml", "default: UNPAUSED", "default: RUNNING"),
        f"{ALERT}: resources.alerts.stale_data.schedule.pause_status: 'RUNNING' is not one of "
        "its values; known: PAUSED, UNPAUSED",
    ),
    "a permission that the target gives already": (
        *("resources/kafka.secret_scope.yml", "      name:", PERMITTED),
        "resources/kafka.secret_scope.yml: resources.secret_scopes.kafka: service-principal has a permission twice: "
        "here, and by the permissions of prod",
    ),
    "a permission that a resource gives twice": (
        *("databricks.yml", "            - level: CAN_READ\n", READS_ALREADY),
        "resources/financial_insights.dashboard.yml: resources.dashboards.financial_insights: readers has a permission "
        "twice here",
    ),
    "another release of the CLI than this is checked by": (
        *("databricks.yml", '">=1.22.1"', '">=2"'),
        "databricks.yml: bundle.databricks_cli_version: >=2 leaves out 1.22.1, by which this is checked",
    ),
    "no YAML": (
        *(JOB, "      name: bank_to_gold\n", "      name: 'bank_to_gold\n"),
        f"{JOB}: not YAML: ",
    ),
    # References.
    "a variable that isn't declared": (
        *(JOB, "${var.schedule}", "${var.shedule}"),
        f"{JOB}: resources.jobs.bank_to_gold.schedule.quartz_cron_expression: ${{var.shedule}}: no variable is "
        "declared so; did you mean schedule?",
    ),
    "a target's value for a variable that isn't declared": (
        *("databricks.yml", "      alert_pause_status: PAUSED", "      alert_paused: PAUSED"),
        "databricks.yml: targets.dev.variables.alert_paused: no variable is declared so; did you mean "
        "alert_pause_status?",
    ),
    "a variable that nothing uses": (
        *("databricks.yml", "  topic_prefix:", "  topics:\n    description: All of them.\n  topic_prefix:"),
        "databricks.yml: variables.topics: no reference uses it",
    ),
    "a variable that nobody can understand": (
        *("databricks.yml", "    description: The group that may read Gold.\n", "    default: users\n"),
        "databricks.yml: variables.readers: description is missing",
    ),
    "a variable that refers to itself": (
        *("databricks.yml", "default: bank.public.", "default: ${var.topic_prefix}"),
        "databricks.yml: variables.topic_prefix: ${var.topic_prefix} refers to itself",
    ),
    "a resource that isn't there": (
        *(JOB, "${resources.schemas.bronze.name}", "${resources.schemas.bronce.name}"),
        f"{JOB}: {TASKS}[0].python_wheel_task.parameters[5]: ${{resources.schemas.bronce.name}}: no resource of "
        "schemas is named so; did you mean bronze?",
    ),
    "a job that isn't there": (
        *(JOB, "${bundle.target}", "${resources.jobs.gold.id}"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: ${{resources.jobs.gold.id}}: no resource of jobs is named so; "
        "known: bank_to_gold",
    ),
    "a key that a resource doesn't have": (
        *(JOB, "${resources.secret_scopes.kafka.name}", "${resources.secret_scopes.kafka.nam}"),
        f"{JOB}: {TASKS}[0].python_wheel_task.parameters[7]: ${{resources.secret_scopes.kafka.nam}}: a resource of "
        "secret_scopes has no nam; did you mean name?",
    ),
    # Files, and what is deployed.
    "a file that isn't there": (
        *("databricks.yml", "resources/*.yml", "resource/*.yml"),
        "databricks.yml: include[0]: no file is named resource/*.yml",
    ),
    "a dbt project that isn't there": (
        *(JOB, "project_directory: ..", "project_directory: ../dbt"),
        f"{JOB}: {TASKS}[1].dbt_task.project_directory: no dbt_project.yml is in ../dbt",
    ),
    "profiles that aren't there": (
        *(JOB, "project_directory: ..\n", "project_directory: ..\n            profiles_directory: profiles\n"),
        f"{JOB}: {TASKS}[1].dbt_task.profiles_directory: no profiles.yml is in profiles",
    ),
    "a wheel that no build makes": (
        *(JOB, "../dist/*.whl", "../build/*.whl"),
        f"{JOB}: resources.jobs.bank_to_gold.environments[0].spec.dependencies[0]: no build makes ../build/*.whl: it "
        "makes dist/financial_insights-0.1.0-py3-none-any.whl",
    ),
    "a build that can't be": (
        *("databricks.yml", "build: uv build", "build: uvv build"),
        "databricks.yml: artifacts.ingestion.build: there is no command uvv",
    ),
    "something that is deployed without need": (
        *("databricks.yml", "    - source/**\n", ""),
        "databricks.yml: sync.exclude: source/__init__.py would be deployed, and dbt doesn't read it: exclude it",
    ),
    "something left out that isn't there": (
        *("databricks.yml", "    - source/**\n", "    - source/**\n    - sources/**\n"),
        "databricks.yml: sync.exclude[12]: nothing is named sources/**",
    ),
    "something that is needed and left out": (
        *("databricks.yml", "    - source/**\n", "    - source/**\n    - macros/**\n"),
        "databricks.yml: sync.exclude: macros/_macros.yml would not be deployed, and dbt reads it",
    ),
    # The job.
    "an entry point that isn't there": (
        *(JOB, "entry_point: ingestion", "entry_point: ingest"),
        f"{JOB}: {TASKS}[0].python_wheel_task.entry_point: pyproject.toml has no script ingest; did you mean "
        "ingestion?",
    ),
    "an entry point that can't be loaded": (
        *("pyproject.toml", "ingestion.__main__:main", "ingestion.__main__:start"),
        f"{JOB}: {TASKS}[0].python_wheel_task.entry_point: ingestion.__main__:start can't be loaded: module "
        "'ingestion.__main__' has no attribute 'start'",
    ),
    "another package": (
        *(JOB, "package_name: financial_insights", "package_name: insights"),
        f"{JOB}: {TASKS}[0].python_wheel_task.package_name: the wheel's package is financial-insights, not insights",
    ),
    "an option that ingestion doesn't have": (
        *(JOB, "--topic-prefix=", "--topics="),
        f"{JOB}: {TASKS}[0].python_wheel_task.parameters: ingestion doesn't take them: There is no --topics. What "
        "there is to say: ingestion --help",
    ),
    "a value that ingestion doesn't take": (
        *("databricks.yml", "default: scram-sha-512", "default: scram"),
        f"{JOB}: {TASKS}[0].python_wheel_task.parameters: ingestion doesn't take them: There is no Kafka login called "
        "scram. Choose one of: none, plain, scram-sha-256, scram-sha-512, oauthbearer, aws-msk-iam",
    ),
    "a volume that isn't the bundle's": (
        *(JOB, "${resources.volumes.checkpoints.name}", "checkpoint"),
        f"{JOB}: {TASKS}[0].python_wheel_task.parameters[6]: /Volumes/dev/dev_someone_bronze/checkpoint is on no "
        "volume of the bundle; did you mean /Volumes/dev/dev_someone_bronze/checkpoints?",
    ),
    "a task that does nothing": (
        *(JOB, "      tasks:\n", "      tasks:\n        - task_key: rest\n"),
        f"{JOB}: {TASKS}[0]: a task does one thing, not nothing",
    ),
    "two tasks of one name": (
        *(JOB, "- task_key: build", "- task_key: ingest"),
        f"{JOB}: {TASKS}[1].task_key: two tasks are named ingest",
    ),
    "a task that isn't there": (
        *(
            JOB,
            "- task_key: ingest\n          environment_key: dbt",
            "- task_key: ingestion\n          environment_key: dbt",
        ),
        f"{JOB}: {TASKS}[1].depends_on[0].task_key: no task is named ingestion; did you mean ingest?",
    ),
    "an environment that isn't there": (
        *(JOB, "environment_key: dbt\n          dbt_task", "environment_key: dbtt\n          dbt_task"),
        f"{JOB}: {TASKS}[1].environment_key: no environment is named dbtt; did you mean dbt?",
    ),
    "an environment that nothing uses": (
        *(JOB, "      environments:\n", "      environments:\n        - environment_key: spare\n"),
        f"{JOB}: resources.jobs.bank_to_gold.environments[0]: no task runs in the environment spare",
    ),
    "an environment without dbt": (
        *(JOB, "              - dbt-databricks==1.12.7\n", ""),
        f"{JOB}: {TASKS}[1]: dbt-databricks is not among the dependencies of the task's environment",
    ),
    "an environment without the wheel": (
        *(JOB, "              - ../dist/*.whl\n", "              - pandas==2.3.3\n"),
        f"{JOB}: {TASKS}[0].python_wheel_task: no wheel is among the dependencies of the task's environment",
    ),
    "another version than is locked": (
        *(JOB, "dbt-databricks==1.12.7", "dbt-databricks==1.12.6"),
        f"{JOB}: resources.jobs.bank_to_gold.environments[1].spec.dependencies[1]: requirements.lock has "
        "dbt-databricks==1.12.7, not dbt-databricks==1.12.6",
    ),
    "a version that isn't pinned": (
        *(JOB, "dbt-core==1.11.16", "dbt-core<1.12"),
        f"{JOB}: resources.jobs.bank_to_gold.environments[1].spec.dependencies[0]: requirements.lock has "
        "dbt-core==1.11.16, not dbt-core<1.12",
    ),
    # dbt.
    "a target that dbt doesn't have": (
        *(JOB, "dbt build --target ${bundle.target}", "dbt build --target production"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: profiles.yml has no target production; known: dev, local, prod",
    ),
    "a target that isn't for Databricks": (
        *(JOB, "dbt build --target ${bundle.target}", "dbt build --target local"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: the target local of profiles.yml is not for Databricks",
    ),
    "a command that dbt doesn't have": (
        *(JOB, "dbt source freshness", "dbt source fresh"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[2]: dbt doesn't take it: No such command 'fresh'. Did you mean "
        "'freshness'?",
    ),
    "an option that dbt doesn't have": (
        *(JOB, "--static", "--statick"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[1]: dbt doesn't take it: No such option '--statick'. ",
    ),
    "a command that does nothing": (
        *(JOB, "dbt build --target", "dbt build --help --target"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: 'dbt build --help",
    ),
    "a quotation without an end": (
        *(JOB, 'bank_to_gold}"', "bank_to_gold}"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: 'dbt build",
    ),
    "variables that are no YAML": (
        *(JOB, '"{http_path:', '"{{http_path:'),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: dbt doesn't take it: Invalid value for '--vars': ",
    ),
    "a variable that dbt doesn't read": (
        *(JOB, "bronze_schema: ${resources", "bronce_schema: ${resources"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: neither dbt_project.yml nor profiles.yml reads the variable "
        "bronce_schema; did you mean bronze_schema?",
    ),
    # The dashboard.
    "credentials that all viewers read with": (
        *(DASHBOARD, "embed_credentials: false", "embed_credentials: true"),
        f"{DASHBOARD}: resources.dashboards.financial_insights.embed_credentials: must be false: each viewer reads "
        "with their own rights",
    ),
    "a dashboard that isn't there": (
        *(DASHBOARD, "insights.lvdash.json", "insight.lvdash.json"),
        f"{IN_PAGES}: there is no file ../dashboard/financial_insight.lvdash.json",
    ),
    "a dashboard that isn't JSON": (
        *(PAGES, '"datasets": [', '"datasets": '),
        f"{IN_PAGES}: ../dashboard/financial_insights.lvdash.json isn't JSON: ",
    ),
    "a dashboard without pages": (
        *(PAGES, '"pages": [', '"sheets": ['),
        f"{IN_PAGES}: not a dashboard: KeyError 'pages'",
    ),
    "a dashboard's query that isn't SQL": (
        *(PAGES, "from (\\n", "from ((\\n"),
        f"{IN_PAGES}: dataset money_totals: the query isn't SQL: ",
    ),
    "a dashboard's parameter that isn't declared": (
        *(PAGES, "        customer = :customer_id", "        customer = :customer"),
        f"{IN_PAGES}: dataset customer_balance_by_day: the parameter customer isn't declared; did you mean "
        "customer_id?",
    ),
    "a dashboard's parameter that its query doesn't have": (
        *(PAGES, '"displayName": "Balance totals",', '"displayName": "", "parameters": [{"keyword": "to_date"}],'),
        f"{IN_PAGES}: dataset balance_totals: the query has no parameter to_date; there is none",
    ),
    "a widget on a query that isn't there": (
        *(PAGES, '"datasetName": "balance_totals"', '"datasetName": "balance_total"'),
        f"{IN_PAGES}: widget overview-figure-balance: no dataset is named balance_total; did you mean balance_totals?",
    ),
    "a widget on a column that isn't there": (
        *(PAGES, '"`total_balance`"', '"`total_balances`"'),
        f"{IN_PAGES}: widget overview-figure-balance: balance_totals has no column total_balances; did you mean "
        "total_balance?",
    ),
    "a widget that draws what it doesn't ask for": (
        *(PAGES, '"fieldName": "total_balance"', '"fieldName": "balance"'),
        f"{IN_PAGES}: widget overview-figure-balance: no query asks for balance; did you mean total_balance?",
    ),
    "a filter for a parameter that isn't there": (
        *(
            PAGES,
            '"name": "from_date",\n                      "keyword": "from_date"',
            '"name": "from_date", "keyword": "from"',
        ),
        f"{IN_PAGES}: widget overview-filter-from: money_totals declares no parameter from; did you mean from_date?",
    ),
    "a filter of a query that isn't its own": (
        *(PAGES, '"queryName": "money_totals-from_date"', '"queryName": "money_totals-from"'),
        f"{IN_PAGES}: widget overview-filter-from: no query is named money_totals-from; did you mean "
        "money_totals-from_date?",
    ),
    "two widgets of one name": (
        *(PAGES, '"name": "overview-figure-customers"', '"name": "overview-figure-balance"'),
        f"{IN_PAGES}: two widgets are named overview-figure-balance",
    ),
    "a widget that lies on another": (
        *(PAGES, '"x": 3,\n            "y": 1,', '"x": 2,\n            "y": 1,'),
        f"{IN_PAGES}: widget overview-filter-to: it lies on overview-filter-from",
    ),
    "a widget beside its page": (
        *(PAGES, '"x": 3,\n            "y": 1,', '"x": 4,\n            "y": 1,'),
        f"{IN_PAGES}: widget overview-filter-to: it isn't within the 6 columns of its page",
    ),
    # What must never be written, and what production must say.
    "a password": (
        *(JOB, "--kafka-auth=${var.kafka_auth}", "--kafka-option=sasl.password=correct-horse"),
        f"{JOB}: {TASKS}[0].python_wheel_task.parameters[2]: a password is written here; put it into the secret scope, "
        "and renew it",
    ),
    "an access token": (
        *("databricks.yml", "default: financial_insights\n", f"default: dapi{'0123456789abcdef' * 2}\n"),
        "databricks.yml: variables.secret_scope.default: a personal access token is written here; put it into the "
        "secret scope, and renew it",
    ),
    "production as a person": (
        *(
            "databricks.yml",
            "      service_principal_name: ${var.service_principal}\n    perm",
            "      user_name: ${var.operators}\n    perm",
        ),
        "databricks.yml: targets.prod: run_as.service_principal_name is missing: production must not run as a person",
    ),
    "production anywhere": (
        *("databricks.yml", "      root_path: /Workspace", "      file_path: /Workspace"),
        "databricks.yml: targets.prod: workspace.root_path is missing: production must be one place, whoever deploys",
    ),
    "production for a group that is written down": (
        *("databricks.yml", "group_name: ${var.operators}", "group_name: all"),
        "databricks.yml: variables.operators: no reference uses it",
    ),
    "production by default": (
        *(
            "databricks.yml",
            "description: The group that may look at the job and run it.",
            "description: A group.\n    default: all",
        ),
        "databricks.yml: targets.prod.permissions[1].group_name: must be a variable without a default: who may run and "
        "see production is said at deployment",
    ),
    "no default target": (
        *("databricks.yml", "    default: true\n", ""),
        "databricks.yml: targets: exactly one target must be the default, not none",
    ),
}


def assert_told_in_one_line(lines: list[str], expected: str) -> None:
    """Exactly one, which has a line number and then begins as expected."""
    assert len(lines) == 1, "\n".join(lines)
    file, number, message = lines[0].split(":", 2)
    assert number.isdigit(), lines[0]
    assert f"{file}:{message}".startswith(expected), lines[0]
    assert "\n" not in lines[0]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line(fault: str, copy: Path, plant: Plant) -> None:
    file, old, new, expected = FAULTS[fault]
    plant(file, old, new)
    assert_told_in_one_line(bundle.check(copy), expected)


def test_a_fault_is_told_with_its_line_and_an_exit_code(copy: Path, plant: Plant) -> None:
    line = plant(JOB, "max_retries: 2", "max_retry: 2")
    with pytest.raises(SystemExit) as end:
        bundle.__main__.main([str(copy)])
    # Python prints a text that a program exits with, and makes 1 of it.
    assert end.value.code == f"{JOB}:{line}: {TASKS}[0].max_retry: no such key here; did you mean max_retries?"


FAULTS_OF_LOGIN = {
    "a variable of the environment that a task doesn't have": (
        *("profiles.yml", "env_var('DATABRICKS_HOST', '')", "env_var('DATABRICKS_HOST')"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: dbt can't read profiles.yml: ",
    ),
    "a variable of the environment that isn't read": (
        *("profiles.yml", "env_var('DBT_ACCESS_TOKEN', ", "("),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: profiles.yml doesn't read DBT_ACCESS_TOKEN, which is what "
        "Databricks gives",
    ),
}


@pytest.mark.parametrize("fault", FAULTS_OF_LOGIN)
def test_a_fault_of_the_login_is_one_line(fault: str, copy: Path, plant: Plant) -> None:
    file, old, new, expected = FAULTS_OF_LOGIN[fault]
    plant(file, old, new)
    assert_told_in_one_line(bundle.check_with_dbt(copy), expected)


# Of schemas and tables that dbt and the bundle must both mean.
FAULTS_BESIDE_DBT = {
    "schemas that dbt doesn't mean": (
        *("resources/schemas.yml", "name: gold", "name: golden"),
        f"{JOB}: {TASKS}[1].dbt_task.commands[0]: dbt means schemas that the bundle doesn't make, "
        "dev.dev_someone_gold; did you mean dev.dev_someone_golden?",
    ),
    "an alert on a table that isn't there": (
        *(ALERT, ".transactions\n", ".transaction\n"),
        f"{ALERT}: resources.alerts.stale_data.query_text: dbt knows no table "
        "dev.dev_someone_bronze.transaction; did you mean dev.dev_someone_bronze.transactions?",
    ),
    "an alert that isn't SQL": (
        *(ALERT, "select coalesce(", "select coalesce(("),
        f"{ALERT}: resources.alerts.stale_data.query_text: the query isn't SQL: ",
    ),
    "an alert on a column that isn't there": (
        *(ALERT, "name: hours_since_newest", "name: hours"),
        f"{ALERT}: resources.alerts.stale_data.evaluation.source.name: the query has no column hours; ",
    ),
    "a dashboard on another schema": (
        *(DASHBOARD, "${resources.schemas.gold.name}", "gold"),
        f"{DASHBOARD}: resources.dashboards.financial_insights.dataset_schema: none of the tables is in dev.gold; "
        "known: dev.dev_someone_gold",
    ),
    "a dashboard on a table that isn't there": (
        *(PAGES, "FROM customer_balance customers", "FROM customers_balance customers"),
        f"{IN_PAGES}: dataset balance_totals: dbt knows no table dev.dev_someone_gold.customers_balance; did you mean "
        "dev.dev_someone_gold.customer_balance?",
    ),
}


@pytest.mark.parametrize("fault", FAULTS_BESIDE_DBT)
def test_a_fault_beside_dbt_is_one_line(fault: str, copy: Path, plant: Plant, manifest: Any) -> None:
    file, old, new, expected = FAULTS_BESIDE_DBT[fault]
    plant(file, old, new)
    assert_told_in_one_line(beside_dbt(copy, manifest), expected)


def test_the_build_makes_a_wheel_that_runs(copy: Path, tmp_path: Path) -> None:
    """By the bundle's own command, without the network, and with nothing of the wheel's but what is in it."""
    command = Bundle(copy).config["artifacts"]["ingestion"]["build"].split()
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        [*command, "--offline", "--no-build-isolation", "--python", sys.executable],
        cwd=copy,
        env=environment,
        check=True,
        capture_output=True,
    )
    (wheel,) = (copy / "dist").glob("*.whl")
    assert wheel.name == Project(copy).wheel
    zipfile.ZipFile(wheel).extractall(tmp_path / "wheel")
    (points,) = (tmp_path / "wheel").glob("*.dist-info/entry_points.txt")
    assert "ingestion = ingestion.__main__:main" in points.read_text()
    begin = "import sys, ingestion.__main__ as job; print(job.__file__); sys.argv[1:] = ['--help']; job.main()"
    told = subprocess.run(
        [sys.executable, "-c", begin],
        cwd=tmp_path / "wheel",
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert told.startswith(str(tmp_path / "wheel"))
    assert "--bootstrap-servers" in told
    assert {path.name for path in (tmp_path / "wheel").iterdir() if not path.name.endswith(".dist-info")} == {
        "ingestion"
    }


def jobs() -> dict[str, dict[str, Any]]:
    read: dict[str, dict[str, Any]] = Bundle(ROOT).config["resources"]["jobs"]
    return read


def test_each_job_ends_tells_and_does_not_overlap() -> None:
    for job in jobs().values():
        assert job["timeout_seconds"] > 0
        assert job["email_notifications"]["on_failure"]
        assert job["email_notifications"]["on_duration_warning_threshold_exceeded"]
        (rule,) = job["health"]["rules"]
        assert 0 < rule["value"] < job["timeout_seconds"]
        assert job["max_concurrent_runs"] == 1
        # Development mode pauses a schedule that says nothing of it itself.
        assert "pause_status" not in job["schedule"]
        for task in job["tasks"]:
            assert 0 < task["timeout_seconds"] <= job["timeout_seconds"]


def test_dbt_follows_ingestion_and_freshness_comes_last() -> None:
    ingest, build = jobs()["bank_to_gold"]["tasks"]
    assert build["depends_on"] == [{"task_key": ingest["task_key"]}]
    commands = [command.split(" --")[0] for command in build["dbt_task"]["commands"]]
    assert commands == ["dbt build", "dbt docs generate", "dbt source freshness"]


def test_each_file_is_of_one_kind() -> None:
    for file in (ROOT / "resources").iterdir():
        (content, _) = read(ROOT, file.relative_to(ROOT).as_posix())
        assert list(content) == ["resources"]
        assert len(content["resources"]) == 1, file.name
