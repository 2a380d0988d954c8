"""How close the auditor comes to W1 where W1 is known: the 28 MinFunnel pairs.

    python -m benchmarks.wasserstein1                    # all pairs, seeds 0 1 2; goes on where it was
    python -m benchmarks.wasserstein1 --table            # prints the table of what has been measured

The critic is a network, fitted as `wgan.audit` fits its own; samples are fresh in each step, and up to 64
dimensions it may have more members than for samples that are given. It is measured on 4,096 fresh, unpaired
samples of each side. *cost*: its gap / certificate, in % of W1. *cos*, *L2*: of its gradient at samples of Q
against that of the optimal critic. Each fit is a line of benchmarks/wasserstein1.jsonl. The other critic that
`wgan.audit` tries, the potentials of 4,096 samples extended to all points, has the very form of these pairs'
answer: it is for comparison, and a table apart.
"""

import json
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from statistics import fmean
from typing import Any, Literal

import torch
import torch.nn.functional as F
import tyro
from rich.console import Console
from torch import Tensor, nn

from benchmarks.funnels import COUNTS, DIMS, SIDE, Pair, make_pair
from wgan.certificates import certify
from wgan.wasserstein.auditing import (
    FRESH_SAMPLE_CANDIDATES,
    DrawBatches,
    FitSettings,
    TransportCandidate,
    fit_critic,
)
from wgan.wasserstein.bracket import lower_bound, upper_bound

RESULTS = Path(__file__).with_suffix(".jsonl")
STEPS = 600
"""Twice what `wgan.audit` takes by itself."""
TESTED = 4096
TRUTH = 65_536
"""Pairs (x, y) that give the truth."""
ERROR = 0.005
"""Of each side of the bracket: 99 % confidence."""
SCALE = SIDE / 3**0.5
"""The spread of P: the auditor fits samples of size one."""
AIMS = {4: 97, 16: 90, 64: 75, 256: 65}
CANDIDATES = {"network": FRESH_SAMPLE_CANDIDATES, "potentials": (TransportCandidate(),)}

Row = dict[str, Any]


@dataclass(frozen=True)
class Benchmark:
    """Fit the auditing critic to the MinFunnel pairs."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """Of the critics and their samples."""
    dims: tuple[int, ...] = DIMS
    """Dimensions D."""
    counts: tuple[int, ...] = COUNTS
    """Numbers of funnels N."""
    critic: Literal["network", "potentials"] = "network"
    """Which; the table is of both."""
    steps: int = STEPS
    """Steps a fit."""
    jobs: int = 2
    """Fits at a time, each on one thread."""
    table: bool = False
    """Only print what was measured."""


def main() -> None:
    """Run what is missing and print the table."""
    command = tyro.cli(Benchmark, config=(tyro.conf.OmitArgPrefixes,))
    if not command.table:
        measure(command)
    for critic in CANDIDATES:
        print(f"{critic}:\n")
        for line in lines([row for row in read() if row["critic"] == critic]):
            print(line)
        print()


def measure(command: Benchmark) -> None:
    """Run the fits of which there is no row."""
    there = {(row["D"], row["N"], row["seed"], row["steps"], row["critic"]) for row in read()}
    asked = product(command.seeds, command.counts, command.dims)
    cases = [(d, n, seed, command.steps, command.critic) for seed, n, d in asked]
    left = [case for case in cases if case not in there]
    terminal = Console(stderr=True, highlight=False)
    with ProcessPoolExecutor(command.jobs, mp_context=get_context("spawn")) as pool:
        for done, future in enumerate(as_completed([pool.submit(fit_pair, *case) for case in left]), 1):
            row = future.result()
            with RESULTS.open("a") as file:
                file.write(json.dumps(row) + "\n")
            terminal.print(f"{done}/{len(left)}", row)


def read() -> list[Row]:
    """What has been measured."""
    return [json.loads(line) for line in RESULTS.read_text().splitlines()] if RESULTS.is_file() else []


def fit_pair(dim: int, count: int, seed: int, steps: int, kind: str) -> Row:
    """One fit and its measures."""
    torch.set_num_threads(1)
    pair, start = make_pair(dim, count), time.process_time()
    fit = FitSettings(candidates=CANDIDATES[kind], steps=steps)
    # The optimal critic is -u: it is high on Q.
    critic = fit_critic(fresh(pair), dim, fit=fit, seed=seed)
    seconds = time.process_time() - start
    certificate = certify(critic).bound
    assert certificate is not None
    rng = torch.Generator().manual_seed(10**6 + seed)
    x, origin = pair.draw_p(TESTED, rng), pair.draw_p(TESTED, rng)
    y = pair.push(origin)
    cos, l2 = _gradients(critic, y, pair.slope(origin))
    with torch.no_grad():
        on_p, on_q = (SCALE * critic((part / SCALE).float()).double() for part in (x, y))
    truth, truth_error = truth_of(pair)
    value = float(on_q.mean() - on_p.mean()) / certificate
    error = float((on_p.var() / TESTED + on_q.var() / TESTED).sqrt())
    # What f can be on the box bounds its scores before any sample is seen.
    reach = SIDE * dim**0.5 * certificate
    with torch.no_grad():
        middle = SCALE * float(critic(torch.zeros(1, dim)))
    limits = (middle - reach, middle + reach)
    return {
        "D": dim,
        "N": count,
        "seed": seed,
        "steps": steps,
        "W1": truth,
        "W1_error": truth_error,
        "cost": 100 * value / truth,
        "cost_error": 100 * error / truth,
        "cos": cos,
        "L2": l2,
        "certificate": certificate,
        "lower": lower_bound(on_q.numpy(), on_p.numpy(), certificate=certificate, limits=limits, error=ERROR),
        "upper": upper_bound(x.numpy(), y.numpy(), error=ERROR),
        "critic": kind,
        "form": {name: value for name, value in critic.arguments.items() if name != "shape"},
        "seconds": seconds,
    }


def fresh(pair: Pair, *, ahead: int = 16_384) -> DrawBatches:
    """Fresh batches of (Q, P) of size one; those of several steps are drawn at once."""
    left: list[Tensor] = [torch.empty(0, pair.dim), torch.empty(0, pair.dim)]

    def draw(rng: torch.Generator, count: int) -> tuple[Tensor, Tensor]:
        nonlocal left
        if len(left[0]) < count:
            size = max(ahead, count)
            left = [(part / SCALE).float() for part in (pair.draw_q(size, rng), pair.draw_p(size, rng))]
        (q, *rest_q), (p, *rest_p) = ((side[:count], side[count:]) for side in left)
        left = [*rest_q, *rest_p]
        return q, p

    return draw


def truth_of(pair: Pair) -> tuple[float, float]:
    """W1 and its standard error."""
    x = pair.draw_p(TRUTH, torch.Generator().manual_seed(4242))
    costs = (x - pair.push(x)).norm(dim=1)
    return float(costs.mean()), float(costs.std() / TRUTH**0.5)


def _gradients(critic: nn.Module, y: Tensor, slope: Tensor) -> tuple[float, float]:
    """Against -grad u, which is taken where the ray began: many y are at a funnel's bottom up to rounding."""
    at = (y / SCALE).float().requires_grad_()
    (found,) = torch.autograd.grad(critic(at).sum(), at)
    cos = F.cosine_similarity(found.double(), -slope, dim=1).mean()
    return float(cos), float((found + slope).square().sum(1).mean())


