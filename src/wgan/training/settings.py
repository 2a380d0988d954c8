"""Every setting of a training run, each written once.

Recipes fill :class:`TrainingSettings`, :class:`~wgan.training.Trainer` takes it, the command line is derived
from it, ``config.json`` stores it, a run's identity is computed from it, and distillation inherits it. A new
setting is one field here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from wgan.errors import InputError, check_seed, check_whole, unknown
from wgan.lipschitz import (
    DRAGAN,
    R1,
    R1R2,
    R2,
    Chain,
    Constraint,
    GradientPenalty,
    LipschitzPenalty,
    MaxGradientPenalty,
    Orthogonal,
    SpectralNormalisation,
    WeightClipping,
)
from wgan.losses import LOSSES, ClassificationWeights, Loss
from wgan.networks import DCGAN, MLP, R3GAN, ResNet
from wgan.runs import from_plain
from wgan.training.augment import Augment
from wgan.training.engine import Engine, check_engine
from wgan.training.optimisers import DECAYS, Adam, Decay, Optimiser, as_optimiser, is_share
from wgan.training.precision import Precision, check_precision

Networks = DCGAN | MLP | ResNet | R3GAN
AnyConstraint = (
    GradientPenalty
    | LipschitzPenalty
    | MaxGradientPenalty
    | DRAGAN
    | R1
    | R2
    | R1R2
    | WeightClipping
    | SpectralNormalisation
    | Orthogonal
)
"""The constraints that the command line offers; Python also takes Chain and constraints of one's own."""
LossName = Literal["wasserstein", "non-saturating", "minimax", "hinge", "relativistic"]

NO_IDENTITY: Mapping[str, Any] = {"identity": False}
"""Marks a field that changes no result, or that another entry of ``config.json`` describes."""


