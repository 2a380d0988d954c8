"""Symptoms: functions from a history to a truth value per log point, defined in docs/diagnosis.md.

Scores and weights have no natural unit. So every symptom is a ratio of two observations: of the run to its
own past, of fakes to data, of one layer to another.
"""

import numpy as np

from wgan.diagnosis.history import History, Mask, Series
from wgan.diagnosis.series import peak, recent, smooth, typical

TINY = 1e-12
"""Smaller numbers count as zero."""
VITAL = (
    "gap",
    "gap_held_out",
    "critic_loss",
    "generator_loss",
    "penalty",
    "critic_gradient",
    "generator_gradient",
)
"""Metrics that must be finite: training stops where one of them is not."""
STILL = 3e-5
"""Relative change per step below which a network learns nothing; published settings have at least 3e-4."""
ROUNDING = 2.0**-24
"""Half the spacing of float32 at one: weights that change by less stay the same."""
BEHIND = 3e-3
"""Relative change per step, in that of the other network, below which a network stands still."""
IDLE = 1e-4
"""Share of the gap below which a penalty has no effect."""
ENOUGH = 0.1
"""Share of the gap that more critic steps reach, below which the gap says little about the distance."""
SHOCK = 9
"""Log points within which a generator recovers from a large step."""
TURNS = 12
"""Log points over which an oscillation of the gap is counted."""
SPAN = 3.29
"""Standard deviations between the quantiles at 5 and at 95 % of a normal distribution."""
FEW = 100
"""Number of training samples below which there is no distribution to learn."""
PROBED = 256
"""Number of samples of each kind behind the metrics of a log point."""


def bad_data(history: History) -> Mask:
    """The training data are few, constant, copies, of one class or out of [-1, 1]."""
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
    """A vital metric was not finite, or the critic loss is above 1e6 and still growing."""
    missing = np.array([any(row.get(name, 0) is None for name in VITAL) for row in history.rows], dtype=bool)
    size = smooth(np.abs(history["critic_loss"]))
    return missing | ((size > 1e6) & (size >= peak(size)))


def starved_input(history: History) -> Mask:
    """More than half of the time is spent on loading data."""
    share = smooth(history.clock("data_share"))
    return _padded(share, len(history.rows)) > 0.5


def rate_too_high(history: History) -> Mask:
    """Steps overshoot: weights triple between log points, change by a large part, or increase the loss."""
    free = ~(history["clipped"] > 0.1)
    moved = (smooth(history["critic_update"]) > 0.3) & free | (smooth(history["generator_update"]) > 0.1)
    # In equilibrium at slope s, the penalty is (s - 1) / 2 s < 1/2 of the gap.
    overpaid = _steeper(history, 10) & (_penalty(history) > 0.5 * _gap(history))
    return recent(_grown(history)) | moved | overpaid | _worse_than_nothing(history)


def _worse_than_nothing(history: History) -> Mask:
    """A critic that moves pays more, mostly penalty, than twice what a constant critic pays."""
    weight, target = history.setting("constraint.weight"), _target(history)
    if weight is None or target is None or history.setting("loss") != "wasserstein":
        return np.zeros(len(history.rows), dtype=bool)
    loss, penalty = smooth(history["critic_loss"]), _penalty(history)
    shown: Mask = loss + penalty > 2 * weight * target**2
    # Neither a critic whose penalty has no effect, nor one that moves too slowly to follow.
    return shown & (penalty > loss) & (smooth(history["critic_update"]) > 3e-3)


def rate_too_low(history: History) -> Mask:
    """Neither network moves, or only the critic moves although the generator has a gradient."""
    critic, generator = (history[f"{network}_update"] for network in ("critic", "generator"))
    # Without a gradient it would not move at any rate.
    no_gradient = history["generator_gradient"] < 1e-3 * typical(history["generator_gradient"])
    no_gradient |= vanishing(history) | saturated(history) | clipped_tight(history) | dead(history)
    alone = _still(history, generator) & (generator < BEHIND * critic) & ~no_gradient
    return _still(history, np.fmax(critic, generator)) | alone


def dead(history: History) -> Mask:
    """More than two thirds of a network's units give zero for all samples."""
    return (smooth(history["critic_dead"]) > 0.67) | (smooth(history["generator_dead"]) > 0.67)


def clipped_tight(history: History) -> Mask:
    """With clipping, many weights are at the bound and the slope is almost zero."""
    return (smooth(history["clipped"]) > 0.2) & (smooth(history["slope/50"]) < 1e-4)


def clipped_loose(history: History) -> Mask:
    """With clipping, few weights are at the bound and the slope is far above one."""
    return (smooth(history["clipped"]) < 0.1) & (smooth(history["slope/50"]) > 5)


