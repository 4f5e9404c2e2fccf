"""Rows as the Databricks Thrift protocol carries them: a schema in Hive's words, and Arrow's record batches."""

from __future__ import annotations

import pyarrow as pa
from databricks.sql.thrift_api.TCLIService import ttypes

OK = ttypes.TStatus(statusCode=ttypes.TStatusCode.SUCCESS_STATUS)

# Arrow's own test for a type, and the type's name in Hive's words. What isn't here goes out as text.
KINDS = [
    (pa.types.is_boolean, ttypes.TTypeId.BOOLEAN_TYPE),
    (pa.types.is_int8, ttypes.TTypeId.TINYINT_TYPE),
    (pa.types.is_int16, ttypes.TTypeId.SMALLINT_TYPE),
    (pa.types.is_int32, ttypes.TTypeId.INT_TYPE),
    (pa.types.is_int64, ttypes.TTypeId.BIGINT_TYPE),
    (pa.types.is_float32, ttypes.TTypeId.FLOAT_TYPE),
    (pa.types.is_float64, ttypes.TTypeId.DOUBLE_TYPE),
    (pa.types.is_decimal, ttypes.TTypeId.DECIMAL_TYPE),
    (pa.types.is_date, ttypes.TTypeId.DATE_TYPE),
    (pa.types.is_timestamp, ttypes.TTypeId.TIMESTAMP_TYPE),
    (pa.types.is_binary, ttypes.TTypeId.BINARY_TYPE),
    (pa.types.is_list, ttypes.TTypeId.ARRAY_TYPE),
    (pa.types.is_map, ttypes.TTypeId.MAP_TYPE),
    (pa.types.is_struct, ttypes.TTypeId.STRUCT_TYPE),
    (pa.types.is_null, ttypes.TTypeId.NULL_TYPE),
]


def schema_of(table: pa.Table) -> ttypes.TGetResultSetMetadataResp:
    """What a client is told of a result before its rows: each column's name and type, also as Arrow's schema."""
    columns = [
        ttypes.TColumnDesc(columnName=column.name, typeDesc=ttypes.TTypeDesc([entry(column.type)]), position=number)
        for number, column in enumerate(table.schema, start=1)
    ]
    return ttypes.TGetResultSetMetadataResp(
        status=OK,
        schema=ttypes.TTableSchema(columns),
        resultFormat=ttypes.TSparkRowSetType.ARROW_BASED_SET,
        lz4Compressed=False,
        arrowSchema=table.schema.serialize().to_pybytes(),
        isStagingOperation=False,
    )


def entry(arrow: pa.DataType) -> ttypes.TTypeEntry:
    """A type in Hive's words; a decimal with its precision and scale."""
    kind = next((kind for is_it, kind in KINDS if is_it(arrow)), ttypes.TTypeId.STRING_TYPE)
    qualifiers = None
    if pa.types.is_decimal(arrow):
        sizes = {"precision": arrow.precision, "scale": arrow.scale}
        qualifiers = ttypes.TTypeQualifiers({name: ttypes.TTypeQualifierValue(i32Value=n) for name, n in sizes.items()})
    return ttypes.TTypeEntry(primitiveEntry=ttypes.TPrimitiveTypeEntry(kind, qualifiers))


def rows_of(table: pa.Table) -> ttypes.TFetchResultsResp:
    """All of a result's rows: what dbt asks for fits in one answer."""
    batches = [
        ttypes.TSparkArrowBatch(batch=batch.serialize().to_pybytes(), rowCount=batch.num_rows)
        for batch in table.to_batches()
    ]
    return ttypes.TFetchResultsResp(
        status=OK,
        hasMoreRows=False,
        results=ttypes.TRowSet(startRowOffset=0, rows=[], arrowBatches=batches),
        resultSetMetadata=schema_of(table),
    )


def texts(columns: list[str], rows: list[tuple[object, ...]]) -> pa.Table:
    """A result of text alone, as metadata is."""
    values = [[None if row[at] is None else str(row[at]) for row in rows] for at in range(len(columns))]
    return pa.table(dict(zip(columns, [pa.array(column, pa.string()) for column in values], strict=True)))
