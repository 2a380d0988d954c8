"""How good a run's samples are, or any set of samples; kept with the run, and put beside those of others."""

from wgan.evaluation.kept import Column, columns, last_numbers, store
from wgan.evaluation.measuring import NAMES, Evaluation, Watch, evaluate, unwatched
from wgan.evaluation.sets import Sets, find_sets

__all__ = [
    "NAMES",
    "Column",
    "Evaluation",
    "Sets",
    "Watch",
    "columns",
    "evaluate",
    "find_sets",
    "last_numbers",
    "store",
    "unwatched",
]
