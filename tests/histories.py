"""Histories of runs: a healthy one, and one for each finding."""

from wgan.diagnosis import History

POINTS = 20
GP = {"is": "GradientPenalty", "weight": 10.0, "target": 1.0}
CLIPPING = {"is": "WeightClipping", "c": 0.01}
CONFIG = {
    "dataset": {"name": "digits", "shape": [1, 8, 8]},
    "constraint": GP,
    "loss": "wasserstein",
    "n_critic": 1,
    "decay": "constant",
    "steps": 10 * POINTS,
    "critic_optimiser": {"is": "Adam", "lr": 1e-3},
    "generator_optimiser": {"is": "Adam", "lr": 1e-3},
}
LAYERS = ("layers.0", "layers.2", "layers.4")


def row(index, **changes):
    """A log point of a healthy run: the gap falls, the coverage rises."""
    progress = index / POINTS
    gap = 2.0 - progress
    scores = {
        f"score_{name}/{level}": middle + 0.02 * (int(level) - 50)
        for name, middle in (("real", gap), ("held_out", 0.95 * gap), ("fake", 0.0))
        for level in ("05", "25", "50", "75", "95")
    }
    return {
        "step": 10 * (index + 1),
        "gap": gap,
        "gap_held_out": 0.95 * gap,
        "critic_loss": -gap,
        "generator_loss": 0.0,
        "penalty": 0.2,
        "critic_gradient": 2.0,
        "generator_gradient": 1.0,
        **scores,
        "slope/50": 1.1,
        "slope/95": 1.3,
        "slope/max": 1.5,
        **{f"critic_gradient/{layer}": 1.0 for layer in LAYERS},
        **{f"critic_weights/{level}": 0.002 * (int(level) - 50) for level in ("05", "25", "50", "75", "95")},
        "critic_update": 5e-3,
        "generator_update": 5e-3,
        "critic_dead": 0.1,
        "generator_dead": 0.05,
        "duplicates": 0.01,
        "diversity": 0.95,
        "precision_held_out": 0.5 + 0.4 * progress,
        "recall_held_out": 0.2 + 0.6 * progress,
        "coverage_held_out": 0.2 + 0.6 * progress,
        "memorised": 0.0,
        **changes,
    }


def history(*, change=lambda index: {}, start=10, config=(), data=(), points=POINTS, timing=()):
    """A healthy history that changes from log point number ``start`` on."""
    rows = [row(i, **(change(i) if i >= start else {})) for i in range(points)]
    return History(rows, {**CONFIG, **dict(config)}, timing, dict(data))


def ramp(index, factor, start=10):
    return factor ** (index - start + 1)


SHOWN = {
    "divergence": {"change": lambda i: {"critic_loss": None} if i == POINTS - 1 else {}},
    "exploding-gradients": {"change": lambda i: {"slope/50": 1e6, "critic_update": 1e-4}, "start": 0},
    "learning-rate-too-high": {
        "change": lambda i: {f"critic_weights/{q}": 4 * 0.002 * (int(q) - 50) for q in ("05", "95")},
        "start": 13,
    },
    "learning-rate-too-low": {
        "change": lambda i: {"critic_update": 1e-7, "generator_update": 1e-7, "coverage_held_out": 0.1},
        "start": 0,
    },
    "dead-units": {"change": lambda i: {"critic_dead": 0.9}},
    "clipping-too-tight": {
        "change": lambda i: {"clipped": 0.9, "slope/50": 1e-6},
        "start": 0,
        "config": {"constraint": CLIPPING},
    },
    "clipping-too-loose": {
        "change": lambda i: {"clipped": 0.0, "slope/50": 7.0},
        "start": 0,
        "config": {"constraint": CLIPPING},
    },
    "lipschitz-violated": {"change": lambda i: {"slope/50": 2.0, "penalty": 1e-6}},
    "critic-saturated": {
        "change": lambda i: {"score_real/05": 8.0, "score_fake/95": -1.0},
        "config": {"loss": "minimax", "constraint": {"is": "R1", "weight": 1.0}},
    },
    "vanishing-gradients": {"change": lambda i: {"critic_gradient/layers.0": 1e-5}},
    "critic-starved": {"change": lambda i: {"critic_update": 1e-9}},
    "mode-collapse": {"change": lambda i: {"diversity": 0.01, "coverage_held_out": 0.02}},
    "critic-overfits": {"change": lambda i: {"gap": 3.0, "gap_held_out": 0.1}},
    "memorises": {"change": lambda i: {"memorised": 0.6}},
    "partial-collapse": {"change": lambda i: {"precision_held_out": 0.9, "coverage_held_out": 0.2}},
    "oscillation": {
        "change": lambda i: {"gap": 5.0 * (-1) ** i, "gap_held_out": 5.0 * (-1) ** i},
        "start": 0,
    },
    "lost-progress": {"change": lambda i: {"coverage_held_out": 0.1, "precision_held_out": 0.1}},
    "converged": {"change": lambda i: {**row(10), "step": 10 * (i + 1)}, "start": 0, "points": 24},
    "data-trouble": {"data": {"duplicate_share": 0.9}, "start": 0},
    "input-starved": {
        "timing": [{"step": 10 * (i + 1), "data_share": 0.8} for i in range(POINTS)],
        "start": 0,
    },
}
"""A history for each finding."""