def too_steep(history: History) -> Mask:
    """The critic is steeper than its target while the penalty is close to zero; or it is much steeper."""
    target = _target(history) or np.nan
    slope = np.fmax(smooth(history["slope/50"]) / target, 1.0)
    balanced = (slope - 1) / (2 * slope) * _gap(history)
    shown: Mask = (slope > 1.2) & (_penalty(history) < 0.05 * balanced) | (slope > 10)
    return shown | _unconstrained(history)


def exploding(history: History) -> Mask:
    """Gradients grow ten-thousandfold through the critic, not because of the learning rate."""
    first, last = _ends(history)
    slow = ~recent(_grown(history)) & (smooth(history["critic_update"]) < 5e-3)
    return ((smooth(history["slope/50"]) > 1e4) | (first > 1e3 * last)) & slow


def vanishing(history: History) -> Mask:
    """Gradients shrink to a thousandth at the first layer, or the slope to a twentieth of its target.

    The first layer only: a branch with a factor that is zero at first, as attention, has almost no gradient
    and takes none from the layers before it.
    """
    layers = history.layers("critic_gradient")
    shrunk = np.zeros(len(layers), dtype=bool)
    if layers.shape[1] > 1:
        shrunk |= smooth(layers[:, 0] / np.maximum(layers.max(1), TINY)) < 1e-3
    target = _target(history)
    if target is not None and history.setting("constraint.is") == "GradientPenalty":  # others may be flat
        shrunk |= smooth(history["slope/50"]) < 0.05 * target
    return shrunk


def saturated(history: History) -> Mask:
    """Real and fake scores are so far apart that the loss is flat there."""
    if history.setting("loss") not in ("minimax", "non-saturating"):
        return np.zeros(len(history.rows), dtype=bool)
    apart = smooth(history["score_real/05"]) - smooth(history["score_fake/95"])
    weak = smooth(history["generator_gradient"]) < 0.01 * typical(history["generator_gradient"])
    return (apart > 6) | ((apart > 2) & weak)


def collapsed(history: History) -> Mask:
    """The distances between fakes fell below a tenth of those between real samples."""
    diversity = history["diversity"]
    fallen = (peak(diversity) > 0.3) | (smooth(history["duplicates"]) > 0.5)
    return (smooth(diversity) < 0.1) & fallen


def starved_critic(history: History) -> Mask:
    """The critic stands still while the generator moves, scores fakes above data, or a probe shows it."""
    still = smooth(history["critic_update"]) < BEHIND * smooth(history["generator_update"])
    spread = history["score_real/75"] - history["score_real/25"]
    wrong = smooth(history["gap"] + spread, SHOCK) < 0  # recovery from a large generator step is quicker
    starved: Mask = still | wrong
    if (share := history.probe.get("probe_high")) is not None and share < ENOUGH:
        starved[-3:] = True  # a probe says nothing about earlier log points
    return starved


def overfits(history: History) -> Mask:
    """The gap on held-out samples is significantly and much smaller than on training samples."""
    gap, held_out = smooth(history["gap"]), smooth(history["gap_held_out"])
    spread = smooth(history["score_held_out/95"] - history["score_held_out/05"]) / SPAN
    count = min(PROBED, history.data.get("held_out") or PROBED)
    apart = gap - held_out
    shown: Mask = (gap > 0) & (apart > 0.8 * gap) & (apart > 4 * spread * (2 / count) ** 0.5)
    return shown


def memorises(history: History) -> Mask:
    """Far more fakes than held-out samples are very close to a training sample."""
    return smooth(history["memorised"]) > 0.3


def partly_collapsed(history: History) -> Mask:
    """Fakes are copies of one another; or they look real and cover a part of the data that does not grow."""
    copies = (smooth(history["duplicates"]) > 0.3) & (smooth(history["diversity"]) >= 0.1)
    coverage = smooth(history["coverage_held_out"], SHOCK)
    narrow = (smooth(history["precision_held_out"], SHOCK) > 0.7) & (coverage < 0.4) & _stuck(coverage)
    return copies | narrow


def lost_progress(history: History) -> Mask:
    """The coverage of diverse fakes fell to a third of its best and does not recover."""
    coverage = smooth(history["coverage_held_out"])
    # In many dimensions a few fakes in the centre are near to all data.
    best = peak(np.where(smooth(history["diversity"]) > 0.7, coverage, np.nan))
    return (best > 0.3) & (coverage < best / 3) & _stuck(coverage)


