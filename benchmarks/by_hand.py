"""The hand-written job: what Silver does for one table, as an engineer would write it in a page of PySpark.

`python -m benchmarks.by_hand --first` reads all of Bronze, without `--first` what landed since. It keeps every change
once, and the newest state of each row, of which a delete is marked and keeps the last values.
"""

from __future__ import annotations

import sys

from pyspark.sql import SparkSession, Window
from pyspark.sql import functions as F

ROW = "account_id string, transaction_type string, amount string, category string, transaction_date string"
SOURCE = "lsn: bigint, txId: bigint, ts_us: bigint"
ENVELOPE = f"op string, before string, after struct<{ROW.replace(' string', ': string')}>, source struct<{SOURCE}>"
MERGE = """
    merge into by_hand.state as old using newest as new on old.transaction_id = new.transaction_id
    when matched and new.lsn > old.lsn then update set *
    when not matched then insert *
"""


def main(first: bool) -> None:
    """Read the new messages, append the changes, merge the newest of each row."""
    spark = SparkSession.builder.getOrCreate()
    landed = spark.table("bronze.transactions").where("value is not null")
    if first:
        spark.sql("create schema if not exists by_hand")
        spark.sql("drop table if exists by_hand.changes")
        spark.sql("drop table if exists by_hand.state")
    else:
        newest_at = spark.sql("select max(ingested_at) from by_hand.changes").collect()[0][0]
        landed = landed.where(F.col("ingested_at") > F.lit(newest_at))

    changes = (
        landed.select(
            F.get_json_object(F.col("key").cast("string"), "$.transaction_id").cast("bigint").alias("transaction_id"),
            F.from_json(F.col("value").cast("string"), ENVELOPE).alias("m"),
            *("partition", "offset", "ingested_at"),
        )
        # A delete has its last values in `before`.
        .withColumn("r", F.coalesce("m.after", F.from_json("m.before", ROW)))
        .selectExpr(
            "transaction_id",
            "try_cast(r.account_id as int) as account_id",
            "r.transaction_type",
            "try_cast(r.amount as decimal(12, 2)) as amount",
            "r.category",
            "try_cast(r.transaction_date as timestamp) as transacted_at",
            *("m.op", "m.source.lsn", "m.source.txId as tx_id", "timestamp_micros(m.source.ts_us) as committed_at"),
            *("m.before", "partition", "offset", "ingested_at"),
        )
    )
    # What was sent again is there twice: in this batch, or in one before.
    identity = ["transaction_id", "op", "lsn", "tx_id"]
    sightings = Window.partitionBy(*identity).orderBy("offset")
    changes = changes.withColumn("n", F.row_number().over(sightings)).where("n = 1").drop("n")
    if first:
        changes.write.format("delta").saveAsTable("by_hand.changes")
        new = spark.table("by_hand.changes")
    else:
        changes = changes.join(spark.table("by_hand.changes").select(identity), identity, "left_anti")
        changes.write.format("delta").mode("append").saveAsTable("by_hand.changes")
        new = spark.table("by_hand.changes").where(F.col("ingested_at") > F.lit(newest_at))

    latest = Window.partitionBy("transaction_id").orderBy(F.desc("lsn"), F.desc("offset"))
    newest = new.withColumn("n", F.row_number().over(latest)).where("n = 1").drop("n", "before")
    newest = newest.withColumn("is_deleted", F.col("op") == "d")
    if first:
        table = newest.writeTo("by_hand.state").using("delta")
        table.tableProperty("delta.enableDeletionVectors", "true").create()
    else:
        newest.createOrReplaceTempView("newest")
        spark.sql(MERGE)


if __name__ == "__main__":
    main("--first" in sys.argv[1:])
