"""From a run to the edge: smaller, in another runtime, in int8, and with proof that it still is the model."""

from wgan.edge.benching import bench
from wgan.edge.distilling import distil
from wgan.edge.exporting import TARGETS, export
from wgan.edge.latency import Latency
from wgan.edge.proof import GATE, Proof, verify

__all__ = ["GATE", "TARGETS", "Latency", "Proof", "bench", "distil", "export", "verify"]
