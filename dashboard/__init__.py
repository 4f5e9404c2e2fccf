"""Pages for people who read Gold: in the browser, on loopback, read only."""

from dashboard.errors import DashboardError
from dashboard.gold import Gold, Spark, Warehouse, names, open_gold

__all__ = ["DashboardError", "Gold", "Spark", "Warehouse", "names", "open_gold"]
