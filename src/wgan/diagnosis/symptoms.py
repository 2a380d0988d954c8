"""Each symptom: a history to whether it shows, by log point. The definitions are in docs/diagnosis.md.

Scores have no unit of their own, and networks none either. So every symptom is a ratio of two things
observed: of the run to itself, of fakes to data, of a layer to its neighbour.
"""

import numpy as np

from wgan.diagnosis.history import Array, History, Mask
from wgan.diagnosis.series import peak, recent, smooth, typical

LOST = 1e-12
"""What counts as zero."""
VITAL = (
    "gap",
    "gap_held_out",
    "critic_loss",
    "generator_loss",
    "penalty",
    "critic_gradient",
    "generator_gradient",
)
"""What is finite as long as a run lives: training ends where one of them is not."""
STILL = 3e-5
"""How much of its norm a step changes in a network that learns nothing; the papers' have 3e-4 and more."""
ROUNDING = 2.0**-24
"""Half of what float32 can tell apart from one: weights that change by less stay what they are."""
BEHIND = 3e-3
"""The other network's share of change, under which a network stands still for it."""
IDLE = 1e-4
"""The share of the gap under which a penalty holds nothing."""
ENOUGH = 0.1
"""The share of the gap that some more steps reach, under which a critic says little of the distance."""
SHOCK = 9
"""Log points within which a generator that was thrown about finds back."""
TURNS = 12
"""Log points among which a gap that oscillates turns over and over."""
SPAN = 3.29
"""Standard deviations between the quantiles at 5 and at 95 % of a normal distribution."""
FEW = 100
"""Training samples, under which there is no distribution to be learned."""
LOOKED_AT = 256
"""Samples of each kind behind the numbers of a log point."""


def bad_data(history: History) -> Mask:
    """The training data themselves: few, constant, copies, of one class, values out of [-1, 1]."""
    data = {name: value for name, value in history.data.items() if value is not None}
    image = len(history.setting("dataset.shape") or ()) == 3
    bad = (
        data.get("constant_share", 0) > 0.05
        or data.get("duplicate_share", 0) > 0.3
        or data.get("largest_class_share", 0) > 0.99
        or (image and (data.get("min", -1) < -1.01 or data.get("max", 1) > 1.01))
        or data.get("std", 1) < 1e-3
        or data.get("count", FEW) < FEW
    )
    return np.full(len(history.rows), bool(bad))


def diverged(history: History) -> Mask:
    """A number is missing because it was not finite, or the loss is beyond all measure and still growing."""
    lost = np.array([any(row.get(name, 0) is None for name in VITAL) for row in history.rows], dtype=bool)
    size = smooth(np.abs(history["critic_loss"]))
    return lost | ((size > 1e6) & (size >= peak(size)))


def starved_input(history: History) -> Mask:
    """More than half of the time passes in fetching data."""
    share = smooth(history.clock("data_share"))
    return _padded(share, len(history.rows)) > 0.5


def rate_too_high(history: History) -> Mask:
    """Steps overshoot: weights triple between two looks, or change by a large part, or make matters worse."""
    free = ~(history["clipped"] > 0.1)
    moved = (smooth(history["critic_update"]) > 0.3) & free | (smooth(history["generator_update"]) > 0.1)
    # Where slope and penalty balance, the penalty is (s - 1) / 2 s < 1/2 of the gap at slope s.
    fought = _steeper(history, 10) & (_penalty(history) > 0.5 * _gap(history))
    return recent(_grown(history)) | moved | fought | _worse_than_nothing(history)


def _worse_than_nothing(history: History) -> Mask:
    """A critic that moves is worse by its own loss and penalty, mostly penalty, than two constant ones."""
    weight, target = history.setting("constraint.weight"), _target(history)
    if weight is None or target is None or history.setting("loss") != "wasserstein":
        return np.zeros(len(history.rows), dtype=bool)
    loss, penalty = smooth(history["critic_loss"]), _penalty(history)
    shown: Mask = loss + penalty > 2 * weight * target**2
    # Not one whose penalty is idle, nor one that cannot follow.
    return shown & (penalty > loss) & (smooth(history["critic_update"]) > 3e-3)


def rate_too_low(history: History) -> Mask:
    """Neither network moves, or not the generator alone, although it has a gradient."""
    critic, generator = (history[f"{network}_update"] for network in ("critic", "generator"))
    # Without a gradient it would not move at any rate.
    lost = history["generator_gradient"] < 1e-3 * typical(history["generator_gradient"])
    lost |= vanishing(history) | saturated(history) | clipped_tight(history) | dead(history)
    alone = _still(history, generator) & (generator < BEHIND * critic) & ~lost
    return _still(history, np.fmax(critic, generator)) | alone


def dead(history: History) -> Mask:
    """More than two thirds of a network's units give zero for all samples."""
    return (smooth(history["critic_dead"]) > 0.67) | (smooth(history["generator_dead"]) > 0.67)


