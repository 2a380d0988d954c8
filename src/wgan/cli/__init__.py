"""The command line: ``wgan COMMAND ...``, one module a command, each imported only when it runs."""

import os
import re
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

from wgan.errors import DivergenceError, GateError, ProcessError, WganError

GROUPS = {
    "Train": {
        "train": "Train a generator; the same command again resumes the run.",
        "recipes": "List the recipes, or print the settings of one.",
        "distil": "Train a smaller generator to imitate that of a run.",
        "data": "Pack a dataset that is larger than memory, or verify a pack.",
    },
    "Understand a run": {
        "report": "Write a run's report: findings, images, curves and numbers on one page.",
        "diagnose": "Find what is wrong with a run, and what to do about it.",
        "evaluate": "Measure the quality of a run's samples, or of any samples.",
        "compare": "Compare the evaluations of several runs.",
        "audit": "Bracket the Wasserstein distance between two sets of samples.",
        "classifier": "Train a classifier whose features evaluate images of its own kind.",
    },
    "Draw samples": {
        "sample": "Draw samples from a trained generator.",
        "animate": "Make a GIF of a run's images over its steps.",
        "interpolate": "Interpolate between samples.",
        "directions": "Find the latent directions that change samples most.",
        "invert": "Find the latents of given images.",
    },
    "Deploy": {
        "export": "Export a run's generator for ONNX Runtime, OpenVINO, web, Triton or Lambda.",
        "verify": "Verify an exported generator on this machine.",
        "bench": "Measure the latency of exported generators and runs.",
        "serve": "Serve an exported generator over HTTP, with a demo page.",
    },
}
"""The commands, in the groups of the help: each is a module of this package."""
COMMANDS = {name: text for group in GROUPS.values() for name, text in group.items()}


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
        return _fail(_unknown_command(name))
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

    console = Console(highlight=False)
    console.print("Wasserstein generative adversarial networks.\n\nusage: wgan COMMAND ...")
    for title, commands in GROUPS.items():
        table = Table.grid(padding=(0, 3))
        for name, text in commands.items():
            table.add_row(f"  [bold]{name:11}[/bold]", text)
        console.print(f"\n{title}", table, sep="\n")
    console.print("\n  wgan COMMAND --help    the options of a command\n  wgan --version")


def _unknown_command(name: str) -> str:
    from difflib import get_close_matches

    from wgan.cli.elsewhere import COMMANDS as ELSEWHERE

    close = [ELSEWHERE[name]] if name in ELSEWHERE else get_close_matches(name, COMMANDS, 1)
    meant = f"; did you mean wgan {close[0]}?" if close else "."
    return f"There is no command {name!r}{meant} The commands are {', '.join(COMMANDS)}."


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
