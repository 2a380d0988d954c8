"""What the machine's side of the ground does."""

import platform
import subprocess
import sys
from textwrap import dedent

import pytest

from wgan.core import devices

STAYING = """
    import sys
    from pathlib import Path
    import torch
    from wgan.core.devices import keep_freed_memory

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    if sys.argv[1] == "kept":
        keep_freed_memory()
    before = resident()
    torch.ones(30 << 18)  # 30 MiB, and gone
    print((resident() - before) / 2**20)
"""


def staying(how: str) -> float:
    """MiB that a process still has after it freed 30."""
    command = [sys.executable, "-c", dedent(STAYING), how]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries have other ways")
def test_freed_memory_stays():
    assert staying("given back") < 5
    assert 25 < staying("kept") < 35


@pytest.mark.parametrize("library", [object(), TypeError(), OSError()], ids=["another", "none", "hidden"])
def test_where_there_is_no_such_thing_it_is_looked_for_once(monkeypatch, library):
    asked = []

    def loads(name):
        asked.append(name)
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(devices.ctypes, "CDLL", loads)
    devices.keep_freed_memory()
    assert asked == [None]
