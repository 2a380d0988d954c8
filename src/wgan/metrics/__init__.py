"""Metrics of generated samples, each with its standard error, floor and provenance.

`load_extractor` returns a feature extractor; `measure` computes any of METRICS from features. The functions
behind the table take plain (N, d) arrays.
"""

from wgan.metrics.comparison import METRICS, Comparison, Features, Metric, measure, provenance
from wgan.metrics.estimates import Estimate, MetricValue, Provenance
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
from wgan.metrics.modes import Modes, count_modes, effective_modes, high_quality_share, label_divergence
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
    "MetricValue",
    "Modes",
    "Provenance",
    "count_modes",
    "density_coverage",
    "effective_modes",
    "frechet_distance",
    "from_callable",
    "high_quality_share",
    "kernel_distance",
    "label_divergence",
    "load_extractor",
    "measure",
    "memorisation",
    "memorisation_floor",
    "precision_recall",
    "provenance",
    "train_classifier",
]