def clipped_tight(history: History) -> Mask:
    """Clipping, many weights at the bound, and hardly any slope."""
    return (smooth(history["clipped"]) > 0.2) & (smooth(history["slope/50"]) < 1e-4)


def clipped_loose(history: History) -> Mask:
    """Clipping, hardly any weight at the bound, and a slope far above one."""
    return (smooth(history["clipped"]) < 0.1) & (smooth(history["slope/50"]) > 5)


def too_steep(history: History) -> Mask:
    """Steeper than asked for, and the penalty that should answer is next to nothing; or much steeper."""
    target = _target(history) or np.nan
    slope = np.fmax(smooth(history["slope/50"]) / target, 1.0)
    balanced = (slope - 1) / (2 * slope) * _gap(history)
    shown: Mask = (slope > 1.2) & (_penalty(history) < 0.05 * balanced) | (slope > 10)
    return shown | _unheld(history)


def exploding(history: History) -> Mask:
    """Gradients grow ten thousandfold on their way through the critic, by no fault of the learning rate."""
    first, last = _ends(history)
    built = ~recent(_grown(history)) & (smooth(history["critic_update"]) < 5e-3)
    return ((smooth(history["slope/50"]) > 1e4) | (first > 1e3 * last)) & built


def vanishing(history: History) -> Mask:
    """Gradients shrink to a thousandth by the first layer, or to a twentieth of the slope asked for.

    Not by any layer: a branch whose gate begins at zero, as attention's, has hardly any and takes none away.
    """
    layers = history.layers("critic_gradient")
    shrunk = np.zeros(len(layers), dtype=bool)
    if layers.shape[1] > 1:
        shrunk |= smooth(layers[:, 0] / np.maximum(layers.max(1), LOST)) < 1e-3
    target = _target(history)
    if target is not None and history.setting("constraint.is") == "GradientPenalty":  # others may be flat
        shrunk |= smooth(history["slope/50"]) < 0.05 * target
    return shrunk


def saturated(history: History) -> Mask:
    """Scores of real and fake lie far apart, beyond where the loss still has a slope."""
    if history.setting("loss") not in ("minimax", "non-saturating"):
        return np.zeros(len(history.rows), dtype=bool)
    apart = smooth(history["score_real/05"]) - smooth(history["score_fake/95"])
    weak = smooth(history["generator_gradient"]) < 0.01 * typical(history["generator_gradient"])
    return (apart > 6) | ((apart > 2) & weak)


def collapsed(history: History) -> Mask:
    """Fakes that were apart, or lie on each other, are nearer to each other than a tenth of what data are."""
    apart = history["diversity"]
    fallen = (peak(apart) > 0.3) | (smooth(history["duplicates"]) > 0.5)
    return (smooth(apart) < 0.1) & fallen


def starved_critic(history: History) -> Mask:
    """The critic stands still while the generator moves, or scores fakes above data, or a probe says so."""
    still = smooth(history["critic_update"]) < BEHIND * smooth(history["generator_update"])
    spread = history["score_real/75"] - history["score_real/25"]
    wrong = smooth(history["gap"] + spread, SHOCK) < 0  # a shock to the generator passes sooner
    starved: Mask = still | wrong
    if (share := history.probe.get("probe_high")) is not None and share < ENOUGH:
        starved[-3:] = True  # a probe knows no more of the past
    return starved


def overfits(history: History) -> Mask:
    """Little of the gap on training is left on held-out samples, and that is not chance."""
    gap, held_out = smooth(history["gap"]), smooth(history["gap_held_out"])
    spread = smooth(history["score_held_out/95"] - history["score_held_out/05"]) / SPAN
    count = min(LOOKED_AT, history.data.get("held_out") or LOOKED_AT)
    apart = gap - held_out
    shown: Mask = (gap > 0) & (apart > 0.8 * gap) & (apart > 4 * spread * (2 / count) ** 0.5)
    return shown


def memorises(history: History) -> Mask:
    """Far more fakes lie closer to a training sample than held-out samples do."""
    return smooth(history["memorised"]) > 0.3


def partly_collapsed(history: History) -> Mask:
    """Fakes come in copies; or they lie on data, of which they cover a part that does not grow."""
    copies = (smooth(history["duplicates"]) > 0.3) & (smooth(history["diversity"]) >= 0.1)
    coverage = smooth(history["coverage_held_out"], SHOCK)
    narrow = (smooth(history["precision_held_out"], SHOCK) > 0.7) & (coverage < 0.4) & _stuck(coverage)
    return copies | narrow


def lost_progress(history: History) -> Mask:
    """Fakes as varied as data covered them, and cover a third of that by now, and do not come back."""
    coverage = smooth(history["coverage_held_out"])
    # In many dimensions a few fakes in the middle are near to all data.
    best = peak(np.where(smooth(history["diversity"]) > 0.7, coverage, np.nan))
    return (best > 0.3) & (coverage < best / 3) & _stuck(coverage)


