"""What can go wrong for reasons outside this code, said in one sentence each.

Every one of them ends the command line with its message alone and exit code 2, or 1 for a run that diverged
or lost a process and for an artifact that is not good enough; anything else that escapes is a defect of ours
and shows its trace.
"""

import difflib
from collections.abc import Iterable


class WganError(Exception):
    """The root of all errors a user can mend; its message is one clear sentence."""


class InputError(WganError, ValueError):
    """What was given cannot work: the message says what it was, why, and what to do instead."""


class StorageError(WganError, OSError):
    """The file system refused: full, read-only, or not there. What was on disk before still is."""


class MissingExtraError(WganError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""


class DivergenceError(WganError, ArithmeticError):
    """Training produced numbers that are not finite; the run's last healthy checkpoint is kept."""


class ProcessError(WganError):
    """One of several processes that train together is gone or astray; the last checkpoint is whole."""


class GateError(WganError):
    """An exported generator is not good enough to be shipped; the message gives the numbers."""


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """The error for a name that is none of the known ones, with the one that was perhaps meant."""
    names = list(known)
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f"did you mean {close[0]!r}? There" if close else "there"
    return InputError(f"There is no {kind} {name!r}; {hint} are {', '.join(names)}.")


def check_whole(**values: tuple[object, int]) -> None:
    """Raise InputError for a value that is no whole number of at least the minimum beside it, below 2^31."""
    for name, (value, minimum) in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or not minimum <= value < 2**31:
            raise InputError(
                f"{name} must be a whole number of at least {minimum} and below 2^31, not {value!r}."
            )


def check_seed(seed: int) -> None:
    """Raise InputError for a seed outside [0, 2^63)."""
    if not isinstance(seed, int) or not 0 <= seed < 2**63:
        raise InputError(f"seed must be a whole number in [0, 2^63), not {seed!r}.")
