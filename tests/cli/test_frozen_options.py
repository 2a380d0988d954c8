"""The command line is a promise: an option is added, renamed or given another default on purpose only."""

from frozen import FROZEN, frozen_options


def test_the_options_are_those_of_the_frozen_file():
    """Where a change is meant, ``python tests/cli/frozen.py`` writes the file anew."""
    assert list(frozen_options()) == FROZEN.read_text().splitlines()
