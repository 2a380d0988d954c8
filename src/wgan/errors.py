"""What can go wrong for reasons outside this code, said in one sentence each.

Every one of them ends the command line with its message alone and exit code 2, or 1 for a run that diverged;
anything else that escapes is a defect of ours and shows its trace.
"""


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
