"""Labels of a class-conditional generator: one class by number or name, or all classes in turn."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wgan.errors import InputError


def class_number(label: int | str, classes: Sequence[str] | None) -> int:
    """Return the number of a class; a name takes precedence over a number of the same text.

    Args:
        label: A class's name or number, counted from 0.
        classes: The names of all classes; None for a generator without classes.

    Raises:
        InputError: There is no such class, or the generator has no classes.
    """
    if classes is None:
        raise InputError("This generator has no classes; leave the label out.")
    if str(label) in classes:
        return list(classes).index(str(label))
    text = str(label).strip()
    if text.isdecimal() and len(text) < 10 and int(text) < len(classes):
        return int(text)
    shown = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    raise InputError(
        f"There is no class {str(label)[:40]!r}: give a name ({shown}) or a number in [0, {len(classes)})."
    )


def cycle_classes(count: int, classes: int) -> npt.NDArray[np.int64]:
    """Return 0, 1, ..., classes - 1, 0, 1, ... (count,): the labels of samples whose class was not chosen."""
    return np.arange(count, dtype=np.int64) % classes
