"""Registering the connector, against a stand-in for Kafka Connect's REST API."""

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import psycopg
import pytest

from source import SourceError, connector, migrate, register_connector, wait_until_captured

RUNNING = {"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "RUNNING"}]}
TRACE = "org.postgresql.util.PSQLException: FATAL: no slot\n\tat somewhere"
FAILED = {"connector": {"state": "RUNNING"}, "tasks": [{"id": 0, "state": "FAILED", "trace": TRACE}]}
STARTING = {"connector": {"state": "RUNNING"}, "tasks": []}
STOPPED = {"connector": {"state": "STOPPED"}, "tasks": []}


class Connect(ThreadingHTTPServer):
    """Answers each call from its list of (status, body), the last of which it keeps for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: dict[str, list[tuple[int, Any]]] = {}
        self.asked: list[tuple[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Connect

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        call = f"{self.command} {self.path}"
        self.server.asked.append((call, json.loads(self.rfile.read(length) or b"null")))
        answers = self.server.answers.get(call, [(404, {"message": "not found"})])
        status, body = answers.pop(0) if len(answers) > 1 else answers[0]
        payload = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        self.wfile.write(payload)

    do_GET = do_PUT = do_POST = _answer

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    monkeypatch.setattr(connector, "_POLL_S", 0.01)
    monkeypatch.setattr(connector, "_RESTART_GRACE_S", 0.05)
    server = Connect()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


GET = "GET /connectors/bank"
PUT = "PUT /connectors/bank/config"
STOP = "PUT /connectors/bank/stop"
RESUME = "PUT /connectors/bank/resume"
STATUS = "GET /connectors/bank/status"
RESTART = "POST /connectors/bank/restart?includeTasks=true&onlyFailed=true"


def test_waits_until_the_task_runs(connect: Connect) -> None:
    connect.answers = {
        PUT: [(409, {"message": "rebalance"}), (201, {})],
        STATUS: [(404, {}), (200, STARTING), (200, RUNNING)],
    }
    register_connector(connect.url, {"slot.name": "another"})
    calls = [call for call, _ in connect.asked]
    assert calls == [GET, PUT, PUT, STATUS, STATUS, STATUS]
    sent = connect.asked[1][1]
    assert sent["slot.name"] == "another"
    assert sent["database.password"] == "${env:CAPTURE_PASSWORD}"


def test_new_settings_wait_for_the_end_of_the_task_that_has_the_old(connect: Connect) -> None:
    connect.answers = {
        GET: [(200, {"config": {"slot.name": "old"}})],
        STOP: [(202, None)],
        STATUS: [(200, RUNNING), (200, STOPPED), (200, RUNNING)],
        PUT: [(200, {})],
        RESUME: [(202, None)],
    }
    register_connector(connect.url)
    calls = [call for call, _ in connect.asked]
    assert calls == [GET, STOP, STATUS, STATUS, PUT, RESUME, STATUS]


def test_a_connector_with_the_same_settings_goes_on(connect: Connect) -> None:
    connect.answers = {PUT: [(201, {})], STATUS: [(200, RUNNING)], RESUME: [(202, None)]}
    register_connector(connect.url)
    connect.answers[GET] = [(200, {"config": connect.asked[1][1]})]
    register_connector(connect.url)
    assert STOP not in [call for call, _ in connect.asked]


def test_a_task_that_failed_before_is_restarted(connect: Connect) -> None:
    connect.answers = {PUT: [(200, {})], STATUS: [(200, FAILED), (200, RUNNING)], RESTART: [(202, {})]}
    register_connector(connect.url)
    assert RESTART in [call for call, _ in connect.asked]


def failure(connect: Connect, timeout: float = 5) -> str:
    with pytest.raises(SourceError) as raised:
        register_connector(connect.url, timeout=timeout)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_task_that_keeps_failing_says_why_in_one_line(connect: Connect) -> None:
    connect.answers = {PUT: [(200, {})], STATUS: [(200, FAILED)], RESTART: [(202, {})]}
    assert failure(connect) == ("The connector failed: org.postgresql.util.PSQLException: FATAL: no slot")


def test_refused_settings_say_why_in_one_line(connect: Connect) -> None:
    connect.answers = {PUT: [(400, {"message": "1 error(s):\nwrong password\n"})]}
    assert failure(connect) == "Kafka Connect refuses the connector: 1 error(s): wrong password"


def test_a_connector_that_never_runs_is_given_up(connect: Connect) -> None:
    connect.answers = {PUT: [(200, {})], STATUS: [(200, STARTING)]}
    assert "not running yet" in failure(connect, timeout=0.1)


def test_the_connector_and_the_database_agree(bank: str, capture: str, connect: Connect) -> None:
    connect.answers = {PUT: [(200, {})], STATUS: [(200, RUNNING)]}
    register_connector(connect.url)
    _, config = connect.asked[1]
    migrate(bank)
    with psycopg.connect(capture, autocommit=True) as connection:
        rows = connection.execute(
            "select schemaname || '.' || tablename from pg_publication_tables where pubname = %s",
            [config["publication.name"]],
        )
        published = {name for (name,) in rows} - {config["signal.data.collection"], "debezium.heartbeat"}
        patterns = config["table.include.list"].split(",")
        assert len(published) == len(patterns)
        assert all(any(re.fullmatch(pattern, name) for pattern in patterns) for name in published)
        for _ in range(2):
            connection.execute(config["heartbeat.action.query"])


@pytest.mark.parametrize(
    ("lsn", "said"),
    [
        ("here", r"^'here' is no LSN\. Write it as Postgres does, such as [0-9A-F]+/[0-9A-F]+$"),
        ("FFFF/0", r"^The bank's log has not come to FFFF/0 yet: it ends at [0-9A-F]+/[0-9A-F]+$"),
    ],
)
def test_a_place_that_the_log_never_had_is_one_line(bank: str, lsn: str, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        wait_until_captured(bank, lsn)
