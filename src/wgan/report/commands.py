"""The commands that a report prints."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Commands:
    """Commands about one run, as they are typed in a shell.

    Attributes:
        rerun: Trains the run again; None where it was not started from the command line.
        remedied: The command that starts the run anew with other settings, by their dotted paths; None as
            above.
        evaluate: Measures the run.
        sample: Draws samples from the run.
    """

    rerun: str | None
    remedied: Callable[[Mapping[str, Any]], str | None]
    evaluate: str
    sample: str
