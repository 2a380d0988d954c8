"""``wgan recipes``."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import tyro
from rich.console import Console
from rich.table import Table

from wgan.cli.elsewhere import check_recipe
from wgan.cli.parse import parse
from wgan.errors import InputError
from wgan.runs import flatten, to_plain
from wgan.training import RECIPES, TrainingSettings, recipe

IMAGES, VECTORS = (1, 28, 28), (2,)


@dataclass(frozen=True)
class Recipes:
    """List the recipes, or print the settings of one."""

    name: tyro.conf.Positional[str | None] = None
    """Name of a recipe; by default all are listed."""
    vectors: bool = False
    """Print the recipe's settings for vectors instead of images."""


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Recipes, arguments)
    if command.name is not None:
        check_recipe(command.name)
    terminal = Console(highlight=False)
    if command.name is None:
        if command.vectors:
            raise InputError("--vectors needs the name of a recipe.")
        terminal.print("\n".join(_overview()), soft_wrap=True, markup=False)
    else:
        terminal.print(_table(command.name, VECTORS if command.vectors else IMAGES))


def _overview() -> Iterator[str]:
    head = ("name", "networks", "loss", "constraint", "optimiser")
    made = {name: recipe(name, VECTORS if name.startswith("toy") else IMAGES) for name in RECIPES}
    rows = [head, *((name, *_columns(settings)) for name, settings in made.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    origins = ["where it comes from", *(published.source for published in RECIPES.values())]
    for row, origin in zip(rows, origins, strict=True):
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        yield " " * (widths[0] + 2) + origin


def _columns(made: TrainingSettings) -> tuple[str, str, str, str]:
    optimisers = dict.fromkeys(map(_call, (made.generator_optimiser, made.critic_optimiser)))
    return type(made.networks).__name__, made.loss, _call(made.constraint), " / ".join(optimisers)


def _call(settings: object) -> str:
    values = [value for name, value in flatten(to_plain(settings)) if name not in ("is", "eps")]
    return f"{type(settings).__name__}({', '.join(map(_short, values))})"


def _short(value: object) -> str:
    return f"({', '.join(map(_short, value))})" if isinstance(value, list) else f"{value}"


def _table(name: str, shape: tuple[int, ...]) -> Table:
    made = recipe(name, shape)
    made.networks.build(shape)  # refuses what it does not fit
    table = Table(title=f"{name}: {RECIPES[name].source}")
    for column in ("setting", "value"):
        table.add_column(column, overflow="fold")  # rather than cut
    for setting, value in flatten(to_plain(made)):
        if setting != "is":
            table.add_row(setting.removesuffix(".is"), _short(value))
    return table
