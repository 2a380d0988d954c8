"""The command line: ``wgan COMMAND ...``, one module a command, each imported only when it runs."""

import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from wgan.errors import DivergenceError, GateError, ProcessError, WganError

COMMANDS = {
    "train": "Train a generator; the same command again goes on where it was.",
    "sample": "Draw samples from a trained generator.",
    "animate": "Make a GIF of a run's images over its steps.",
    "interpolate": "Walk from one sample to another.",
    "directions": "Find the ways to change samples most, and show each.",
    "invert": "Find the latents whose samples are nearest to given images.",
    "diagnose": "Say what is wrong with a run, and what to do.",
    "report": "Write a run's report: one page with its verdict, images, curves and numbers.",
    "evaluate": "Measure how good a run's samples are, or any sample set.",
    "compare": "Put the numbers of runs beside each other.",
    "classifier": "Train a classifier that judges images of its own kind.",
    "distil": "Train a smaller generator on what a run's generator makes.",
    "export": "Write a run's generator as an artifact for ONNX Runtime, OpenVINO, web, Triton or Lambda.",
    "verify": "Measure an artifact again, on this machine, and say whether it still passes.",
    "bench": "Time artifacts and runs beside each other.",
    "serve": "Serve an exported generator over HTTP, with a page to look at.",
    "audit": "Bracket the Wasserstein distance of two sample sets.",
    "data": "Pack a set that is larger than memory, or read a pack through.",
    "recipes": "List the recipes, or print one whole.",
}
"""Each command's module in this package, and what it does."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: Those after the program's name; ``sys.argv`` by default.

    Returns:
        The exit code: 0, 1 for a run that diverged or an artifact that is not good enough, 2 for bad input,
        130 after SIGINT, 143 after SIGTERM.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        _help()
        return 0
    if name == "--version":
        return _version()
    if name not in COMMANDS:
        return _fail(f"There is no command {name!r}; known are {', '.join(COMMANDS)}.")
    # Idle threads that spin make small networks many times slower as soon as a core is shared.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _note
            import_module(f"wgan.cli.{name}").run(rest)
    except ProcessError as error:  # which each process sees in its own way
        sys.stderr.write(f"wgan: {error}\n")
        return 1
    except (DivergenceError, GateError) as error:
        return _fail(str(error), code=1)
    except WganError as error:
        return _fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        return _fail("There is not enough memory for this; ask for smaller batches, networks or images.")
    except BrokenPipeError:
        return _stop_printing()
    except KeyboardInterrupt:
        return 130
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0
    return 0


def _help() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 3))
    for name, text in COMMANDS.items():
        table.add_row(f"  [bold]{name}[/bold]", text)
    console = Console(highlight=False)
    console.print("Wasserstein generative networks.\n\nusage: wgan COMMAND ...\n")
    console.print(table)
    console.print("\n  wgan COMMAND --help    the options of a command\n  wgan --version")


def _version() -> int:
    from importlib.metadata import version

    sys.stdout.write(f"wgan {version('wgan')}\n")
    return 0


def _fail(message: str, *, code: int = 2) -> int:
    if os.environ.get("RANK", "0") == "0":  # of several processes that fail alike, one says so
        sys.stderr.write(f"wgan: {message}\n")
    return code


def _is_out_of_memory(error: Exception) -> bool:
    # On the CPU, torch has no class of its own for it.
    return isinstance(error, MemoryError) or re.search("out of memory|can't allocate", str(error)) is not None


def _stop_printing() -> int:
    # As in ``wgan recipes | head -1``; Python would complain once more when it flushes at its end.
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 1


def _note(message: Warning | str, *unused: object, **unused_too: object) -> None:
    sys.stderr.write(f"wgan: note: {message}\n")
