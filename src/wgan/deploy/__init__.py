"""From a run to the edge: smaller, in another runtime, in int8, and with proof that it still is the model."""

from wgan.deploy.benchmark import bench
from wgan.deploy.distillation import distil
from wgan.deploy.exporting import TARGETS, export
from wgan.deploy.latency import Latency
from wgan.deploy.validation import GATE, Validation, verify

__all__ = ["GATE", "TARGETS", "Latency", "Validation", "bench", "distil", "export", "verify"]
