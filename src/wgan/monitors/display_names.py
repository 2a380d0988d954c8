"""How metrics are called for people: the one table behind the console, the report and the diagnosis.

The keys are those of ``metrics.jsonl`` and ``timing.jsonl``, which trackers such as TensorBoard keep as tags.
"""

DISPLAY_NAMES = {
    "critic_loss": "critic loss",
    "generator_loss": "generator loss",
    "gap": "gap (W estimate)",
    "gap_held_out": "gap, held out",
    "penalty": "gradient penalty",
    "critic_gradient": "gradient, critic",
    "generator_gradient": "gradient, generator",
    "images_per_second": "images/s",
}


def display_name(key: str, *, loss: object = "wasserstein") -> str:
    """The name of a metric for people.

    Args:
        key: As in ``metrics.jsonl``; ``score_real/50`` is the median of the scores of real samples.
        loss: The loss of the run. The gap estimates a Wasserstein distance only under ``wasserstein``.
    """
    if key == "gap" and loss != "wasserstein":
        return "gap"
    if key in DISPLAY_NAMES:
        return DISPLAY_NAMES[key]
    stem, slash, part = key.replace("-", " ").replace("_", " ").partition("/")
    if not slash:
        return stem
    if part.isdigit() or part == "max":
        return stem + {"50": ", median", "max": ", greatest"}.get(part, f", {part} % below")
    return f"{stem}, {part}"
