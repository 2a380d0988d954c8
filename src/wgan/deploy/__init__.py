"""Deployment: distil a run's generator, export it to other runtimes, validate and time the result."""

from wgan.deploy.benchmark import bench
from wgan.deploy.distillation import Distillation, distil
from wgan.deploy.exporting import TARGETS, export
from wgan.deploy.latency import Latency
from wgan.deploy.validation import GATE, Validation, verify

__all__ = ["GATE", "TARGETS", "Distillation", "Latency", "Validation", "bench", "distil", "export", "verify"]
