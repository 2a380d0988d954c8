"""Evaluation of a run or of any set of samples; results are stored with the run and compared between runs."""

from wgan.evaluation.evaluator import METRIC_NAMES, Evaluation, ProgressCallback, evaluate, no_progress
from wgan.evaluation.results import ResultColumn, comparable_columns, latest_results, save_results
from wgan.evaluation.sample_sets import SampleSets, find_sample_sets

__all__ = [
    "METRIC_NAMES",
    "Evaluation",
    "ProgressCallback",
    "ResultColumn",
    "SampleSets",
    "comparable_columns",
    "evaluate",
    "find_sample_sets",
    "latest_results",
    "no_progress",
    "save_results",
]