def lines(rows: Sequence[Row]) -> Iterator[str]:
    """The table, and what it says about the aims."""
    yield "| D | N | W1 | cost % | cos | L2 | bracket (99 %) | certificate | seeds | core-seconds a fit |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    groups = {key: some for key in product(DIMS, COUNTS) if (some := _of(rows, *key))}
    for (dim, count), some in sorted(groups.items(), key=lambda item: (item[0][1], item[0][0])):
        low, high = min(row["lower"] for row in some), max(row["upper"] for row in some)
        bound = max(row["certificate"] for row in some)
        yield (
            f"| {dim} | {count} | {some[0]['W1']:.3f} | {_mean(some, 'cost'):.1f} | {_mean(some, 'cos'):.2f} "
            f"| {_mean(some, 'L2'):.2f} | {low:.3f} .. {high:.3f} | {bound:.7f} "
            f"| {len(some)} | {_mean(some, 'seconds'):.0f} |"
        )
    yield ""
    for count, aim in AIMS.items():
        costs = [_mean(some, "cost") for (_, n), some in groups.items() if n == count]
        if costs:
            spread = f"{min(costs):.1f} to {max(costs):.1f} %, mean {fmean(costs):.1f} %"
            yield f"- N = {count}: {spread} (aim: {aim} %)"
    if groups:
        off = fmean(abs(100 - _mean(some, "cost")) for some in groups.values())
        cos, l2 = (fmean(_mean(some, name) for some in groups.values()) for name in ("cos", "L2"))
        yield f"- Mean error {off:.1f} % (aim: 12), mean cos {cos:.2f} (.80), mean L2 {l2:.2f} (.35)"
        above = sum(row["cost"] > 100 + 3 * row["cost_error"] for row in rows)
        holds = sum(row["lower"] <= row["W1"] <= row["upper"] for row in rows)
        yield f"- Above the truth by 3 standard errors: {above} of {len(rows)} fits"
        yield f"- The bracket holds the truth: {holds} of {len(rows)} fits"


def _of(rows: Sequence[Row], dim: int, count: int) -> list[Row]:
    return [row for row in rows if (row["D"], row["N"]) == (dim, count)]


def _mean(rows: Sequence[Row], name: str) -> float:
    return fmean(row[name] for row in rows)


if __name__ == "__main__":
    main()
