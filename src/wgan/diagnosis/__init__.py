"""Diagnosis: what is wrong with a run, since when, with which evidence and what to do, from its history."""

from wgan.diagnosis.finding import Finding, Severity, format_settings
from wgan.diagnosis.history import History
from wgan.diagnosis.rules import RULES, Rule, diagnose
from wgan.diagnosis.symptoms import VITAL

__all__ = ["RULES", "VITAL", "Finding", "History", "Rule", "Severity", "diagnose", "format_settings"]
