"""What the job is told, and what it never says."""

from __future__ import annotations

import pytest

from ingestion import Config, IngestionError

NEEDED = {"KAFKA_BOOTSTRAP_SERVERS": "one:9092,two:9092", "CHECKPOINTS": "/somewhere/checkpoints/"}
LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule required password='secret-word';"


def test_the_needed_settings_are_enough() -> None:
    config = Config.from_environment({**NEEDED, "PATH": "/bin"})
    assert config == Config(bootstrap_servers="one:9092,two:9092", checkpoints="/somewhere/checkpoints")
    assert config.reader_options() == {
        "kafka.bootstrap.servers": "one:9092,two:9092",
        "kafka.isolation.level": "read_committed",
        "startingOffsets": "earliest",
        "failOnDataLoss": "true",
        "includeHeaders": "true",
    }


def test_a_topic_has_a_table_and_a_checkpoint_of_its_own() -> None:
    config = Config.from_environment(NEEDED)
    assert config.table_of("bank.public.purchase_trends") == "bronze.purchase_trends"
    assert config.checkpoint_of("bank.public.purchase_trends") == "/somewhere/checkpoints/bank.public.purchase_trends"
    assert config.checkpoint_of("bank.public.cards", life=2) == "/somewhere/checkpoints/bank.public.cards@2"


def test_other_places_can_be_named() -> None:
    config = Config.from_environment({**NEEDED, "TOPIC_PREFIX": "shop.", "BRONZE_SCHEMA": "main.raw"})
    assert config.table_of("shop.Order-Lines") == "main.raw.order_lines"


def test_names_are_quoted_where_sql_needs_it() -> None:
    config = Config.from_environment({**NEEDED, "BRONZE_SCHEMA": "my-bank.raw"})
    assert config.schema_name == "`my-bank`.raw"
    assert config.table_of("bank.public.2fa_codes") == "`my-bank`.raw.`2fa_codes`"
    assert Config.from_environment({**NEEDED, "BRONZE_SCHEMA": "`my-bank`.`raw`"}).schema_name == config.schema_name


@pytest.mark.parametrize("schema", ["", ".raw", "main.", "a.b.c", "``"])
def test_what_is_no_schema_is_named_in_one_line(schema: str) -> None:
    with pytest.raises(IngestionError) as error:
        Config.from_environment({**NEEDED, "BRONZE_SCHEMA": schema})
    assert str(error.value) == f"{schema} is not the name of a schema. Write schema or catalog.schema."


def test_checkpoints_may_be_in_a_volume() -> None:
    config = Config.from_environment({**NEEDED, "CHECKPOINTS": "/Volumes/main/bronze/checkpoints/"})
    assert config.checkpoint_of("bank.public.cards") == "/Volumes/main/bronze/checkpoints/bank.public.cards"


@pytest.mark.parametrize("missing", list(NEEDED))
@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_setting_is_named_in_one_line(missing: str, value: str | None) -> None:
    environment = {name: text for name, text in NEEDED.items() if name != missing}
    if value is not None:
        environment[missing] = value
    with pytest.raises(IngestionError) as error:
        Config.from_environment(environment)
    assert str(error.value).startswith(f"Not set: {missing}. ")
    assert "\n" not in str(error.value)


def test_options_of_the_kafka_client_come_from_the_environment() -> None:
    config = Config.from_environment(
        {**NEEDED, "KAFKA_SECURITY_PROTOCOL": "SASL_SSL", "KAFKA_SASL_JAAS_CONFIG": LOGIN, "KAFKA_SECRET_SCOPE": "bank"}
    )
    assert {name: value for name, value in config.reader_options().items() if name.startswith("kafka.")} == {
        "kafka.bootstrap.servers": "one:9092,two:9092",
        "kafka.security.protocol": "SASL_SSL",
        "kafka.sasl.jaas.config": LOGIN,
        "kafka.isolation.level": "read_committed",
    }


def test_a_secret_scope_wins_over_the_environment() -> None:
    environment = {**NEEDED, "KAFKA_SASL_MECHANISM": "PLAIN", "KAFKA_SASL_JAAS_CONFIG": "of the environment"}
    options = Config.from_environment(environment, secrets={"sasl.jaas.config": LOGIN}).reader_options()
    assert options["kafka.sasl.jaas.config"] == LOGIN
    assert options["kafka.sasl.mechanism"] == "PLAIN"


def test_secrets_are_never_shown() -> None:
    config = Config.from_environment(
        {**NEEDED, "KAFKA_SSL_KEYSTORE_PASSWORD": "secret-word"}, secrets={"sasl.jaas.config": LOGIN}
    )
    for shown in (repr(config), str(config), f"{config}"):
        assert "secret-word" not in shown


def test_the_largest_batch_is_an_option_of_sparks_source() -> None:
    config = Config.from_environment(NEEDED, max_offsets_per_trigger=7)
    assert config.reader_options()["maxOffsetsPerTrigger"] == "7"
