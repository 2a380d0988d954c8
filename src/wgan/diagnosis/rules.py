"""What can be the matter with a run, as symptoms of its history: the definitions are in docs/diagnosis.md.

A symptom holds or not at each log point; a rule finds something when its symptom holds at the last few
without a break. Rules stand in the order of causes: what comes first explains what comes after.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from wgan.diagnosis import symptoms
from wgan.diagnosis.finding import Finding, Settings, Severity
from wgan.diagnosis.history import Array, History, Mask
from wgan.diagnosis.series import peak, since, smooth
from wgan.diagnosis.symptoms import BEHIND, LOST

Remedy = Callable[[History], Settings]

MOST = 5
"""Critic steps a generator step that may still be doubled, and the usual ones."""
RATES = ("critic_optimiser.lr", "generator_optimiser.lr")
QUICK = 2e-2
"""How much of its norm a step changes in the quickest sound runs, those of the default recipes; the papers'
have 1e-3. A rate that is too high shows in a few log points, one that is too low costs the run."""
AHEAD = 20
"""Times the generator's rate, the most that a critic's is raised to."""
LEAST = 1e-3
"""The most that rates are lowered by at a time."""
CALM = 5
"""Log points without a sign of steps too large, after which the rates had served well."""
LOWERING = ("divergence", "learning-rate-too-high", "dead-units", "lost-progress")
"""Findings whose remedy is lower rates."""


@dataclass(frozen=True)
class Rule:
    """How one finding is made.

    Attributes:
        name: Of the finding.
        severity: Of the finding.
        symptom: Whether it shows, by log point.
        shown: The observations quoted as evidence.
        meaning: What is going on.
        advice: What to do.
        remedy: The settings that do it, where some do.
        persists: At how many log points, up to the last, the symptom has to hold.
    """

    name: str
    severity: Severity
    symptom: Callable[[History], Mask]
    shown: tuple[str, ...]
    meaning: str
    advice: str
    remedy: Remedy | None = None
    persists: int = 3

    def find(self, history: History) -> Finding | None:
        """The finding, if the history shows it."""
        start = since(self.symptom(history), persists=self.persists)
        if start is None:
            return None
        remedy = _new(history, self.remedy(history)) if self.remedy else {}
        return Finding(
            self.name,
            self.severity,
            int(history.steps[start]),
            dict(_evidence(history, self.shown)),
            self.meaning,
            self.advice,
            remedy,
        )


def diagnose(history: History) -> list[Finding]:
    """What is the matter with a run, by its history alone; the likely cause first.

    Args:
        history: Of a run, finished or not.

    Returns:
        Findings in the order of the table :data:`RULES`, what makes others unnecessary first; none for a
        healthy run under way.
    """
    found = [finding for rule in RULES if (finding := rule.find(history)) is not None]
    troubles = [finding for finding in found if finding.severity != "note"]
    # A run in trouble has not converged.
    return troubles or found


def _evidence(history: History, names: tuple[str, ...]) -> Iterator[tuple[str, float | str]]:
    clock, row = ({**some[-1]} if some else {} for some in (history.timing, history.rows))
    last: Mapping[str, Any] = {**history.data, **history.probe, **clock, **row}
    for name in names:
        if isinstance(last.get(name), int | float):
            yield name, float(f"{last[name]:.4g}")
        elif name in row:
            yield name, "not finite"


def _new(history: History, settings: Settings) -> Settings:
    """Those of the settings that are not the run's already."""

    def known(path: str, value: object) -> bool:
        if not isinstance(value, Mapping):
            return bool(history.setting(path) == value)
        return all(history.setting(f"{path}.{name}") == given for name, given in value.items())

    return {path: value for path, value in settings.items() if not known(path, value)}


def _rates(factor: float) -> Remedy:
    """Both learning rates, so many times what they are."""

    def remedy(history: History) -> Settings:
        rates = {name: history.setting(name) for name in RATES}
        return {name: float(f"{factor * rate:.3g}") for name, rate in rates.items() if rate}

    return remedy


def _stronger_critic(history: History) -> Settings:
    critic, generator, n_critic = (history.setting(name) for name in (*RATES, "n_critic"))
    if not (critic and generator and n_critic):
        return {}
    if critic < generator / 2:
        quick = critic * _quick(_full(history, history["critic_update"]))
        return {RATES[0]: float(f"{min(max(generator, quick), AHEAD * generator):.3g}")}
    return {"n_critic": 2 * n_critic} if n_critic <= MOST else {}


def _faster(history: History) -> Settings:
    critic, generator = (history[f"{network}_update"] for network in ("critic", "generator"))
    if _full(history, generator) < BEHIND * _full(history, critic):
        return _keeping_up(history)
    return _rates(_quick(_full(history, np.fmax(critic, generator))))(history)


