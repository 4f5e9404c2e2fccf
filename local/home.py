"""Where the embedded stack keeps its state: `.local/` in the project, or `$INSIGHTS_HOME`."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shlex
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

# The port each service usually has; a free one is taken instead when something else already listens there.
USUAL_PORTS = {"postgres": 5432, "kafka": 9092, "kafka_controller": 9093, "connect": 8083, "spark": 15002}


class StackError(Exception):
    """Something the user can mend. The message is one line: what is wrong, and what to do."""


def last_line(output: str) -> str:
    """The last line that a program printed, mostly why it failed."""
    return next(filter(None, (line.strip() for line in reversed(output.splitlines()))), "it does not say why")


# What a path may hold so that the shell, Supervisor, Java's class path and properties, Log4j, Derby and Spark all take
# it as it is. They part at : ; , and read # % $ { } \\ " * ? < > as marks of their own; Java reads other than ASCII
# letters as the locale says.
PLAIN_PATH = re.compile(r"[A-Za-z0-9/._+@=~&!'() -]+")


@dataclass(frozen=True)
class Home:
    """One stack's folder. Two stacks with different folders live side by side."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """The folder in `$INSIGHTS_HOME`, else `.local` in the project."""
        return cls(Path(os.environ.get("INSIGHTS_HOME") or PROJECT / ".local").resolve())

    @property
    def env_file(self) -> Path:
        """Shell exports that lead to the stack: written by `up`, gone after `down`."""
        return self.root / "env"

    @property
    def spark_conf(self) -> Path:
        """Settings of Spark of the user's own, a line `name value` each; there may be none."""
        return self.root / "spark.conf"

    @property
    def logs(self) -> Path:
        """One log file per service."""
        return self.root / "logs"

    @property
    def control_socket(self) -> Path:
        """Supervisor's socket: in the temporary folder, as a socket's path may have 107 bytes at most."""
        digest = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"financial-insights-{os.getuid()}-{digest}" / "supervisor.sock"

    def create(self) -> None:
        """Make the folders; only the owner may enter the one that secrets pass through.

        Raises:
            StackError: the path has letters that not every service takes.
        """
        if not PLAIN_PATH.fullmatch(str(self.root)):
            odd = " ".join(sorted(set(PLAIN_PATH.sub("", str(self.root)))))
            raise StackError(
                f"The stack can't live in {str(self.root)!r}: Java, Spark or Supervisor would read {odd!r} as "
                "something else. Set INSIGHTS_HOME to a folder without it, then run: make up"
            )
        for folder in (self.root, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.control_socket.parent.mkdir(mode=0o700, exist_ok=True)
        if self.control_socket.parent.stat().st_uid != os.getuid():
            raise StackError(f"{self.control_socket.parent} belongs to someone else. Remove it, then run: make up")

    def write_private(self, path: Path, text: str) -> None:
        """Write a file that only its owner can read, whole or not at all."""
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
        part.replace(path)

    def secrets(self) -> dict[str, str]:
        """Passwords of this stack, made once at random: superuser, owner, capture, spark."""
        path = self.root / "secrets.json"
        known: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
        names = ("superuser", "owner", "capture", "spark")
        if set(known) != set(names):
            known = {name: known.get(name) or secrets.token_urlsafe(24) for name in names}
            self.write_private(path, json.dumps(known))
        return known

    def choose_ports(self) -> dict[str, int]:
        """A port for every service: last time's, else the usual, else a free one."""
        path = self.root / "ports.json"
        last: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        chosen: dict[str, int] = {}
        for service, usual in USUAL_PORTS.items():
            wanted = [port for port in (last.get(service), usual) if port and port not in chosen.values()]
            chosen[service] = next((port for port in wanted if is_free(port)), 0) or free_port()
        self.write_private(path, json.dumps(chosen))
        return chosen

    def ports(self) -> dict[str, int]:
        """The ports that the last `up` chose."""
        ports: dict[str, int] = json.loads((self.root / "ports.json").read_text())
        return ports

    def moved_ports(self) -> dict[str, int]:
        """The services that listen somewhere else than usual, as something else had their port."""
        return {service: port for service, port in self.ports().items() if port != USUAL_PORTS[service]}

    def write_env(self, values: dict[str, str]) -> None:
        """Write `env`: one `export NAME=value` a line, readable by the shell and by `read_env`."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in values.items()]
        self.write_private(self.env_file, "".join(lines))

    def read_env(self) -> dict[str, str]:
        """The exports of `env`; empty when the stack is not up."""
        if not self.env_file.exists():
            return {}
        words = shlex.split(self.env_file.read_text())
        return dict(word.split("=", 1) for word in words if word != "export")


def is_free(port: int) -> bool:
    """Whether nothing listens on this port of the loopback interface, nor did a moment ago."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that the operating system says is free."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_open(port: int) -> bool:
    """Whether a server answers on this port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
