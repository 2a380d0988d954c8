"""What can be asked of a generator of classes: one, by its number or name, or every one in turn."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wgan.errors import InputError


def class_number(label: int | str, classes: Sequence[str] | None) -> int:
    """The number of the class that a label names; a name comes before a number, if a class is called so.

    Args:
        label: A class's name or number, counted from 0.
        classes: The names of all classes; None for a generator without.

    Raises:
        InputError: There is no such class, or there are none.
    """
    if classes is None:
        raise InputError("This generator knows no classes; leave the label out.")
    if str(label) in classes:
        return list(classes).index(str(label))
    text = str(label).strip()
    if text.isdecimal() and len(text) < 10 and int(text) < len(classes):
        return int(text)
    shown = ", ".join(classes[:20]) + (", ..." if len(classes) > 20 else "")
    raise InputError(
        f"There is no class {str(label)[:40]!r}: give a name ({shown}) or a number in [0, {len(classes)})."
    )


def in_turn(count: int, classes: int) -> npt.NDArray[np.int64]:
    """Every class in turn, (count,): what a conditional generator is asked when nobody says."""
    return np.arange(count, dtype=np.int64) % classes