def oscillates(history: History) -> Mask:
    """The gap changes its sign over and over, by as much as the scores differ at all."""
    gap = history["gap"]
    spread = history["score_real/75"] - history["score_real/25"]
    shown = np.zeros(len(gap), dtype=bool)
    for end in range(TURNS, len(gap) + 1):
        part = gap[end - TURNS : end]
        turns = np.mean(np.sign(part[1:]) != np.sign(part[:-1]))
        shown[end - 1] = turns > 0.25 and np.median(np.abs(part)) > np.median(spread[end - TURNS : end])
    return shown


def converged(history: History) -> Mask:
    """Over the last half of the run neither the gap nor the coverage moved by more than their noise."""
    shown = np.zeros(len(history.rows), dtype=bool)
    half = len(history.rows) // 2
    if half >= 10:
        shown[half:] = all(
            _flat(history[name][-half:]) for name in ("gap_held_out", "coverage_held_out", "diversity")
        )
    return shown


def _flat(values: Array) -> bool:
    values = values[np.isfinite(values)]
    if len(values) < 6:
        return False
    first, last = np.array_split(values, 2)
    noise = np.hypot(first.std(ddof=1) / len(first) ** 0.5, last.std(ddof=1) / len(last) ** 0.5)
    return bool(abs(first.mean() - last.mean()) <= 2 * noise + LOST)


def _ends(history: History) -> tuple[Array, Array]:
    """The gradient of the critic's first and of its last layer."""
    layers = history.layers("critic_gradient")
    if layers.shape[1] < 2:
        missing = np.full(len(history.rows), np.nan)
        return missing, missing
    return smooth(layers[:, 0]), smooth(layers[:, -1])


def _grown(history: History) -> Mask:
    """Whether the critic's weights tripled since the last look."""
    size = history["critic_weights/95"] - history["critic_weights/05"]
    if len(size) == 0:
        return np.zeros(0, dtype=bool)
    return np.append(False, size[1:] > 3 * np.maximum(size[:-1], LOST))


def _gap(history: History) -> Array:
    """What the critic gains, which a penalty balances; missing where the loss is another than the gap."""
    if history.setting("loss") != "wasserstein":
        return np.full(len(history.rows), np.nan)
    return smooth(np.abs(history["critic_loss"]))


def _steeper(history: History, factor: float) -> Mask:
    """Whether the critic is so many times steeper than its constraint asks for, if it asks for a slope."""
    target = _target(history)
    if target is None:
        return np.zeros(len(history.rows), dtype=bool)
    steep: Mask = smooth(history["slope/50"]) > factor * target
    return steep


def _unheld(history: History) -> Mask:
    """Nothing keeps the critic of a Wasserstein loss Lipschitz, or a penalty on all slopes that is idle."""
    kind, none = history.setting("constraint.is"), np.zeros(len(history.rows), dtype=bool)
    if kind == "Chain" and not history.setting("constraint.of"):
        paid = np.zeros(len(none))
    elif kind in ("R1", "R2", "R1R2"):
        paid = _penalty(history)
    else:
        return none
    idle = paid < IDLE * _gap(history)  # half of it where both balance
    shown: Mask = idle & (smooth(history["slope/50"]) > 1.2)
    return shown


def _still(history: History, moved: Array) -> Mask:
    """Whether a step at the full rate changes next to nothing, and fakes are not data; or nothing at all."""
    share = moved / history.decay
    return (share > 0) & ((share < STILL) & (history["coverage_held_out"] < 0.5) | (share < ROUNDING))


def _stuck(coverage: Array) -> Mask:
    """Whether it is hardly more than it was five log points ago."""
    before = np.append(np.full(min(5, len(coverage)), -1.0), coverage[:-5])
    stuck: Mask = coverage < before + 0.05
    return stuck


def _penalty(history: History) -> Array:
    """What the critic pays: over as many log points as it takes for a lazy penalty to be among them."""
    named = ("penalty_every", "n_critic", "logging.metrics")
    every, n_critic, log = (history.setting(name) or 1 for name in named)
    width, paid = -(-every // (n_critic * log)), history["penalty"]
    return smooth(np.array([paid[max(0, i + 1 - width) : i + 1].mean() for i in range(len(paid))]))


def _target(history: History) -> float | None:
    """The slope that the constraint asks for; None where it asks for none."""
    if history.setting("constraint.is") not in ("GradientPenalty", "LipschitzPenalty", "DRAGAN"):
        return None
    target = history.setting("constraint.target")
    return (1.0 if target is None else float(target)) or None


def _padded(values: Array, count: int) -> Array:
    return np.concatenate([np.full(max(0, count - len(values)), np.nan), values])[:count]
