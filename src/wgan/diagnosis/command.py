"""The command line that applies a remedy: the run's own, with the settings changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence

from wgan.diagnosis.finding import Settings
from wgan.diagnosis.history import History

PARTS = ("networks", "constraint", "generator-optimiser", "critic-optimiser")
"""The groups of settings whose kind is a word of its own, as in ``constraint:r1``, in their order."""


def command(history: History, remedy: Settings) -> str | None:
    """The words that start the same run with other settings; None where it was not started from the shell.

    The new run starts beside the old one: what went wrong is in the old one's weights, too.
    """
    words = history.setting("origin.arguments")
    if not isinstance(words, Sequence) or isinstance(words, str):
        return None
    groups = _grouped([str(word) for word in words])
    before = [done["remedy"] for done in history.setting("origin.interventions") or ()]
    for path, value in [item for settings in (*before, remedy) for item in settings.items()]:
        name = path.replace("_", "-")
        head, dot, _ = name.partition(".")
        if isinstance(value, Mapping):
            groups[name] = _chosen(name, value)
        elif dot and groups[head]:
            groups[head] = [*_without(groups[head], name), f"--{name}", f"{value}"]
        else:
            groups[""] = [*_without(groups[""], name), f"--{name}", f"{value}"]
        if isinstance(value, Mapping):  # settings of the kind that is given up
            groups[""] = _without(groups[""], name, parts=True)
    kept = _without(_without(groups[""], "out"), "fork")
    out = f"{history.setting('origin.out') or 'runs/run'}-remedied"
    rest = [word for part in PARTS for word in groups[part]]
    return shlex.join(["wgan", "train", *kept, "--out", out, *rest])


def _grouped(words: Sequence[str]) -> dict[str, list[str]]:
    """The words by the part they follow: those before any part first, under the empty name."""
    groups: dict[str, list[str]] = {"": [], **{part: [] for part in PARTS}}
    current = ""
    for word in words:
        kind = word.split(":")[0]
        if ":" in word and kind in PARTS:
            current = kind
        groups[current].append(word)
    return groups


def _chosen(part: str, value: Mapping[str, object]) -> list[str]:
    kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", str(value["is"])).lower()
    options = [
        word for name, given in value.items() if name != "is" for word in (f"--{part}.{name}", f"{given}")
    ]
    return [f"{part}:{kind}", *options]


def _without(words: Sequence[str], option: str, *, parts: bool = False) -> list[str]:
    """The words without an option and its values; with ``parts``, without all options below it."""
    kept: list[str] = []
    dropping = False
    for word in words:
        if word.startswith("--"):
            name = word[2:].split("=")[0].replace("_", "-")
            dropping = name == option or (parts and name.startswith(f"{option}."))
        if not dropping:
            kept.append(word)
    return kept
