"""What the tests of commands share."""

import shlex

import pytest

from wgan.cli import main


@pytest.fixture
def wgan(somewhere, capfd):
    """Runs a command `somewhere`, which has to go well; returns what it prints on both streams."""

    def run(command):
        code = main(shlex.split(command))
        out, err = capfd.readouterr()
        assert code == 0, err
        return out, err

    return run
