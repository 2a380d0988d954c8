"""What a run sees of itself at a log point: a function of its state and the data, leaving no trace in either.

One module for each thing that is looked at; :class:`Observer` puts them together. What each name in
``metrics.jsonl`` means stands at the function that makes it.
"""

from wgan.training.observe.dataset_statistics import measure_dataset
from wgan.training.observe.observer import Observer
from wgan.training.observe.probe_batch import draw_probe_batch, observing, spread, spread_labels
from wgan.training.observe.scores import Scored, certified_bounds, gaps, scored
from wgan.training.observe.weights import gradient_norm

__all__ = [
    "Observer",
    "Scored",
    "certified_bounds",
    "draw_probe_batch",
    "gaps",
    "gradient_norm",
    "measure_dataset",
    "observing",
    "scored",
    "spread",
    "spread_labels",
]
