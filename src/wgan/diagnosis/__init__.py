"""What is wrong with a run, since when, how one sees it and what to do: read off its history alone."""

from wgan.diagnosis.finding import Finding, Severity, format_settings
from wgan.diagnosis.history import History
from wgan.diagnosis.rules import RULES, Rule, diagnose
from wgan.diagnosis.symptoms import VITAL

__all__ = ["RULES", "VITAL", "Finding", "History", "Rule", "Severity", "diagnose", "format_settings"]
