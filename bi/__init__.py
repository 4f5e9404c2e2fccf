"""Files that Power BI and Tableau open, made from what dbt's project says of Gold."""

from bi.connection import Connection
from bi.errors import BiError
from bi.files import make, write
from bi.marts import Gold, from_manifest, read_manifest

__all__ = ["BiError", "Connection", "Gold", "from_manifest", "make", "read_manifest", "write"]
