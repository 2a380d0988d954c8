"""Latencies as a table."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from wgan.deploy import Latency


def table(rows: Sequence[Latency], *, threads: int) -> None:
    """Print latencies, those of a batch size beside each other."""
    shown = Table(box=SIMPLE_HEAD, pad_edge=False)
    shown.add_column("batch", justify="right")
    shown.add_column(f"{threads} thread{'s' if threads > 1 else ''}", overflow="fold")
    for name in ("p50 ms", "p99 ms", "samples/s"):
        shown.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        shown.add_row(str(row.batch), row.name, f"{row.p50:.3f}", f"{row.p99:.3f}", f"{row.per_second:,.0f}")
    Console(highlight=False).print(shown, markup=False)