def oscillates(history: History) -> Mask:
    """The gap keeps changing its sign, with an amplitude as large as the spread of the scores."""
    gap = history["gap"]
    spread = history["score_real/75"] - history["score_real/25"]
    shown = np.zeros(len(gap), dtype=bool)
    for end in range(TURNS, len(gap) + 1):
        part = gap[end - TURNS : end]
        turns = np.mean(np.sign(part[1:]) != np.sign(part[:-1]))
        shown[end - 1] = turns > 0.25 and np.median(np.abs(part)) > np.median(spread[end - TURNS : end])
    return shown


def converged(history: History) -> Mask:
    """Over the last half of the run, gap, coverage and diversity changed by no more than their noise."""
    shown = np.zeros(len(history.rows), dtype=bool)
    half = len(history.rows) // 2
    if half >= 10:
        shown[half:] = all(
            _flat(history[name][-half:]) for name in ("gap_held_out", "coverage_held_out", "diversity")
        )
    return shown


def _flat(values: Series) -> bool:
    values = values[np.isfinite(values)]
    if len(values) < 6:
        return False
    first, last = np.array_split(values, 2)
    noise = np.hypot(first.std(ddof=1) / len(first) ** 0.5, last.std(ddof=1) / len(last) ** 0.5)
    return bool(abs(first.mean() - last.mean()) <= 2 * noise + TINY)


def _ends(history: History) -> tuple[Series, Series]:
    """The gradient norms of the critic's first and last layers."""
    layers = history.layers("critic_gradient")
    if layers.shape[1] < 2:
        missing = np.full(len(history.rows), np.nan)
        return missing, missing
    return smooth(layers[:, 0]), smooth(layers[:, -1])


def _grown(history: History) -> Mask:
    """Whether the critic's weights tripled since the last log point."""
    size = history["critic_weights/95"] - history["critic_weights/05"]
    if len(size) == 0:
        return np.zeros(0, dtype=bool)
    return np.append(False, size[1:] > 3 * np.maximum(size[:-1], TINY))


def _gap(history: History) -> Series:
    """The size of the critic loss, which a penalty balances; missing for losses other than the gap."""
    if history.setting("loss") != "wasserstein":
        return np.full(len(history.rows), np.nan)
    return smooth(np.abs(history["critic_loss"]))


def _steeper(history: History, factor: float) -> Mask:
    """Whether the critic's slope is above ``factor`` times the target of its constraint."""
    target = _target(history)
    if target is None:
        return np.zeros(len(history.rows), dtype=bool)
    steep: Mask = smooth(history["slope/50"]) > factor * target
    return steep


def _unconstrained(history: History) -> Mask:
    """A Wasserstein critic has no Lipschitz constraint, or only a penalty that has no effect."""
    kind, none = history.setting("constraint.is"), np.zeros(len(history.rows), dtype=bool)
    if kind == "Chain" and not history.setting("constraint.of"):
        paid = np.zeros(len(none))
    elif kind in ("R1", "R2", "R1R2"):
        paid = _penalty(history)
    else:
        return none
    idle = paid < IDLE * _gap(history)  # in equilibrium it would be half
    shown: Mask = idle & (smooth(history["slope/50"]) > 1.2)
    return shown


def _still(history: History, moved: Series) -> Mask:
    """Whether full-rate steps change almost nothing while coverage is low, or nothing at all."""
    share = moved / history.decay
    return (share > 0) & ((share < STILL) & (history["coverage_held_out"] < 0.5) | (share < ROUNDING))


def _stuck(coverage: Series) -> Mask:
    """Whether the coverage grew by less than 0.05 in five log points."""
    before = np.append(np.full(min(5, len(coverage)), -1.0), coverage[:-5])
    stuck: Mask = coverage < before + 0.05
    return stuck


def _penalty(history: History) -> Series:
    """The mean penalty, over enough log points for a lazy penalty to be among them."""
    names = ("penalty_every", "n_critic", "logging.metrics")
    every, n_critic, interval = (history.setting(name) or 1 for name in names)
    width, penalty = -(-every // (n_critic * interval)), history["penalty"]
    return smooth(np.array([penalty[max(0, i + 1 - width) : i + 1].mean() for i in range(len(penalty))]))


def _target(history: History) -> float | None:
    """The slope that the constraint penalises deviations from; None without one."""
    if history.setting("constraint.is") not in ("GradientPenalty", "LipschitzPenalty", "DRAGAN"):
        return None
    target = history.setting("constraint.target")
    return (1.0 if target is None else float(target)) or None


def _padded(values: Series, count: int) -> Series:
    return np.concatenate([np.full(max(0, count - len(values)), np.nan), values])[:count]
