"""How often a conditional generator makes what it is asked for.

    python -m benchmarks.conditional RUN JUDGE

JUDGE is what `wgan classifier SOURCE` wrote. It labels 10,000 samples, every class in turn; agreement is
printed over all and by class, lowest first.
"""

from pathlib import Path

import numpy as np
import torch
import tyro
from rich.console import Console

from wgan.metrics import Classifier
from wgan.sampling import Sampler

COUNT = 10_000
AT_ONCE = 250


@torch.no_grad()
def main(run: tyro.conf.Positional[Path], judge: tyro.conf.Positional[Path]) -> None:
    """Ask, label and count.

    Args:
        run: The folder of a conditional run.
        judge: The file of a classifier.
    """
    sampler, classifier = Sampler.load(run, device="cpu"), Classifier.load(judge)
    asked, points = sampler.labels(COUNT), sampler.latents(COUNT, seed=0)
    assert asked is not None
    assert sampler.classes is not None
    chunks = zip(np.split(points, COUNT // AT_ONCE), np.split(asked, COUNT // AT_ONCE), strict=True)
    seen = torch.cat([classifier(sampler.from_latents(*chunk)) for chunk in chunks]).numpy()
    right = {str(name): float((seen == asked)[asked == at].mean()) for at, name in enumerate(sampler.classes)}
    terminal = Console(highlight=False)
    terminal.print(f"{(seen == asked).mean():.1%} of {COUNT:,} are what was asked for")
    for name, share in sorted(right.items(), key=lambda one: one[1]):
        terminal.print(f"{share:6.1%}  {name}")


if __name__ == "__main__":
    tyro.cli(main)
