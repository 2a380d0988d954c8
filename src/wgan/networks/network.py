"""What all networks share: checked and recorded arguments, labels in critics, families of settings."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from typing import (
    Any,
    ClassVar,
    Concatenate,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    cast,
    get_args,
    get_origin,
    get_type_hints,
)

from torch import Tensor, nn

from wgan.errors import InputError
from wgan.networks.conditioning import (
    AuxiliaryClassifier,
    Condition,
    CriticConditioning,
    CriticLabels,
    GeneratorConditioning,
    refuse_labels,
)
from wgan.networks.layers import check_positive


class Network(nn.Module):
    """A generator or a critic that knows the arguments it was built with.

    All networks take the shape of one sample, ``(d,)`` or ``(C, H, W)``, and as keyword-only arguments the
    settings that their :class:`Family` documents, and the ``condition`` on labels; None: they take no labels.
    Arguments that cannot work raise :class:`~wgan.errors.InputError`.

    Attributes:
        arguments: By name, as plain values; ``type(network)(**network.arguments)`` has the same architecture.
    """

    arguments: dict[str, Any]


Parameters = ParamSpec("Parameters")
AnyNetwork = TypeVar("AnyNetwork", bound=Network)
AnyGenerator = TypeVar("AnyGenerator", bound=Network)
AnyCritic = TypeVar("AnyCritic", bound=Network)


def record_arguments(
    init: Callable[Concatenate[AnyNetwork, Parameters], None],
) -> Callable[Concatenate[AnyNetwork, Parameters], None]:
    """Decorate the ``__init__`` of a network: its annotations check the arguments, which are then recorded.

    A ``Literal`` must be one of its values, and an ``int`` positive; other arguments are left to the network.
    ``arguments`` includes the defaults, but no ``conditioning`` where there is no ``condition``.
    """
    signature, hints = inspect.signature(init), get_type_hints(init)

    @wraps(init)
    def checked(self: AnyNetwork, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> None:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        arguments = dict(list(bound.arguments.items())[1:])
        for name, value in arguments.items():
            _check_argument(name, value, hints[name])
        init(self, *args, **kwargs)
        if arguments["condition"] is None:
            del arguments["condition"], arguments["conditioning"]
        self.arguments = {
            name: tuple(value) if get_origin(hints[name]) is Sequence else value
            for name, value in arguments.items()
        }

    return checked


def _check_argument(name: str, value: Any, hint: Any) -> None:  # noqa: ANN401 - any argument of any network
    choices = get_args(hint) if get_origin(hint) is Literal else ()
    if choices and not any(type(value) is type(choice) and value == choice for choice in choices):
        raise InputError(f"{name} must be one of {', '.join(map(str, choices))}, not {value!r}.")
    if hint is int or (hint == int | None and value is not None):
        check_positive(**{name: value})


class Critic(Network):
    """A critic: layers, the last of which takes features (N, F), and the way in which labels enter.

    Attributes:
        layers: From samples to scores (N, 1).
        labels: How labels enter; None: the critic takes none.
    """

    layers: nn.Sequential
    labels: CriticLabels | None

    @property
    def classifies(self) -> bool:
        """Whether there is an auxiliary classifier, whose output :meth:`logits` returns."""
        return isinstance(self.labels, AuxiliaryClassifier)

    def forward(self, samples: Tensor, labels: Tensor | None = None) -> Tensor:
        r"""Map samples (N, \*shape), and labels if the critic is conditional, to scores (N,)."""
        inputs = self._inputs(samples)
        if self.labels is None:
            refuse_labels(labels)
            scores: Tensor = self.layers(inputs)
            return scores.squeeze(1)
        features: Tensor = self.layers[:-1](self.labels.join(inputs, labels))
        scores = self.layers[-1](features)
        return scores.squeeze(1) + self.labels.score_term(features, labels)

    def logits(self, samples: Tensor) -> Tensor:
        r"""Map samples (N, \*shape) to the auxiliary classifier's logits (N, classes).

        Raises:
            InputError: There is no auxiliary classifier.
        """
        if not isinstance(self.labels, AuxiliaryClassifier):
            raise InputError(
                "This critic has no auxiliary classifier; build it with conditioning='auxiliary'."
            )
        logits: Tensor = self.labels.classifier(self.layers[:-1](self._inputs(samples)))
        return logits

    def _inputs(self, samples: Tensor) -> Tensor:
        """Samples in the shape that the layers take."""
        return samples


@dataclass(frozen=True)
class Family(Generic[AnyGenerator, AnyCritic]):
    """Settings of a generator and a critic that match.

    A field ``generator_x`` or ``critic_x`` is the argument ``x`` of that network. Any other field is an
    argument of both networks, or of the one that takes it.
    """

    networks: ClassVar[tuple[type[Network], type[Network]]]

    latent_dim: int = 64
    """Length of a latent."""
    generator_conditioning: GeneratorConditioning = "embedding"
    """How labels enter a conditional generator: as an embedding beside the latent, or in all norms."""
    critic_conditioning: CriticConditioning | None = "projection"
    """How labels enter a conditional critic; None: an auxiliary classifier for classes, else projection."""

    def build(
        self, shape: Sequence[int], condition: Condition | None = None
    ) -> tuple[AnyGenerator, AnyCritic]:
        """Build a generator and a critic for samples of this shape, conditional if there is a condition."""
        settings = {field.name: getattr(self, field.name) for field in fields(self)}
        if self.critic_conditioning is None:
            has_classes = condition is not None and condition.classes > 0
            settings["critic_conditioning"] = "auxiliary" if has_classes else "projection"
        built = []
        for network, prefix in zip(self.networks, ("generator_", "critic_"), strict=True):
            arguments = {name.removeprefix(prefix): value for name, value in settings.items()}
            accepted = arguments.keys() & inspect.signature(network).parameters
            built.append(network(shape, condition=condition, **{name: arguments[name] for name in accepted}))
        generator, critic = built
        return cast(AnyGenerator, generator), cast(AnyCritic, critic)
