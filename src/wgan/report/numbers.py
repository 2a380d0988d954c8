"""Numbers formatted for people, and round numbers for the ticks of an axis."""

import math
from collections.abc import Sequence


def format_number(value: float, digits: int = 3) -> str:
    """Format to significant digits without trailing zeros: 0.0257, 1,234, 1.2e-5."""
    if not math.isfinite(value):
        return "not a number"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 <= exponent < 7:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        text = f"{_without_zeros(mantissa)}e{int(power)}"
    else:
        text = _without_zeros(f"{value:,.{max(0, digits - 1 - exponent)}f}")
    return text.replace("-", "−", 1) if text.startswith("-") else text


def format_duration(seconds: float) -> str:
    """Format a time in its two largest units."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, 0)} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """About this many round numbers in [low, high]: multiples of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low)) or high <= low:
        return [low]
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if rough <= factor * power * (1 + 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Powers of ten in [low, high], or finer steps where there are too few; 0 < low < high."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = range(first, last + 1)
    if len(powers) >= 2:
        return [10.0**power for power in powers[:: math.ceil(len(powers) / most)]]
    fine = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
    return [value for value in fine if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]


def evenly_spaced(count: int, most: int) -> list[int]:
    """At most this many of the positions 0 to count - 1, evenly spaced, including the first and the last."""
    if count <= most:
        return list(range(count))
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})


def present(values: Sequence[float | None]) -> list[float]:
    """The values that are not None."""
    return [value for value in values if value is not None]


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text
