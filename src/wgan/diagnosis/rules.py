"""The rules that turn symptoms into findings; the definitions are in docs/diagnosis.md.

A rule makes a finding if its symptom holds at each of the last few log points. Rules are ordered by causes: a
finding may explain those after it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from wgan.diagnosis import symptoms
from wgan.diagnosis.finding import Finding, SettingsByPath, Severity
from wgan.diagnosis.history import History, Mask, Series
from wgan.diagnosis.series import peak, since, smooth
from wgan.diagnosis.symptoms import BEHIND, TINY
from wgan.runs import Row, RunFolder

Remedy = Callable[[History], SettingsByPath]

MOST_CRITIC_STEPS = 5
"""Largest n_critic that is still doubled; also the usual n_critic of the Wasserstein loss."""
RATES = ("critic_optimiser.lr", "generator_optimiser.lr")
FAST = 2e-2
"""Relative change per step of the fastest healthy runs, those of the default recipes; published settings have
1e-3. A rate that is too high shows in a few log points, one that is too low costs the run."""
MOST_AHEAD = 20
"""Largest ratio of the critic's rate to the generator's that a remedy sets."""
SMALLEST_FACTOR = 1e-3
"""Smallest factor on the rates in one remedy."""
CALM = 5
"""Number of log points without a symptom after which the rates count as proven."""
LOWERING = ("divergence", "learning-rate-too-high", "dead-units", "lost-progress")
"""Findings whose remedy lowers the rates."""


@dataclass(frozen=True)
class Rule:
    """The definition of one finding.

    Attributes:
        name: Name of the finding.
        severity: Its severity.
        symptom: Whether it shows, by log point.
        metrics: Names of the metrics quoted as evidence.
        meaning: What happens.
        advice: What to do.
        remedy: Settings that solve it; None where there are none.
        persists: Number of last log points at which the symptom has to hold.
    """

    name: str
    severity: Severity
    symptom: Callable[[History], Mask]
    metrics: tuple[str, ...]
    meaning: str
    advice: str
    remedy: Remedy | None = None
    persists: int = 3

    def find(self, history: History) -> Finding | None:
        """Return the finding if the history shows it, else None."""
        start = since(self.symptom(history), persists=self.persists)
        if start is None:
            return None
        remedy = _new(history, self.remedy(history)) if self.remedy else {}
        return Finding(
            self.name,
            self.severity,
            int(history.steps[start]),
            dict(_evidence(history, self.metrics)),
            self.meaning,
            self.advice,
            remedy,
        )


def diagnose(run: History | RunFolder | str | PathLike[str] | Sequence[Row]) -> list[Finding]:
    """Find problems of a run from its history, the likely cause first.

    Args:
        run: A run, finished or not: a :class:`History`, a run folder, its path, or the rows of a log, which
            are mappings with a ``step`` and the metrics of ``metrics.jsonl``. Symptoms that depend on the
            loss or the constraint need a configuration: ``History(rows, config)``.

    Returns:
        Findings in the order of :data:`RULES`; none for a healthy run that has not converged.

    Raises:
        InputError: The path is not a run folder, or the rows have no rising steps.
    """
    history = History.of(run)
    findings = [finding for rule in RULES if (finding := rule.find(history)) is not None]
    problems = [finding for finding in findings if finding.severity != "note"]
    # A run with a problem has not converged.
    return problems or findings


def _evidence(history: History, names: tuple[str, ...]) -> Iterator[tuple[str, float | str]]:
    clock, row = ({**some[-1]} if some else {} for some in (history.timing, history.rows))
    last: Mapping[str, Any] = {**history.data, **history.probe, **clock, **row}
    for name in names:
        if isinstance(last.get(name), int | float):
            yield name, float(f"{last[name]:.4g}")
        elif name in row:
            yield name, "not finite"


def _new(history: History, settings: SettingsByPath) -> SettingsByPath:
    """The settings that the run does not have already."""

    def known(path: str, value: object) -> bool:
        if not isinstance(value, Mapping):
            return bool(history.setting(path) == value)
        return all(history.setting(f"{path}.{name}") == part for name, part in value.items())

    return {path: value for path, value in settings.items() if not known(path, value)}


def _rates(factor: float) -> Remedy:
    """Both learning rates times a factor."""

    def remedy(history: History) -> SettingsByPath:
        rates = {name: history.setting(name) for name in RATES}
        return {name: float(f"{factor * rate:.3g}") for name, rate in rates.items() if rate}

    return remedy


def _stronger_critic(history: History) -> SettingsByPath:
    critic, generator, n_critic = (history.setting(name) for name in (*RATES, "n_critic"))
    if not (critic and generator and n_critic):
        return {}
    if critic < generator / 2:
        fast = critic * _speed_up(_full(history, history["critic_update"]))
        return {RATES[0]: float(f"{min(max(generator, fast), MOST_AHEAD * generator):.3g}")}
    return {"n_critic": 2 * n_critic} if n_critic <= MOST_CRITIC_STEPS else {}


def _faster(history: History) -> SettingsByPath:
    critic, generator = (history[f"{network}_update"] for network in ("critic", "generator"))
    if _full(history, generator) < BEHIND * _full(history, critic):
        return _keeping_up(history)
    return _rates(_speed_up(_full(history, np.fmax(critic, generator))))(history)


def _keeping_up(history: History) -> SettingsByPath:
    """A learning rate with which the generator keeps up with the critic.

    Under the Wasserstein loss both have the same rate at :data:`MOST_CRITIC_STEPS` critic steps (Gulrajani et
    al. 2017, algorithm 1); with fewer, the same share of it is enough. A step changes :data:`FAST` of the
    norm at most.
    """
    critic, generator, n_critic = (history.setting(name) for name in (*RATES, "n_critic"))
    if not (critic and generator and n_critic):
        return {}
    fast = generator * _speed_up(_full(history, history["generator_update"]))
    return {
        RATES[1]: max(generator, float(f"{min(critic * min(1.0, n_critic / MOST_CRITIC_STEPS), fast):.3g}"))
    }


def _speed_up(moved: float) -> float:
    """The factor on a rate that brings the relative change per step to :data:`FAST`."""
    return float(f"{FAST / max(moved, TINY):.1g}")


def _full(history: History, moved: Series) -> float:
    """The present relative change per step, scaled to the full rate."""
    return float(smooth(moved / history.decay)[-1])


def _lower(factor: float, *lowering_symptoms: Callable[[History], Mask]) -> Remedy:
    """Both learning rates times a factor, or less where steps would still change more than :data:`FAST`.

    If the rates had been fine for a while, they are lowered by a fifth only the first time: a sudden loss
    spike rarely recurs after a restart (Chowdhery et al. 2022, "PaLM: Scaling Language Modeling with
    Pathways", section 5.1).
    """

    def remedy(history: History) -> SettingsByPath:
        mask = np.logical_or.reduce([symptom(history) for symptom in lowering_symptoms])
        start = since(mask, persists=1) or 0
        proven = start >= CALM and not mask[start - CALM : start].any()
        treated = {intervention["name"] for intervention in history.setting("origin.interventions") or ()}
        if proven and treated.isdisjoint(LOWERING):
            return _rates(0.8)(history)
        moved = np.fmax(history["critic_update"], history["generator_update"])
        most = float(peak(moved / history.decay)[-1])  # before the weights grew with the steps
        return _rates(min(factor, max(SMALLEST_FACTOR, _speed_up(most))))(history)

    return remedy


def _flowing(history: History) -> SettingsByPath:
    """A gradient penalty; where there is one already, normalisation layers."""
    if history.setting("constraint.is") != "GradientPenalty":
        return _gradient_penalty(history)
    return {"networks.critic_norm": "layer"} if history.setting("critic.norm") == "none" else {}


def _gradient_penalty(history: History) -> SettingsByPath:
    settings: dict[str, Any] = {"constraint": {"is": "GradientPenalty", "weight": _usual_weight(history)}}
    if history.setting("critic.norm") == "batch":  # it would mix the samples whose slopes are penalised
        settings["networks.critic_norm"] = "layer"
    return settings


def _wasserstein(history: History) -> SettingsByPath:
    """The Wasserstein loss, which does not saturate under a critic that is far ahead."""
    return {"loss": "wasserstein", **_gradient_penalty(history), **_keeping_up(history)}


def _stronger_penalty(history: History) -> SettingsByPath:
    weight = history.setting("constraint.weight")
    if not weight:
        return _gradient_penalty(history)
    return {"constraint.weight": max(10 * weight, _usual_weight(history))}


def _usual_weight(history: History) -> float:
    """Usual weight of a gradient penalty on images and vectors (Gulrajani et al. 2017, sections 4 and 5)."""
    return 10.0 if len(history.setting("dataset.shape") or ()) == 3 else 0.1


def _damping(history: History) -> SettingsByPath:
    """R1, or a larger weight of it; certified constraints are not replaced."""
    if history.setting("constraint.is") == "R1":
        return {"constraint.gamma": 10 * history.setting("constraint.gamma")}
    if history.setting("constraint.is") == "GradientPenalty":
        return {"constraint": {"is": "R1", "gamma": 1.0}}
    return {}


RULES: tuple[Rule, ...] = (
    Rule(
        "data-trouble",
        "warning",
        symptoms.bad_data,
        ("count", "constant_share", "duplicate_share", "largest_class_share", "min", "max", "std"),
        "The training data have a defect: too few samples, constant samples, many copies of the same one, "
        "one class only, or values out of the range of the generator.",
        "Look at the samples and at the number in the evidence, correct the dataset, and train again.",
        persists=1,
    ),
    Rule(
        "exploding-gradients",
        "error",
        symptoms.exploding,
        ("slope/50", "critic_gradient", "critic_update"),
        "Gradients grow by orders of magnitude from layer to layer or from step to step.",
        "Use fewer layers, normalise them, or initialise them with smaller weights.",
        persists=1,
    ),
    Rule(
        "divergence",
        "error",
        symptoms.diverged,
        ("critic_loss", "generator_loss", "gap", "slope/95"),
        "The metrics of the run grew without bound or are not finite any more; its weights are useless now.",
        "Go back to the last healthy checkpoint with lower learning rates.",
        _lower(0.1, symptoms.diverged, symptoms.rate_too_high),
        persists=1,
    ),
    Rule(
        "input-starved",
        "warning",
        symptoms.starved_input,
        ("data_share", "images_per_second"),
        "Most of the time is spent on loading samples, and the networks wait.",
        "Keep the data in memory, pack images at their training resolution, or use a faster disk.",
    ),
    Rule(
        "clipping-too-tight",
        "error",
        symptoms.clipped_tight,
        ("clipped", "slope/50", "generator_gradient"),
        "Many weights are at the bound, and the critic is so flat that the generator learns nothing.",
        "Replace weight clipping by a gradient penalty.",
        _gradient_penalty,
    ),
    Rule(
        "clipping-too-loose",
        "error",
        symptoms.clipped_loose,
        ("clipped", "slope/50", "slope/95", "gap"),
        "The bound on the weights lets the critic become far too steep, so that its gap is meaningless and "
        "the generator makes erratic steps.",
        "Replace weight clipping by a gradient penalty.",
        _gradient_penalty,
    ),
    Rule(
        "learning-rate-too-high",
        "error",
        symptoms.rate_too_high,
        ("critic_update", "generator_update", "critic_weights/95", "slope/50", "penalty", "critic_loss"),
        "Each step changes the weights by a large part of their size, so that what was learned is lost.",
        "Lower both learning rates.",
        _lower(0.1, symptoms.diverged, symptoms.rate_too_high),
    ),
    Rule(
        "learning-rate-too-low",
        "warning",
        symptoms.rate_too_low,
        ("critic_update", "generator_update", "coverage_held_out"),
        "The weights, or those of the generator, hardly change: at this pace nothing will be learned.",
        "Raise the learning rates until a step changes the weights by about a fiftieth of their norm, or "
        "only the generator's until it keeps up with the critic.",
        _faster,
    ),
    Rule(
        "dead-units",
        "error",
        symptoms.dead,
        ("critic_dead", "generator_dead"),
        "Most units of a network output zero for every input and receive no gradient that could revive them.",
        "Go back to before they died, with lower learning rates; leaky activations do not die.",
        _lower(0.3, symptoms.dead),
    ),
    Rule(
        "lipschitz-violated",
        "error",
        symptoms.too_steep,
        ("slope/50", "slope/95", "slope_pairs/95", "penalty"),
        "The critic is much steeper than its constraint allows, or has none: its gap is not a distance.",
        "Increase the weight of the gradient penalty, or add one.",
        _stronger_penalty,
    ),
    Rule(
        "critic-saturated",
        "error",
        symptoms.saturated,
        ("score_real/50", "score_fake/50", "generator_gradient"),
        "The critic separates real and generated samples completely, so that the loss is flat and the "
        "generator receives no gradient.",
        "Use the Wasserstein loss, which does not saturate, and a generator learning rate that keeps up.",
        _wasserstein,
    ),
    Rule(
        "critic-starved",
        "warning",
        symptoms.starved_critic,
        ("gap", "gap_held_out", "critic_update", "coverage_held_out", "probe_share", "probe_high"),
        "The critic is far from optimal for this generator, so that the gap is not a distance the generator "
        "could reduce.",
        "Give the critic more steps or a higher learning rate.",
        _stronger_critic,
    ),
    Rule(
        "vanishing-gradients",
        "error",
        symptoms.vanishing,
        ("slope/50", "critic_gradient", "generator_gradient"),
        "Gradients shrink by orders of magnitude through the critic: neither its first layers nor the "
        "generator learn.",
        "Use fewer layers, normalisation or activations of slope one, and a gradient penalty.",
        _flowing,
    ),
    Rule(
        "mode-collapse",
        "error",
        symptoms.collapsed,
        ("diversity", "duplicates", "recall_held_out", "coverage_held_out"),
        "The generator produces the same sample for every latent.",
        "Go back to the last healthy checkpoint and train the critic more between two generator steps.",
        _stronger_critic,
    ),
    Rule(
        "critic-overfits",
        "warning",
        symptoms.overfits,
        ("gap", "gap_held_out", "score_real/50", "score_held_out/50", "score_fake/50"),
        "The critic overfits: it scores held-out samples more like fakes than like its training samples.",
        "Use more data, or penalise the critic's gradient at the data (R1).",
        _damping,
    ),
    Rule(
        "memorises",
        "warning",
        symptoms.memorises,
        ("memorised", "coverage_held_out"),
        "Many fakes are copies of training samples.",
        "Use more data, or use a smaller generator and fewer steps.",
    ),
    Rule(
        "partial-collapse",
        "warning",
        symptoms.partly_collapsed,
        ("duplicates", "diversity", "precision_held_out", "recall_held_out", "coverage_held_out"),
        "The fakes look real, but some kinds of data are missing among them.",
        "Train the critic more between two generator steps.",
        _stronger_critic,
    ),
    Rule(
        "oscillation",
        "warning",
        symptoms.oscillates,
        ("gap", "gap_held_out", "coverage_held_out"),
        "Critic and generator oscillate, and the fakes do not come closer to the data.",
        "Use a penalty that is zero at the solution (R1), which damps the oscillation.",
        _damping,
        persists=1,
    ),
    Rule(
        "lost-progress",
        "warning",
        symptoms.lost_progress,
        ("coverage_held_out", "precision_held_out", "gap_held_out"),
        "The fakes were better before, and do not recover.",
        "Go back to the last healthy checkpoint with lower learning rates.",
        _lower(0.1, symptoms.lost_progress),
        persists=6,
    ),
    Rule(
        "converged",
        "note",
        symptoms.converged,
        ("gap_held_out", "coverage_held_out", "diversity"),
        "For half of the run, nothing has changed but noise: more steps will hardly improve it.",
        "Stop here and evaluate.",
        persists=1,
    ),
)
"""All rules, causes before their consequences."""
