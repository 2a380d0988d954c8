"""The command that does a run again, from its configuration."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence

from wgan.report.gathering import Run


def command(run: Run) -> str | None:
    """The command line that trains this run, seed and all; None for one that was started from Python.

    Minutes are what the clock of one machine made of them: what is asked for again is the steps.
    """
    words = run.setting("origin.arguments")
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        return None
    return shlex.join(["wgan", "train", *_in_steps(words, run.planned)])


def _in_steps(words: Sequence[str], steps: int | None) -> Iterator[str]:
    follows = False
    for word in words:
        flag = word.partition("=")[0]
        if flag == "--minutes" and steps is not None:
            yield from ("--steps", str(steps))
        elif not follows:
            yield word
        follows = word == "--minutes" and steps is not None
