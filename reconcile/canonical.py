"""One text for one value, the same from Postgres and from Spark: what checksums are made of.

| declared in Silver | text |
|---|---|
| whole numbers | digits |
| decimal(p, s) | digits with s decimal places, or as many more as the bank's value has |
| float, double | 17 significant digits, as `1.5000000000000000e+00`; `NaN`, `Infinity`, `-Infinity` |
| string | itself |
| boolean | `true`, `false` |
| date | `2026-11-22` |
| timestamp, timestamp_ntz | microseconds since 1970; the bank's TIMESTAMP is read as UTC |
| binary | hexadecimal digits |
| array of these | `[` its values, framed, `]` |

NULL stays NULL; `framed` tells it apart from an empty text. A Java before 19 writes some doubles with more
digits than they need, and they then differ from Postgres's.
"""

from __future__ import annotations

import re

_SYNONYMS = {
    **dict.fromkeys(("tinyint", "smallint", "int", "integer", "bigint", "byte", "short", "long"), "whole"),
    **dict.fromkeys(("decimal", "dec", "numeric"), "decimal"),
    **dict.fromkeys(("float", "real", "double"), "float"),
    **dict.fromkeys(("string", "varchar", "char"), "string"),
    **dict.fromkeys(("timestamp", "timestamp_ltz"), "timestamp"),
}

_WHOLE = {"int2", "int4", "int8"}

# Whose text in Postgres is what Debezium sends, and so what Silver holds. Of others Silver keeps Debezium's own text.
_OF_TYPE = {
    "whole": {*_WHOLE, "numeric"},
    "decimal": {*_WHOLE, "numeric", "money"},
    "float": {"float4", "float8"},
    "string": {
        *_WHOLE,
        "text",
        "varchar",
        "bpchar",
        "citext",
        "name",
        "uuid",
        "json",
        "jsonb",
        "enum",
        "bool",
        "numeric",
    },
    "boolean": {"bool"},
    "date": {"date"},
    "timestamp": {"timestamp", "timestamptz"},
    "timestamp_ntz": {"timestamp", "timestamptz"},
    "binary": {"bytea"},
}


def framed(text: str) -> str:
    """SQL, the same on both sides, for a text with its length before it: texts in a row can't be taken for others.

    Args:
        text: SQL for a text or NULL.
    """
    return f"coalesce(length({text}) || ':' || {text}, '~')"


def postgres_text(value: str, data_type: str, postgres_type: str | None = None) -> str | None:
    """SQL on Postgres for the text of a value.

    Args:
        value: SQL.
        data_type: as Silver or Gold declares it, in Spark's words.
        postgres_type: its name in pg_type (`_int4` is an array of int4, any enum is `enum`); left out where the value
            was made to be of the right type.

    Returns:
        None for what can't be compared.
    """
    kind, detail = _kind(data_type)
    if kind == "array":
        element = postgres_text("element", detail, postgres_type and postgres_type.removeprefix("_"))
        if element is None or (postgres_type is not None and not postgres_type.startswith("_")):
            return None
        return (
            f"case when {value} is not null"
            f" then (select concat('[', string_agg({framed(element)}, '' order by place), ']')"
            f" from unnest({value}) with ordinality as elements (element, place)) end"
        )
    if kind not in _OF_TYPE or (postgres_type is not None and postgres_type not in _OF_TYPE[kind]):
        return None
    if kind == "string":
        # concat() takes what Postgres sends to the outside; a cast would trim char(n). Only booleans differ there.
        return (
            f"{value}::text" if postgres_type == "bool" else f"case when {value} is not null then concat({value}) end"
        )
    return {
        "whole": f"trim_scale({value}::numeric)::text",
        # More places than declared are shown, not rounded away: Silver can't hold such a value.
        "decimal": f"round({value}::numeric, greatest({_scale(detail)}, min_scale({value}::numeric)))::text",
        # Through text, as a direct cast keeps 15 digits.
        "float": (
            f"case when {value}::text in ('NaN', 'Infinity', '-Infinity') then {value}::text"
            f" else trim(to_char({value}::text::numeric, '9.9999999999999999EEEE')) end"
        ),
        "boolean": f"{value}::text",
        "date": f"case when isfinite({value}) then to_char({value}, 'YYYY-MM-DD') else {value}::text end",
        "timestamp": f"trim_scale(extract(epoch from {value}) * 1000000)::text",
        "timestamp_ntz": f"trim_scale(extract(epoch from {value}) * 1000000)::text",
        "binary": f"upper(encode({value}, 'hex'))",
    }[kind]


def spark_text(value: str, data_type: str) -> str | None:
    """SQL on Spark for the text of a value of the declared type; None for what can't be compared."""
    kind, detail = _kind(data_type)
    if kind == "array":
        element = spark_text("element", detail)
        if element is None:
            return None
        return f"concat('[', array_join(transform({value}, element -> {framed(element)}), ''), ']')"
    if kind == "decimal" and _scale(detail) > 6:
        # Below that, a cast could write an exponent (java.math.BigDecimal.toString).
        return f"replace(format_number({value}, {_scale(detail)}), ',', '')"
    return {
        "whole": f"cast({value} as string)",
        "decimal": f"cast({value} as string)",
        # By way of text a float keeps its own digits as a double; adding zero makes -0 zero.
        "float": (
            f"case when cast({value} as string) in ('NaN', 'Infinity', '-Infinity') then cast({value} as string)"
            f" when {value} is not null"
            f" then format_string('%.16e', cast(cast({value} as string) as double) + cast(0 as double)) end"
        ),
        "string": value,
        "boolean": f"cast({value} as string)",
        "date": f"cast({value} as string)",
        "timestamp": f"cast(unix_micros({value}) as string)",
        "timestamp_ntz": f"cast(timestampdiff(microsecond, timestamp_ntz'1970-01-01 00:00:00', {value}) as string)",
        "binary": f"hex({value})",
    }.get(kind)


def _kind(data_type: str) -> tuple[str, str]:
    """A declared type's kind, and what it says in brackets: `decimal(10, 2)` is a decimal of `10, 2`."""
    match = re.fullmatch(r"(\w+)\s*(?:[(<](.*)[)>])?", data_type.strip().lower())
    if match is None:
        return data_type, ""
    return _SYNONYMS.get(match[1], match[1]), match[2] or ""


def _scale(detail: str) -> int:
    _, _, scale = detail.partition(",")
    return int(scale or 0)
