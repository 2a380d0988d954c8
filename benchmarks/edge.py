"""How long one sample takes on one thread, and what it costs in quality.

    python -m benchmarks.edge --runs runs/edge

Trains the default recipe on Fashion-MNIST and digits with 128,000 images, distils students of at most a
quarter of the weights with as many, and converts all of them; runs in the folder are resumed. All forms of a
generator are timed in turns in one process, so that other load on the machine affects all alike. The last
table has the DCGAN generator of width 64 with random weights, of which only the time matters, as of the
diffusion model beside each: a U-Net of about as many weights as the generator, random ones, in 50 and in
1,000 steps of ancestral sampling (Ho, Jain, Abbeel 2020, "Denoising Diffusion Probabilistic Models",
algorithm 2).
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from wgan.artifact import RUNTIMES, Feed
from wgan.data import load
from wgan.deploy import distil
from wgan.deploy.distillation import SIZE, narrower
from wgan.deploy.exporting import CONVERSIONS
from wgan.deploy.latency import Latency, measure
from wgan.deploy.reference_statistics import Forward, ReferenceStatistics, find_extractor
from wgan.deploy.trained_generator import TrainedGenerator
from wgan.deploy.validation import Reference
from wgan.networks import DCGANGenerator, describe
from wgan.runs import RunFolder
from wgan.sampling import Sampler
from wgan.training import Trainer, recipe

SOURCES = ("fashion-mnist", "digits")
SEEN = 128_000
"""Images that a run learns from."""
COUNT = 5_000
ROWS = Path(__file__).with_suffix(".jsonl")
EAGER = "eager torch"
FORMS = {
    "ONNX Runtime, float32": ("onnx", False),
    "OpenVINO, float32": ("openvino", False),
    "OpenVINO, int8": ("openvino", True),
}


@dataclass(frozen=True)
class Options:
    """What to measure, and where runs are kept."""

    runs: Path = Path("runs/edge")
    """Folder of the runs; made if need be."""
    seconds: float = 2.0
    """For which each form is called."""
    out: Path = ROWS
    """Where the rows go."""


class UNet(nn.Module):
    """Images (N, C, H, W) and times (N,) to noise, over two scales."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.time = nn.Sequential(nn.Linear(32, 2 * width), nn.SiLU(), nn.Linear(2 * width, 2 * width))
        self.enter = nn.Conv2d(channels, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(2 * width, 2 * width, 3, padding=1)
        self.up = nn.ConvTranspose2d(2 * width, width, 4, stride=2, padding=1)
        self.leave = nn.Conv2d(2 * width, channels, 3, padding=1)

    def forward(self, noisy: Tensor, times: Tensor) -> Tensor:
        """The noise in an image."""
        angles = times[:, None] * torch.exp(-9.0 * torch.arange(16) / 16)
        time = self.time(torch.cat([angles.sin(), angles.cos()], 1))[:, :, None, None]
        high = F.silu(self.enter(noisy))
        low = F.silu(self.middle(F.silu(self.down(high) + time)))
        return self.leave(torch.cat([F.silu(self.up(low)), high], 1))


def weights(network: nn.Module) -> int:
    """How many there are."""
    return sum(parameter.numel() for parameter in network.parameters())


def diffusion(generator: nn.Module, shape: tuple[int, ...], steps: int) -> Forward:
    """Ancestral sampling with a U-Net of about as many weights as a generator."""
    width = min(range(4, 256), key=lambda w: abs(weights(UNet(shape[0], w)) - weights(generator)))
    network = UNet(shape[0], width).eval()
    betas = torch.linspace(1e-4, 0.02, steps)
    kept = torch.cumprod(1 - betas, 0)

    @torch.inference_mode()
    def forward(given: Feed) -> np.ndarray:
        count = len(given["latents"])
        samples = torch.randn(count, *shape)
        for step in reversed(range(steps)):
            noise = network(samples, torch.full((count,), float(step)))
            samples = (samples - betas[step] / (1 - kept[step]).sqrt() * noise) / (1 - betas[step]).sqrt()
            if step:
                samples = samples + betas[step].sqrt() * torch.randn_like(samples)
        return samples.numpy()

    return forward


def compiled(trained: TrainedGenerator) -> Forward:
    """The generator by ``torch.compile``."""
    network = torch.compile(trained.sampler.generator)

    @torch.inference_mode()
    def forward(given: Feed) -> np.ndarray:
        return network(torch.from_numpy(given["latents"])).numpy()

    return forward


def forms(trained: TrainedGenerator, folder: Path, prefix: str = "") -> dict[str, Forward]:
    """A generator converted in every way."""
    found = {}
    for name, (kind, int8) in FORMS.items():
        place = folder / f"{prefix}{kind}-{int8}"
        place.mkdir()
        found[prefix + name] = RUNTIMES[kind](place / CONVERSIONS[kind](trained, place, int8), 1)
    return found


def trained(dataset: str, runs: Path) -> tuple[TrainedGenerator, TrainedGenerator]:
    """A run and its student, trained or gone on with."""
    data, run, student = load(dataset), runs / dataset, runs / f"{dataset}-student"
    trainer = Trainer(data, settings=recipe("default", data.shape), device="cpu")
    trainer.fit(run, SEEN // trainer.settings.batch_size)
    distil(run, student, against=data, device="cpu")
    return TrainedGenerator.load(run), TrainedGenerator.load(student)


def random_generator(width: int) -> TrainedGenerator:
    """The DCGAN generator of images of 28 x 28, with random weights."""
    generator = DCGANGenerator((1, 28, 28), width=width).eval().requires_grad_(False)
    return TrainedGenerator(
        RunFolder(Path("random")), {}, Sampler(generator, generator.latent_dim), (1, 28, 28)
    )


def timed(
    teacher: TrainedGenerator, student: TrainedGenerator, folder: Path, seconds: float
) -> tuple[list[Latency], dict[str, Forward]]:
    """One sample by every form of both, and by diffusion."""
    exported = forms(teacher, folder) | forms(student, folder, "student, ")
    calls = {
        EAGER: teacher.forward,
        "torch.compile": compiled(teacher),
        **exported,
        "student, eager torch": student.forward,
        "diffusion, 50 steps": diffusion(teacher.sampler.generator, teacher.shape, 50),
        "diffusion, 1,000 steps": diffusion(teacher.sampler.generator, teacher.shape, 1000),
    }
    given = teacher.feed(1)
    rows = measure({name: (call, given) for name, call in calls.items()}, (1,), seconds=seconds)
    return rows, {name: calls[name] for name in (*exported, "student, eager torch")}


def case(dataset: str, options: Options) -> list[dict[str, object]]:
    """All rows of a source."""
    teacher, student = trained(dataset, options.runs)
    data = load(dataset)
    reference = Reference.of(
        teacher, data, ReferenceStatistics.of(data, find_extractor("pixels", data.shape)[0]), COUNT
    )
    with TemporaryDirectory() as folder:
        rows, exported = timed(teacher, student, Path(folder), options.seconds)
        ratios = {
            name: reference.validate(call, int8=True, gate=1.0).quality.ratio
            for name, call in exported.items()
        }
    sizes = {"weights": weights(teacher.sampler.generator), "student": weights(student.sampler.generator)}
    return joined(dataset, rows, {EAGER: 1.0} | ratios, sizes | {"fd": reference.before})


def joined(
    network: str, rows: list[Latency], ratios: Mapping[str, float], more: Mapping[str, object]
) -> list[dict[str, object]]:
    """Each latency with how much faster it is than eager torch, and how much larger its distance is."""
    eager = next(row.p50 for row in rows if row.name == EAGER)
    return [
        {"network": network, **asdict(row), "faster": eager / row.p50, "ratio": ratios.get(row.name), **more}
        for row in rows
    ]


def main() -> None:
    """Measure, print the tables, and keep the rows."""
    options = tyro.cli(Options)
    torch.set_num_threads(1)
    rows = [row for dataset in SOURCES for row in case(dataset, options)]
    with TemporaryDirectory() as folder:
        large = random_generator(64)
        student = random_generator(narrower(describe(large.sampler.generator), SIZE)["width"])
        timing, _ = timed(large, student, Path(folder), options.seconds)
        sizes = {"weights": weights(large.sampler.generator), "student": weights(student.sampler.generator)}
        rows += joined("width 64, random", timing, {}, sizes)
    options.out.write_text("".join(json.dumps(row) + "\n" for row in rows))
    show(rows)


def show(rows: list[dict[str, object]]) -> None:
    """Print a table for each network."""
    for network in dict.fromkeys(row["network"] for row in rows):
        table = Table(title=str(network))
        for heading in ("form", "p50 ms", "p99 ms", "times faster", "FD, times"):
            table.add_column(heading, no_wrap=True)
        for row in rows:
            if row["network"] == network:
                ratio = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
                table.add_row(
                    str(row["name"]), f"{row['p50']:.3f}", f"{row['p99']:.3f}", f"{row['faster']:.3g}", ratio
                )
        Console().print(table)


if __name__ == "__main__":
    main()