def _keeping_up(history: History) -> Settings:
    """A generator that its critic does not leave behind.

    With the Wasserstein loss both have one rate at :data:`MOST` critic steps (Gulrajani et al. 2017,
    algorithm 1); with fewer, that share of it is enough. A step changes :data:`QUICK` of the norm at most.
    """
    critic, generator, n_critic = (history.setting(name) for name in (*RATES, "n_critic"))
    if not (critic and generator and n_critic):
        return {}
    quick = generator * _quick(_full(history, history["generator_update"]))
    return {RATES[1]: max(generator, float(f"{min(critic * min(1.0, n_critic / MOST), quick):.3g}"))}


def _quick(moved: float) -> float:
    """The factor on a rate at which a step that changes so much of the norm would change :data:`QUICK`."""
    return float(f"{QUICK / max(moved, LOST):.1g}")


def _full(history: History, moved: Array) -> float:
    """What a step changes at present, if it were at the full rate."""
    return float(smooth(moved / history.decay)[-1])


def _lower(factor: float, *troubles: Callable[[History], Mask]) -> Remedy:
    """Both learning rates times a factor, or less: a step is to change at most :data:`QUICK` of the norm.

    The first time four fifths, if they had served well for a while: what strikes a sound run out of the blue
    rarely strikes again after a restart (Chowdhery et al. 2022, "PaLM: Scaling Language Modeling with
    Pathways", section 5.1).
    """

    def remedy(history: History) -> Settings:
        shown = np.logical_or.reduce([trouble(history) for trouble in troubles])
        start = since(shown, persists=1) or 0
        served = start >= CALM and not shown[start - CALM : start].any()
        done = {treated["name"] for treated in history.setting("origin.interventions") or ()}
        if served and done.isdisjoint(LOWERING):
            return _rates(0.8)(history)
        moved = np.fmax(history["critic_update"], history["generator_update"])
        most = float(peak(moved / history.decay)[-1])  # before the weights had grown as large as the steps
        return _rates(min(factor, max(LEAST, _quick(most))))(history)

    return remedy


def _flowing(history: History) -> Settings:
    """A gradient penalty; and norms, where there is one and gradients are still lost in the layers."""
    if history.setting("constraint.is") != "GradientPenalty":
        return _gradient_penalty(history)
    return {"networks.critic_norm": "layer"} if history.setting("critic.norm") == "none" else {}


def _gradient_penalty(history: History) -> Settings:
    settings: dict[str, Any] = {"constraint": {"is": "GradientPenalty", "weight": _usual_weight(history)}}
    if history.setting("critic.norm") == "batch":  # which mixes the samples whose slopes are penalised
        settings["networks.critic_norm"] = "layer"
    return settings


def _wasserstein(history: History) -> Settings:
    """The Wasserstein loss, which a critic far ahead serves, as it saturates a classic one."""
    return {"loss": "wasserstein", **_gradient_penalty(history), **_keeping_up(history)}


def _stronger_penalty(history: History) -> Settings:
    weight = history.setting("constraint.weight")
    if not weight:
        return _gradient_penalty(history)
    return {"constraint.weight": max(10 * weight, _usual_weight(history))}


def _usual_weight(history: History) -> float:
    """Of a gradient penalty on images and on vectors (Gulrajani et al. 2017, sections 4 and 5)."""
    return 10.0 if len(history.setting("dataset.shape") or ()) == 3 else 0.1


