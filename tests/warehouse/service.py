"""The server's side of the Databricks Thrift protocol: sessions, each one of Spark's own, and their statements."""

from __future__ import annotations

import concurrent.futures
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes
from pyspark.sql import SparkSession

from warehouse.results import OK, rows_of, schema_of
from warehouse.statements import Statements

# Seconds that an answer may wait for its statement. Then the client is told to ask again.
PATIENCE = 5.0

# The second half of a handle: who may use it, the token says.
SECRET = b"\0" * 16

PROTOCOL = ttypes.TProtocolVersion.SPARK_CLI_SERVICE_PROTOCOL_V7


@dataclass
class Session:
    """A client's session, and the statements that run in it."""

    spark: SparkSession
    statements: Statements
    running: dict[bytes, concurrent.futures.Future[pa.Table]] = field(default_factory=dict)


class Service:
    """Answers Thrift's calls (`TCLIService.Iface`): those that databricks-sql-connector makes for dbt."""

    def __init__(self, connect: Callable[[], SparkSession], understand: Callable[[SparkSession], Statements]) -> None:
        self._connect = connect
        self._understand = understand
        self._connecting = threading.Lock()
        self._idle: list[SparkSession] = []
        self._workers = concurrent.futures.ThreadPoolExecutor(max_workers=32)
        self._sessions: dict[bytes, Session] = {}
        self.configurations: list[dict[str, str]] = []

    def close(self) -> None:
        """End all sessions, also those that clients left open."""
        for spark in [*self._idle, *(session.spark for session in self._sessions.values())]:
            # Spark may be gone, and a goodbye is tried for ten minutes.
            spark.release_session_on_close = False
            spark.stop()
        self._workers.shutdown()

    def OpenSession(self, request: ttypes.TOpenSessionReq) -> ttypes.TOpenSessionResp:
        # dbt opens a session for each model. One that was closed is warm: Spark compiles anew for each of its own.
        with self._connecting:
            spark = self._idle.pop() if self._idle else self._connect()
        # Databricks makes a table of Delta, where the statement doesn't say of what.
        spark.conf.set("spark.sql.sources.default", "delta")
        guid = uuid.uuid4().bytes
        self._sessions[guid] = Session(spark, self._understand(spark))
        self.configurations.append(request.configuration or {})
        return ttypes.TOpenSessionResp(
            status=OK,
            serverProtocolVersion=PROTOCOL,
            sessionHandle=ttypes.TSessionHandle(ttypes.THandleIdentifier(guid, SECRET), PROTOCOL),
            canUseMultipleCatalogs=True,
            initialNamespace=request.initialNamespace,
        )

    def CloseSession(self, request: ttypes.TCloseSessionReq) -> ttypes.TCloseSessionResp:
        session = self._sessions.pop(request.sessionHandle.sessionId.guid, None)
        if session is None:
            return ttypes.TCloseSessionResp(status=invalid("session"))
        session.statements.forget_temporary()
        self._idle.append(session.spark)
        return ttypes.TCloseSessionResp(status=OK)

    def ExecuteStatement(self, request: ttypes.TExecuteStatementReq) -> ttypes.TExecuteStatementResp:
        session = self._sessions.get(request.sessionHandle.sessionId.guid)
        if session is None:
            return ttypes.TExecuteStatementResp(status=invalid("session"))
        return self._start(session, lambda: session.statements.execute(request.statement))

    def _start(self, session: Session, work: Callable[[], pa.Table]) -> ttypes.TExecuteStatementResp:
        guid = uuid.uuid4().bytes
        session.running[guid] = self._workers.submit(work)
        handle = ttypes.TOperationHandle(
            ttypes.THandleIdentifier(guid, SECRET), ttypes.TOperationType.EXECUTE_STATEMENT, True
        )
        status = self._status(guid)
        results = ttypes.TSparkDirectResults(operationStatus=status)
        if status.operationState == ttypes.TOperationState.FINISHED_STATE:
            table = session.running.pop(guid).result()
            results.resultSetMetadata = schema_of(table)
            results.resultSet = rows_of(table)
            results.closeOperation = ttypes.TCloseOperationResp(status=OK)
        return ttypes.TExecuteStatementResp(status=OK, operationHandle=handle, directResults=results)

    def _status(self, guid: bytes) -> ttypes.TGetOperationStatusResp:
        _, future = self._find(guid)
        if future is None:
            return ttypes.TGetOperationStatusResp(status=invalid("operation"))
        concurrent.futures.wait([future], timeout=PATIENCE)
        if not future.done():
            return ttypes.TGetOperationStatusResp(status=OK, operationState=ttypes.TOperationState.RUNNING_STATE)
        error = future.exception()
        if error is None:
            state = ttypes.TOperationState.FINISHED_STATE
            return ttypes.TGetOperationStatusResp(status=OK, operationState=state, hasResultSet=True)
        return ttypes.TGetOperationStatusResp(
            status=OK,
            operationState=ttypes.TOperationState.ERROR_STATE,
            errorMessage=str(error),
            displayMessage=str(error),
        )

    def _find(self, guid: bytes) -> tuple[Session | None, concurrent.futures.Future[pa.Table] | None]:
        for session in list(self._sessions.values()):
            if guid in session.running:
                return session, session.running[guid]
        return None, None

    def GetOperationStatus(self, request: ttypes.TGetOperationStatusReq) -> ttypes.TGetOperationStatusResp:
        return self._status(request.operationHandle.operationId.guid)

    def GetResultSetMetadata(self, request: ttypes.TGetResultSetMetadataReq) -> ttypes.TGetResultSetMetadataResp:
        _, future = self._find(request.operationHandle.operationId.guid)
        return (
            ttypes.TGetResultSetMetadataResp(status=invalid("operation"))
            if future is None
            else schema_of(future.result())
        )

    def FetchResults(self, request: ttypes.TFetchResultsReq) -> ttypes.TFetchResultsResp:
        _, future = self._find(request.operationHandle.operationId.guid)
        return ttypes.TFetchResultsResp(status=invalid("operation")) if future is None else rows_of(future.result())

    def CancelOperation(self, request: ttypes.TCancelOperationReq) -> ttypes.TCancelOperationResp:
        session, _ = self._find(request.operationHandle.operationId.guid)
        if session is not None:
            session.spark.interruptAll()
        return ttypes.TCancelOperationResp(status=OK)

    def CloseOperation(self, request: ttypes.TCloseOperationReq) -> ttypes.TCloseOperationResp:
        guid = request.operationHandle.operationId.guid
        session, _ = self._find(guid)
        if session is not None:
            session.running.pop(guid, None)
        return ttypes.TCloseOperationResp(status=OK)


def invalid(what: str) -> ttypes.TStatus:
    """What a client hears that names a session or an operation which isn't there."""
    return ttypes.TStatus(
        statusCode=ttypes.TStatusCode.INVALID_HANDLE_STATUS, errorMessage=f"There is no such {what} (any more)."
    )
