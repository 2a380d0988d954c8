"""``wgan distil``."""

from collections.abc import Sequence
from pathlib import Path

from wgan.cli.export import Export
from wgan.cli.options import command_line, stored
from wgan.cli.parse import parse
from wgan.cli.report import reporting
from wgan.cli.run_options import Distil
from wgan.cli.terminal import monitors_of, print_status
from wgan.data import load
from wgan.deploy.distillation import Distillation, distil


def run(arguments: Sequence[str]) -> None:
    """Run the command."""
    command = parse(Distil, arguments)
    against = None if command.against is None else load(command.against, data_dir=command.data_dir)
    with reporting(command.out):
        distil(
            command.dir,
            command.out,
            Distillation(command.size, command.steps, command.pixel, command.feature),
            against=against,
            data_dir=command.data_dir,
            device=command.device,
            monitors=monitors_of(command.monitor, command.out),
            origin={"command": "distil", "arguments": stored(command), "name": "distil"},
        )
    print_status(f"Done: {command.out}.")
    print_status(f"Next: {command_line(Export(command.out, 'onnx', Path('dist')))}")
