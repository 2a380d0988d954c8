"""The command line of a run, again or with the settings of a remedy: the one reader of its words."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wgan.diagnosis.finding import SettingsByPath
from wgan.diagnosis.history import History
from wgan.runs import setting

PARTS = ("networks", "constraint", "generator-optimiser", "critic-optimiser")
"""The groups of settings whose kind is a word of its own, as in ``constraint:r1``, in their order."""
FLAGS = {"fork", "heal", "dry-run", "warm-up"}
"""Options without a value."""
PAIRS = {"betas"}
"""Settings of two values."""


def command(history: History, remedy: SettingsByPath) -> str | None:
    """The words that start the same run with other settings; None where it was not started from the shell.

    The new run starts beside the old one: what went wrong is in the old one's weights, too.
    """
    words = _words(history.config)
    if words is None:
        return None
    before = [done["remedy"] for done in history.setting("origin.interventions") or ()]
    for settings in (*before, remedy):
        for path, value in settings.items():
            words.change(path.replace("_", "-"), value)
    for name in ("out", "fork", "dry-run"):
        words.options.pop(name, None)
    out = f"{history.setting('origin.out') or 'runs/run'}-remedied"
    words.options["out"] = [out]
    return shlex.join(["wgan", "train", *words.spelled()])


def again(config: Mapping[str, Any]) -> str | None:
    """The words that train a run again, seed and all; None where it was not started from the shell.

    Minutes are what the clock of one machine made of them: what is asked for again is the steps.
    """
    words, steps = _words(config), config.get("steps")
    if words is None:
        return None
    if isinstance(steps, int):
        timed = {"minutes": ("steps", [f"{steps}"])}
        words.options = dict(timed.get(name, (name, some)) for name, some in words.options.items())
    return shlex.join(["wgan", "train", *words.spelled()])


def _words(config: Mapping[str, Any]) -> _Words | None:
    given = setting(config, "origin.arguments")
    known = isinstance(given, list) and all(isinstance(word, str) for word in given)
    return _Words.read(given) if known else None


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

    def spelled(self) -> Iterator[str]:
        """The words again."""
        chosen = tuple(f"{part}." for part in self.kinds)
        yield from self.positional
        yield from self._options(lambda name: not name.startswith(chosen) if chosen else True)
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
