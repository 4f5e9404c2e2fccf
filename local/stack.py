"""Start, stop and look at the embedded stack; Supervisor keeps its processes alive."""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
from supervisor.xmlrpc import SupervisorTransport

from local.home import Home, StackError, last_line
from local.services import LIVE, Service, live_service, prepare

# Every process of a stack carries its folder in this variable, so that `down` finds them all, and only them.
MARK = "FINANCIAL_INSIGHTS_STACK"
START_SECONDS = 120

# What a shell may hold of another stack: variables that begin so. A Spark server would try to be the client of the one
# that SPARK_REMOTE names.
FOREIGN = (
    "DATABASE_URL",
    "CONNECT_URL",
    "SPARK_",
    "CHECKPOINTS",
    "WRITER_",
    "KAFKA_",
    "TOPIC_PREFIX",
    "BRONZE_SCHEMA",
    "DBT_",
    "DATABRICKS_",
)


def without_other_stack(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without what leads to another stack."""
    return {name: value for name, value in environment.items() if not name.startswith(FOREIGN)}


def up(home: Home, progress: Callable[[str], None] = lambda message: None) -> dict[str, str]:
    """Start each service that isn't running, wait until all answer, and return the connection settings (as in `env`).

    Raises:
        StackError: a service does not come up; the message names its log.
    """
    home.create()
    if is_running(home):
        start_stopped(home)
    else:
        stop_strays(home)
        services = prepare(home, home.choose_ports())
        start_supervisor(home, [*services, live_service(home, connection_settings(home))])
    ports = home.ports()
    for service in prepare(home, ports):
        progress(f"waiting for {service.name}")
        wait_until_ready(home, service)
    environment = connection_settings(home)
    home.write_env(environment)
    return environment


def connection_settings(home: Home) -> dict[str, str]:
    """What a process needs to reach the services, by names of environment variables."""
    ports, secrets = home.ports(), home.secrets()
    return {
        "DATABASE_URL": f"postgresql://bank_owner:{secrets['owner']}@127.0.0.1:{ports['postgres']}/bank",
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['kafka']}",
        "CONNECT_URL": f"http://127.0.0.1:{ports['connect']}",
        # "localhost" and not 127.0.0.1: the client sends a token without TLS only to this name.
        "SPARK_REMOTE": f"sc://localhost:{ports['spark']}",
        "CHECKPOINTS": str(home.root / "checkpoints"),
        "WRITER_LOCKS": str(home.root / "locks"),
        "SPARK_CONNECT_AUTHENTICATE_TOKEN": secrets["spark"],
    }


def superuser_url(home: Home) -> str:
    """Where the owner's role and database are made from."""
    return f"postgresql://postgres:{home.secrets()['superuser']}@127.0.0.1:{home.ports()['postgres']}/postgres"


def down(home: Home) -> None:
    """Stop every process of this stack; the state stays."""
    home.env_file.unlink(missing_ok=True)
    if is_running(home):
        with contextlib.suppress(OSError, xmlrpc.client.Error):
            supervisor(home).shutdown()
        deadline = time.monotonic() + 60
        while list(processes(home)) and time.monotonic() < deadline:
            time.sleep(0.2)
    stop_strays(home)
    home.control_socket.unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        home.control_socket.parent.rmdir()


def status(home: Home) -> list[dict[str, Any]]:
    """What the supervisor knows of each service; empty when it isn't running."""
    if not is_running(home):
        return []
    known: list[dict[str, Any]] = supervisor(home).getAllProcessInfo()
    return known


def is_running(home: Home) -> bool:
    """Whether this stack's supervisor answers."""
    try:
        supervisor(home).getState()
    except (OSError, xmlrpc.client.Error):
        return False
    return True


def supervisor(home: Home) -> Any:
    """Supervisor's XML-RPC interface (supervisord.org, "XML-RPC API")."""
    transport = SupervisorTransport(None, None, f"unix://{home.control_socket}")  # type: ignore[no-untyped-call]
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def start_stopped(home: Home) -> None:
    """Start what the supervisor has given up, or somebody stopped: whatever was the matter may be mended by now."""
    for service in supervisor(home).getAllProcessInfo():
        if service["name"] != LIVE and service["statename"] in ("FATAL", "EXITED", "STOPPED", "UNKNOWN"):
            with contextlib.suppress(xmlrpc.client.Fault):  # it has just been started, or fails at once: we wait below
                supervisor(home).startProcess(service["name"], False)


def start_supervisor(home: Home, services: list[Service]) -> None:
    """Write Supervisor's configuration and start it in the background."""
    configuration = home.root / "supervisord.conf"
    home.write_private(configuration, "".join(supervisor_sections(home, services)))
    started = subprocess.run(
        [sys.executable, "-m", "supervisor.supervisord", "--configuration", str(configuration)],
        env={**without_other_stack(os.environ), MARK: str(home.root)},
        cwd=home.root,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if started.returncode != 0:
        raise StackError(f"The supervisor does not start: {last_line(started.stderr or started.stdout)}")


def supervisor_sections(home: Home, services: list[Service]) -> Iterator[str]:
    """Supervisor's configuration (supervisord.org, "Configuration File"), a section at a time."""
    yield section("unix_http_server", {"file": str(home.control_socket), "chmod": "0700"})
    supervisord = {
        "logfile": str(home.logs / "supervisord.log"),
        "pidfile": str(home.root / "supervisord.pid"),
        "childlogdir": str(home.logs),
    }
    if os.geteuid() == 0:
        supervisord["user"] = "root"
    yield section("supervisord", supervisord)
    yield section(
        "rpcinterface:supervisor",
        {"supervisor.rpcinterface_factory": "supervisor.rpcinterface:make_main_rpcinterface"},
    )
    for priority, service in enumerate(services):
        program = {
            "command": shlex.join(service.command),
            "environment": ",".join(f'{name}="{value}"' for name, value in service.environment.items()),
            "directory": "/" if service.user else str(service.folder or home.root),
            "priority": str(priority),
            "autostart": str(service.starts_with_the_stack).lower(),
            "autorestart": "true",
            # A worker that comes up before its broker gives up and is started again.
            "startretries": "10",
            "startsecs": "3",
            "stopsignal": service.stop_signal,
            "stopwaitsecs": str(service.stop_seconds),
            "killasgroup": "true",
            "redirect_stderr": "true",
            "stdout_logfile": str(log_of(home, service.name)),
            "stdout_logfile_maxbytes": "10MB",
            "stdout_logfile_backups": "1",
        }
        if service.user:
            program["user"] = service.user
        yield section(f"program:{service.name}", program)


def section(name: str, values: dict[str, str]) -> str:
    """A section of an INI file; Supervisor reads `%` as the start of an expansion."""
    lines = [f"{key}={value.replace('%', '%%')}\n" for key, value in values.items() if value]
    return f"[{name}]\n{''.join(lines)}\n"


def log_of(home: Home, service: str) -> Path:
    """The log file of a service."""
    return home.logs / f"{service}.log"


def wait_until_ready(home: Home, service: Service) -> None:
    """Wait until the service answers, or say which log tells why it doesn't."""
    deadline = time.monotonic() + START_SECONDS
    while not service.is_ready():
        state = supervisor(home).getProcessInfo(service.name)["statename"]
        if state == "FATAL" or time.monotonic() > deadline:
            raise StackError(
                f"{service.name} does not start ({log_of(home, service.name)} says why). Then run: make up"
            )
        time.sleep(0.2)


def processes(home: Home) -> Iterator[psutil.Process]:
    """Every process that belongs to this stack, also one whose supervisor was killed."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get(MARK) == str(home.root):
                yield process


def stop_strays(home: Home) -> None:
    """Stop what a killed supervisor left behind, so that a port or a lock isn't held by it."""
    strays = list(processes(home))
    for process in strays:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, alive = psutil.wait_procs(strays, timeout=20)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=10)