@dataclass(frozen=True)
class LoggingIntervals:
    """How often a run logs, draws and saves, in generator steps."""

    metrics: int = 50
    """Steps between two log points."""
    images: int = 200
    """Steps between two images of generated samples."""
    checkpoint: int = 1000
    """Steps between two checkpoints; at least one checkpoint a minute is written in any case."""
    keep: int = 2
    """Number of checkpoints that are kept."""

    def __post_init__(self) -> None:
        for name in ("metrics", "images", "checkpoint", "keep"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise InputError(
                    f"LoggingIntervals needs {name} to be a whole number of at least 1, not {value!r}."
                )


@dataclass(frozen=True)
class TrainingSettings:
    """Everything that decides a training run but the data; by default as in the default recipe for images.

    Raises:
        InputError: A setting is out of its range.
    """

    networks: Networks = field(
        default=DCGAN(latent_dim=64, generator_width=16, critic_width=16, critic_conditioning=None),
        metadata=NO_IDENTITY,  # config.json describes the generator and the critic themselves
    )
    """Family and sizes of the generator and the critic."""
    constraint: AnyConstraint = GradientPenalty(10.0)
    """What keeps the critic Lipschitz."""
    generator_optimiser: Optimiser = Adam(4e-3, (0.0, 0.9))
    """Optimiser of the generator."""
    critic_optimiser: Optimiser = Adam(4e-3, (0.0, 0.9))
    """Optimiser of the critic."""
    loss: LossName = "wasserstein"
    """Loss of the generator and the critic."""
    n_critic: int = 1
    """Critic steps per generator step, >= 1."""
    batch_size: int = 16
    """Samples per step, >= 2."""
    decay: Decay = "linear"
    """Schedule of both learning rates over the run."""
    ema: float = 0.995
    """Decay of the generator's exponential moving average, in [0, 1)."""
    warm_up: bool = False
    """Take 100 critic steps in each of the first 25 steps and in every 500th (Arjovsky et al. 2017)."""
    penalty_every: int = 4
    """Take the penalty in every k-th critic step only, k times as strong (lazy regularisation)."""
    precision: Precision = "float32"
    """Precision of the networks' forward passes; the penalty and all weights stay float32."""
    conditional: bool = False
    """Give the labels of the data to both networks, so that samples can be drawn by label."""
    balanced: bool = False
    """Draw every class equally often, however rare it is."""
    classification: ClassificationWeights = ClassificationWeights()
    """Weights of the classification loss of a critic that has an auxiliary classifier."""
    augment: Augment = Augment()
    """Random transforms of real and generated images before the critic, for small datasets."""
    steps: int = 15_000
    """Generator steps."""
    logging: LoggingIntervals = LoggingIntervals(metrics=250, images=500)
    """Logging intervals, in steps."""
    latent_dim: int | None = None
    """Length of a latent, for networks of your own that have no attribute latent_dim."""
    seed: int = 0
    """Random seed, in [0, 2^63)."""
    device: str = field(default="auto", metadata=NO_IDENTITY)
    """Device: cpu, cuda, cuda:1, ...; auto is the first GPU if there is one."""
    engine: Engine = field(default="auto", metadata=NO_IDENTITY)
    """How steps are executed: eager, graph (captured CUDA graphs) or compile; auto is eager."""

    def __post_init__(self) -> None:
        for name in ("generator_optimiser", "critic_optimiser"):
            object.__setattr__(self, name, as_optimiser(name, getattr(self, name)))
        object.__setattr__(self, "constraint", _as_constraint(self.constraint))
        if not isinstance(self.networks, Networks):
            raise InputError(
                f"networks must be DCGAN(...), MLP(...), ResNet(...) or R3GAN(...), not {self.networks!r}; "
                "networks of your own are generator= and critic=."
            )
        check_whole(
            n_critic=(self.n_critic, 1),
            batch_size=(self.batch_size, 2),
            penalty_every=(self.penalty_every, 1),
            steps=(self.steps, 1),
        )
        if not is_share(self.ema):
            raise InputError(f"ema must be in [0, 1), not {self.ema!r}.")
        check_seed(self.seed)
        if self.decay not in DECAYS:
            raise unknown("decay", self.decay, DECAYS)
        check_precision(self.precision)
        check_engine(self.engine)
        find_loss(self.loss)
        for name, kind in (
            ("augment", Augment),
            ("classification", ClassificationWeights),
            ("logging", LoggingIntervals),
        ):
            if not isinstance(value := getattr(self, name), kind):
                raise InputError(f"{name} must be {kind.__module__}'s {kind.__name__}(...), not {value!r}.")

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TrainingSettings:
        """Read the settings from a run's configuration.

        Raises:
            InputError: A setting is unknown to this version, or is a class of the user's own.
        """
        names = {setting.name for setting in fields(cls)}
        if (
            config.get("networks") is None
        ):  # the run's networks are no family's: the configuration describes them
            names.discard("networks")
        return cls(**{name: from_plain(value, KINDS) for name, value in config.items() if name in names})


IDENTITY = tuple(f.name for f in fields(TrainingSettings) if f.metadata.get("identity", True))
"""The settings that are part of a run's identity."""


ELSEWHERE = {
    **dict.fromkeys(("discriminator", "netD", "D"), "the network that scores is critic=..."),
    **dict.fromkeys(("netG", "G"), "the network that makes samples is generator=..."),
    **dict.fromkeys(
        ("lambda_gp", "gp_weight", "gp_lambda", "lambda_"), "use constraint=GradientPenalty(10.0)"
    ),
    **dict.fromkeys(("clip_value", "weight_clip", "clip"), "use constraint=WeightClipping(0.01)"),
    **dict.fromkeys(
        ("lr", "learning_rate", "beta1", "beta2", "b1", "b2", "betas", "optimizer", "optimiser"),
        "use generator_optimiser=Adam(1e-4, (0.5, 0.9)) and critic_optimiser=Adam(...)",
    ),
    **dict.fromkeys(("epochs", "n_epochs", "num_epochs", "max_steps"), "use steps=..., in generator steps"),
    **dict.fromkeys(("critic_iters", "d_steps", "n_dis", "discriminator_steps"), "use n_critic=..."),
    **dict.fromkeys(("z_dim", "nz", "noise_dim", "latent_size"), "use latent_dim=..."),
    **dict.fromkeys(("num_workers", "pin_memory"), "batches are drawn in memory, without workers"),
    "sample_interval": "use logging=LoggingIntervals(images=...)",
}
"""What other projects call our settings, and what to use here."""


def changed(settings: TrainingSettings, **changes: Any) -> TrainingSettings:  # noqa: ANN401 - any setting
    """The settings with some replaced.

    Raises:
        InputError: These are no settings, there is no setting of that name, or its value is out of range.
    """
    known = [setting.name for setting in fields(TrainingSettings)]
    if not isinstance(settings, TrainingSettings):
        raise InputError(f"settings must be TrainingSettings(...) or the name of a recipe, not {settings!r}.")
    for name in changes:
        if name in ELSEWHERE:
            raise InputError(f"There is no setting {name!r}; {ELSEWHERE[name]}.")
        if name not in known:
            raise unknown("setting", name, known)
    return replace(settings, **changes)


def find_loss(loss: Loss | str) -> Loss:
    """The loss itself, or the one of that name; InputError if there is none."""
    if isinstance(loss, Loss):
        return loss
    if loss not in LOSSES:
        raise unknown("loss", loss, LOSSES)
    return LOSSES[loss]


def _as_constraint(constraint: Constraint | None) -> Constraint:
    if constraint is None:
        return Chain()
    if not isinstance(constraint, Constraint):
        raise InputError(f"constraint must be a Constraint, as in GradientPenalty(10.0), not {constraint!r}.")
    return constraint


def _nested_kinds(annotation: Any) -> Iterator[type]:  # noqa: ANN401 - any annotation
    """The dataclasses that a setting may be or contain."""
    if get_origin(annotation) in (Union, UnionType):
        for part in get_args(annotation):
            yield from _nested_kinds(part)
    elif is_dataclass(annotation) and isinstance(annotation, type):
        yield annotation
        for hint in get_type_hints(annotation).values():
            yield from _nested_kinds(hint)


KINDS: Mapping[str, type] = {kind.__name__: kind for kind in (*_nested_kinds(TrainingSettings), Chain)}
"""Every class that a setting can be, by the name under which ``config.json`` stores it."""
