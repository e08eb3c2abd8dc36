"""Runs and explainers side by side on the same videos, with intervals: the tables of papers, made for any of them."""

from objabn.comparison.bootstrap import Interval, bootstrap_intervals, mcnemar, wilson_interval
from objabn.comparison.comparison import Comparison, RunFacts, make_comparison
from objabn.comparison.differences import Cell, Difference, RunValues, Statistics, statistics
from objabn.comparison.measuring import Measuring
from objabn.comparison.quantities import QUANTITIES, Quantity

__all__ = [
    "QUANTITIES",
    "Cell",
    "Comparison",
    "Difference",
    "Interval",
    "Measuring",
    "Quantity",
    "RunFacts",
    "RunValues",
    "Statistics",
    "bootstrap_intervals",
    "make_comparison",
    "mcnemar",
    "statistics",
    "wilson_interval",
]
