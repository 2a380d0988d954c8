"""How good generated samples are, in numbers that can be trusted: each with its error, floor and provenance.

`load_extractor` makes features of samples, once; `measure` takes them through any of METRICS. The functions
behind the table take plain (N, d) arrays and can be called by themselves.
"""

from wgan.metrics.comparison import METRICS, Comparison, Features, Metric, measure, provenance
from wgan.metrics.estimates import Estimate, Provenance, Value
from wgan.metrics.extractors import (
    EXTRACTORS,
    PIXELS,
    Classifier,
    Extractor,
    from_callable,
    load_extractor,
    train_classifier,
)
from wgan.metrics.frechet import frechet_distance
from wgan.metrics.kernel import kernel_distance
from wgan.metrics.modes import Modes, effective, high_quality, label_divergence, reached
from wgan.metrics.neighbours import (
    NEIGHBOURS,
    density_coverage,
    memorisation,
    memorisation_floor,
    precision_recall,
)

__all__ = [
    "EXTRACTORS",
    "METRICS",
    "NEIGHBOURS",
    "PIXELS",
    "Classifier",
    "Comparison",
    "Estimate",
    "Extractor",
    "Features",
    "Metric",
    "Modes",
    "Provenance",
    "Value",
    "density_coverage",
    "effective",
    "frechet_distance",
    "from_callable",
    "high_quality",
    "kernel_distance",
    "label_divergence",
    "load_extractor",
    "measure",
    "memorisation",
    "memorisation_floor",
    "precision_recall",
    "provenance",
    "reached",
    "train_classifier",
]
