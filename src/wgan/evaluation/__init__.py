"""How good a run's samples are, or any set of samples; kept with the run, and put beside those of others."""

from wgan.evaluation.evaluator import NAMES, Evaluation, Watch, evaluate, unwatched
from wgan.evaluation.results import Column, columns, last_numbers, store
from wgan.evaluation.sample_sets import SampleSets, find_sample_sets

__all__ = [
    "NAMES",
    "Column",
    "Evaluation",
    "SampleSets",
    "Watch",
    "columns",
    "evaluate",
    "find_sample_sets",
    "last_numbers",
    "store",
    "unwatched",
]
