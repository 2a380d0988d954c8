"""The results of ``evaluation.json`` as tables, each with its provenance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from wgan.metrics import Provenance
from wgan.report.html import Markup, join, tag
from wgan.report.numbers import format_number
from wgan.report.run_data import RunData, as_number
from wgan.runs import Row

LOWER, HIGHER = "lower is better", "higher is better"
MEANINGS = {
    "w1": (LOWER, "the least work that turns generated samples into real ones"),
    "fd": (LOWER, "distance between two Gaussians fitted to the samples' features"),
    "kid": (LOWER, "distance between the samples' features, without assuming a Gaussian"),
    "precision": (HIGHER, "share of generated samples that look real"),
    "recall": (HIGHER, "share of real samples that the generator could have made"),
    "density": (HIGHER, "how closely generated samples sit among real ones"),
    "coverage": (HIGHER, "share of real samples with a generated one nearby"),
    "memorisation": (LOWER, "share of generated samples that copy a training sample"),
    "modes": (HIGHER, "how many of the known clusters or classes appear"),
    "effective_modes": (HIGHER, "the same, each counted by how often it appears"),
    "high_quality": (HIGHER, "share of samples close to a cluster"),
    "reverse_kl": (LOWER, "how unevenly the clusters are filled, by generated samples"),
    "kl": (LOWER, "how unevenly the clusters are filled, by real samples"),
}
"""The better direction of each metric, and its meaning in a few words."""


def result_tables(run: RunData) -> Markup:
    """The results of the last evaluated step, and those of earlier steps folded away."""
    steps = sorted({row["step"] for row in run.results}, reverse=True)
    parts = [_step_tables(run, step) for step in steps]
    older = tag("details", tag("summary", "Earlier measurements"), *parts[1:]) if len(parts) > 1 else None
    return join(*parts[:1], older)


def _step_tables(run: RunData, step: int) -> Markup:
    """One table for each provenance."""
    groups: dict[str, list[Row]] = {}
    for row in run.results:
        if row["step"] == step:
            groups.setdefault(_provenance(row["provenance"]), []).append(row)
    return join(tag("h3", f"After {step:,} steps"), *(_table(rows, text) for text, rows in groups.items()))


def _table(rows: Sequence[Row], provenance: str) -> Markup:
    head = tag("tr", *(tag("th", text, scope="col") for text in ("metric", "this run", "new real samples")))
    body = (
        tag(
            "tr",
            tag("th", str(row.get("label") or row["name"]), tag("small", _meaning(row)), scope="row"),
            tag("td", _result(row)),
            tag("td", _with_error(row["floor"]) if isinstance(row.get("floor"), Mapping) else "–"),
        )
        for row in rows
    )
    return tag(
        "div",
        tag("table", tag("thead", head), tag("tbody", *body), class_="numbers"),
        tag("p", provenance, class_="origin"),
        class_="measured",
    )


def _result(row: Row) -> str:
    """A value with its error, or the bounds of W1."""
    low, high, confidence = (as_number(row.get(name)) for name in ("lower", "upper", "confidence"))
    if low is not None and high is not None and confidence is not None:
        return f"{format_number(low)} to {format_number(high)} ({100 * confidence:g} % confidence)"
    return _with_error(row)


def _with_error(row: Mapping[str, Any]) -> str:
    value, error = as_number(row.get("value")), as_number(row.get("standard_error"))
    if value is None:
        return "–"
    return format_number(value) + (f" ± {format_number(error, 2)}" if error else "")


def _meaning(row: Row) -> str | None:
    direction, meaning = MEANINGS.get(row["name"], (None, None))
    return f"{meaning}; {direction}" if meaning else None


def _provenance(plain: Mapping[str, Any]) -> str:
    try:
        return str(Provenance(**plain))
    except (TypeError, ValueError, AttributeError):  # of another version
        return ", ".join(f"{key}: {value}" for key, value in plain.items())
