"""The numbers of ``evaluation.json`` as tables, each with where it comes from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from wgan.metrics import Provenance
from wgan.report.html import Markup, join, tag
from wgan.report.numbers import shown
from wgan.report.run_data import Run, number

Row = Mapping[str, Any]

MEANINGS = {
    "w1": ("lower is better", "the least work that turns generated samples into real ones"),
    "fd": ("lower is better", "distance between two bell curves laid over the samples' features"),
    "kid": ("lower is better", "distance between the samples' features, without assuming a bell curve"),
    "precision": ("higher is better", "share of generated samples that look real"),
    "recall": ("higher is better", "share of real samples that the generator could have made"),
    "density": ("higher is better", "how closely generated samples sit among real ones"),
    "coverage": ("higher is better", "share of real samples with a generated one nearby"),
    "memorisation": ("lower is better", "share of generated samples that copy a training sample"),
    "modes": ("higher is better", "how many of the known clusters or classes appear"),
    "effective_modes": ("higher is better", "the same, each counted by how often it appears"),
    "high_quality": ("higher is better", "share of samples close to a cluster"),
    "reverse_kl": ("lower is better", "how unevenly the clusters are filled, by generated samples"),
    "kl": ("lower is better", "how unevenly the clusters are filled, by real samples"),
}
"""Which way is better, and what a metric is in a few words."""


def tables(run: Run) -> Markup:
    """The last step's numbers, and earlier ones folded away; nothing without any."""
    steps = sorted({row["step"] for row in run.numbers}, reverse=True)
    parts = [_step(run, step) for step in steps]
    older = tag("details", tag("summary", "Earlier measurements"), *parts[1:]) if len(parts) > 1 else None
    return join(*parts[:1], older)


def _step(run: Run, step: int) -> Markup:
    """Tables of one step, one for each provenance."""
    groups: dict[str, list[Row]] = {}
    for row in run.numbers:
        if row["step"] == step:
            groups.setdefault(_origin(row["provenance"]), []).append(row)
    tables = [_table(rows, origin) for origin, rows in groups.items()]
    return join(tag("h3", f"After {step:,} steps"), *tables)


def _table(rows: Sequence[Row], origin: str) -> Markup:
    head = tag("tr", *(tag("th", text, scope="col") for text in ("measure", "this run", "new real samples")))
    body = (
        tag(
            "tr",
            tag("th", _label(row), tag("small", *_meaning(row)), scope="row"),
            tag("td", value(row)),
            tag("td", floor(row)),
        )
        for row in rows
    )
    return tag(
        "div",
        tag("table", tag("thead", head), tag("tbody", *body), class_="numbers"),
        tag("p", origin, class_="origin"),
        class_="measured",
    )


def value(row: Row) -> str:
    """A number with its error, or the bounds of W1."""
    low, high, confidence = (number(row.get(name)) for name in ("lower", "upper", "confidence"))
    if low is not None and high is not None and confidence is not None:
        return f"{shown(low)} to {shown(high)} ({100 * confidence:g} % sure)"
    return _with_error(row)


def floor(row: Row) -> str:
    """What real samples get in the fakes' place."""
    given = row.get("floor")
    return _with_error(given) if isinstance(given, Mapping) else "–"


def _with_error(row: Row) -> str:
    found, error = number(row.get("value")), number(row.get("standard_error"))
    if found is None:
        return "–"
    return shown(found) + (f" ± {shown(error, 2)}" if error else "")


def _label(row: Row) -> str:
    return str(row.get("label") or row["name"])


def _meaning(row: Row) -> Iterator[str]:
    if row["name"] in MEANINGS:
        direction, meaning = MEANINGS[row["name"]]
        yield f"{meaning}; {direction}"


def _origin(given: Mapping[str, Any]) -> str:
    try:
        return str(Provenance(**given))
    except (TypeError, ValueError, AttributeError):  # of another version
        return ", ".join(f"{key}: {part}" for key, part in given.items())
