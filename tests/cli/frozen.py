"""Every option of every command; ``python tests/cli/frozen.py`` writes them into frozen_options.txt."""

from collections.abc import Iterator
from dataclasses import MISSING
from importlib import import_module
from pathlib import Path

from wgan.cli import COMMANDS
from wgan.cli.options import all_options

FROZEN = Path(__file__).with_name("frozen_options.txt")


def command_class(name: str) -> type:
    """The dataclass of a command."""
    found: type = getattr(import_module(f"wgan.cli.{name}"), name.capitalize())
    return found


def frozen_options() -> Iterator[str]:
    """A line for each option: the command, the word that chooses its group, its name, type and default."""
    for command in COMMANDS:
        for group, member in all_options(command_class(command)):
            name = member.option.upper() if member.positional else f"--{member.option}"
            default = "required" if member.default is MISSING else repr(member.default)
            default = "computed" if member.computed else default
            words = ["wgan", command, *([group] if group else []), name]
            yield f"{' '.join(words)}: {member.type_name} = {default}"


if __name__ == "__main__":
    FROZEN.write_text("".join(f"{line}\n" for line in frozen_options()))
