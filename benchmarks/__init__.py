"""Measurements, each a command; what they printed stands in benchmarks/README.md."""
