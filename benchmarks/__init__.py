"""`make bench`: the whole chain measured on a stack of its own, each figure beside a reference of the same run."""

from benchmarks.results import Figure, ResultsError, compare, read_figures

__all__ = ["Figure", "ResultsError", "compare", "read_figures"]
