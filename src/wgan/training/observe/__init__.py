"""The numbers of a log point, measured without changing the run.

One module per subject; :class:`Observer` puts them together. The function that computes a number of
``metrics.jsonl`` documents it.
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
