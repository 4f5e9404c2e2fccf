"""Reconciliation: is what dbt made of the bank what the bank says itself?"""

from reconcile.check import Result, reconcile
from reconcile.errors import ReconcileError
from reconcile.gold import MARTS, customer_profile

__all__ = ["MARTS", "ReconcileError", "Result", "customer_profile", "reconcile"]