def _damping(history: History) -> Settings:
    """R1, or more of it; what is certified keeps its proof."""
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
        "The training data are not what they should be: too few, samples without content, many copies of the "
        "same, one class only, or values outside of what a generator can make.",
        "Look at the samples and at the share named in the evidence, mend the source, and train anew.",
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
        "The numbers of the run grew without bound or are not finite any more; its weights mean nothing now.",
        "Go back to the last healthy checkpoint with smaller learning rates.",
        _lower(0.1, symptoms.diverged, symptoms.rate_too_high),
        persists=1,
    ),
    Rule(
        "input-starved",
        "warning",
        symptoms.starved_input,
        ("data_share", "images_per_second"),
        "Most of the time goes into fetching samples, and the networks wait.",
        "Keep the data in memory, pack images at the size they are trained at, or use a faster disk.",
    ),
    Rule(
        "clipping-too-tight",
        "error",
        symptoms.clipped_tight,
        ("clipped", "slope/50", "generator_gradient"),
        "Many weights are at the bound, and the critic is so flat that the generator learns nothing.",
        "Replace clipping by a gradient penalty.",
        _gradient_penalty,
    ),
    Rule(
        "clipping-too-loose",
        "error",
        symptoms.clipped_loose,
        ("clipped", "slope/50", "slope/95", "gap"),
        "The bound on the weights lets the critic become far steeper than a distance needs, so that its gap "
        "says nothing and the generator is thrown about.",
        "Replace clipping by a gradient penalty.",
        _gradient_penalty,
    ),
    Rule(
        "learning-rate-too-high",
        "error",
        symptoms.rate_too_high,
        ("critic_update", "generator_update", "critic_weights/95", "slope/50", "penalty", "critic_loss"),
        "Each step changes the weights by a large part of what they are, so that nothing learned stays.",
        "Lower both learning rates.",
        _lower(0.1, symptoms.diverged, symptoms.rate_too_high),
    ),
    Rule(
        "learning-rate-too-low",
        "warning",
        symptoms.rate_too_low,
        ("critic_update", "generator_update", "coverage_held_out"),
        "The weights hardly move, or those of the generator: at this pace nothing will be learned.",
        "Raise the learning rates until a step changes the weights by about a fiftieth of their norm, or the "
        "generator's alone until it keeps up with the critic.",
        _faster,
    ),
    Rule(
        "dead-units",
        "error",
        symptoms.dead,
        ("critic_dead", "generator_dead"),
        "Most units of a network give zero whatever they are given, and get no gradient to come back.",
        "Go back to where they lived with smaller learning rates; leaky activations do not die.",
        _lower(0.3, symptoms.dead),
    ),
    Rule(
        "lipschitz-violated",
        "error",
        symptoms.too_steep,
        ("slope/50", "slope/95", "slope_pairs/95", "penalty"),
        "The critic is much steeper than its constraint asks for, or nothing asks: its gap is no distance.",
        "Make the gradient penalty stronger, or take one.",
        _stronger_penalty,
    ),
    Rule(
        "critic-saturated",
        "error",
        symptoms.saturated,
        ("score_real/50", "score_fake/50", "generator_gradient"),
        "The critic is sure of everything and its answer does not change with the sample, so that the "
        "generator gets no direction.",
        "Use the Wasserstein loss, whose critic does not saturate, and a generator's rate that keeps up.",
        _wasserstein,
    ),
    Rule(
        "critic-starved",
        "warning",
        symptoms.starved_critic,
        ("gap", "gap_held_out", "critic_update", "coverage_held_out", "probe_share", "probe_high"),
        "The critic is far from the best it could be for this generator, and what the generator follows is "
        "no distance.",
        "Give the critic more steps or a higher learning rate.",
        _stronger_critic,
    ),
    Rule(
        "vanishing-gradients",
        "error",
        symptoms.vanishing,
        ("slope/50", "critic_gradient", "generator_gradient"),
        "Gradients shrink by orders of magnitude on their way through the critic: what comes first does not "
        "learn, nor does the generator behind it.",
        "Use fewer layers, normalise them or use activations of slope one, and a gradient penalty.",
        _flowing,
    ),
    Rule(
        "mode-collapse",
        "error",
        symptoms.collapsed,
        ("diversity", "duplicates", "recall_held_out", "coverage_held_out"),
        "The generator makes the same sample from every latent.",
        "Go back to the last healthy checkpoint and let the critic learn more between two generator steps.",
        _stronger_critic,
    ),
    Rule(
        "critic-overfits",
        "warning",
        symptoms.overfits,
        ("gap", "gap_held_out", "score_real/50", "score_held_out/50", "score_fake/50"),
        "The critic knows its training samples by heart and scores held-out ones much as it scores fakes.",
        "Get more data, or make the critic's gradient smaller at the data (R1).",
        _damping,
    ),
    Rule(
        "memorises",
        "warning",
        symptoms.memorises,
        ("memorised", "coverage_held_out"),
        "Many fakes are copies of training samples.",
        "Get more data, or use a smaller generator and fewer steps.",
    ),
    Rule(
        "partial-collapse",
        "warning",
        symptoms.partly_collapsed,
        ("duplicates", "diversity", "precision_held_out", "recall_held_out", "coverage_held_out"),
        "The fakes look like data, but kinds of data are missing among them.",
        "Let the critic learn more between two generator steps.",
        _stronger_critic,
    ),
    Rule(
        "oscillation",
        "warning",
        symptoms.oscillates,
        ("gap", "gap_held_out", "coverage_held_out"),
        "Critic and generator chase each other in circles and the fakes come no nearer to the data.",
        "Use a penalty that is zero at the solution (R1), which damps the rotation.",
        _damping,
        persists=1,
    ),
    Rule(
        "lost-progress",
        "warning",
        symptoms.lost_progress,
        ("coverage_held_out", "precision_held_out", "gap_held_out"),
        "The fakes were better before, and do not come back.",
        "Go back to the last healthy checkpoint with smaller learning rates.",
        _lower(0.1, symptoms.lost_progress),
        persists=6,
    ),
    Rule(
        "converged",
        "note",
        symptoms.converged,
        ("gap_held_out", "coverage_held_out", "diversity"),
        "Nothing has changed for half of the run but noise: more steps will hardly make it better.",
        "Stop here and evaluate.",
        persists=1,
    ),
)
"""Every finding, in the order in which causes explain what follows from them."""
