"""The command line that applies a remedy: the run's own, with the settings changed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from wgan.diagnosis.finding import Settings
from wgan.diagnosis.history import History

PARTS = ("networks", "constraint", "generator-optimiser", "critic-optimiser")
"""The groups of settings whose kind is a word of its own, as in ``constraint:r1``, in their order."""
FLAGS = {"fork", "heal", "dry-run", "warm-up"}
"""Options without a value."""
PAIRS = {"betas"}
"""Settings of two values."""


def command(history: History, remedy: Settings) -> str | None:
    """The words that start the same run with other settings; None where it was not started from the shell.

    The new run starts beside the old one: what went wrong is in the old one's weights, too.
    """
    given = history.setting("origin.arguments")
    if not isinstance(given, Sequence) or isinstance(given, str):
        return None
    words = _Words.read([str(word) for word in given])
    before = [done["remedy"] for done in history.setting("origin.interventions") or ()]
    for settings in (*before, remedy):
        for path, value in settings.items():
            words.change(path.replace("_", "-"), value)
    for name in ("out", "fork", "dry-run"):
        words.options.pop(name, None)
    out = f"{history.setting('origin.out') or 'runs/run'}-remedied"
    return shlex.join(["wgan", "train", *words.spelled(out)])


@dataclass
class _Words:
    """A command line, sorted: in whichever order its words came, they go into the one that is understood."""

    positional: list[str] = field(default_factory=list)
    kinds: dict[str, str] = field(default_factory=dict)
    options: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def read(cls, words: Sequence[str]) -> _Words:
        """Sort a command line."""
        found, left = cls(), iter(words)
        for word in left:
            part = word.split(":")[0]
            if word.startswith("--"):
                name, equals, value = word[2:].partition("=")
                name = name.replace("_", "-")
                values = [value] if equals else [next(left, "") for _ in range(_arity(name))]
                repeated = found.options.get(name, []) if name == "monitor" else []
                found.options[name] = [*repeated, *values]
            elif ":" in word and part in PARTS:
                found.kinds[part] = word
            else:
                found.positional.append(word)
        return found

    def change(self, name: str, value: object) -> None:
        """Give a setting another value, or a part another kind with settings of its own."""
        if not isinstance(value, Mapping):
            self.options[name] = [f"{value}"]
            return
        # The settings of the kind that is given up are none of the new one's.
        self.options = {
            known: some for known, some in self.options.items() if not known.startswith(f"{name}.")
        }
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "-", str(value["is"])).lower()
        self.kinds[name] = f"{name}:{kind}"
        self.options |= {f"{name}.{key}": [f"{given}"] for key, given in value.items() if key != "is"}

    def spelled(self, out: str) -> Iterator[str]:
        """The words again, for a run in the folder ``out``."""
        chosen = tuple(f"{part}." for part in self.kinds)
        yield from self.positional
        yield from self._options(lambda name: not name.startswith(chosen) if chosen else True)
        yield from ("--out", out)
        for part in PARTS:
            if part in self.kinds:
                yield self.kinds[part]
                yield from self._options(lambda name, part=part: name.startswith(f"{part}."))  # type: ignore[misc]

    def _options(self, wanted: Callable[[str], bool]) -> Iterator[str]:
        for name, values in self.options.items():
            if wanted(name):
                if name == "monitor":
                    yield from (word for value in values for word in ("--monitor", value))
                else:
                    yield from (f"--{name}", *values)


def _arity(name: str) -> int:
    if name.removeprefix("no-") in FLAGS:
        return 0
    return 2 if name.rpartition(".")[2] in PAIRS else 1
