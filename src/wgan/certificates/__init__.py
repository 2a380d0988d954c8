"""Proven Lipschitz constants of networks: from single operations to a whole critic."""

from wgan.certificates.certificate import Certificate, LayerBound, certify

__all__ = ["Certificate", "LayerBound", "certify"]
