"""Numbers as people read them, and the round ones between them for an axis."""

import math
from collections.abc import Sequence


def shown(value: float, digits: int = 3) -> str:
    """A number to so many significant digits, without idle zeros: 0.0257, 1,234, 1.2e-5."""
    if not math.isfinite(value):
        return "not a number"
    if value == 0:
        return "0"
    exponent = math.floor(math.log10(abs(value)))
    if not -4 <= exponent < 7:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return _signed(f"{_trimmed(mantissa)}e{int(power)}")
    decimals = max(0, digits - 1 - exponent)
    return _signed(_trimmed(f"{value:,.{decimals}f}"))


def counted(count: int, what: str) -> str:
    """``1 step``, ``8,000 steps``."""
    return f"{count:,} {what}" + ("" if count == 1 else "s")


def duration(seconds: float) -> str:
    """A time in the two units that matter."""
    whole = round(seconds)
    if whole < 60:
        return f"{max(whole, 0)} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def ticks(low: float, high: float, *, about: int = 4) -> list[float]:
    """Round numbers in [low, high], about so many: multiples of 1, 2 or 5 times a power of ten."""
    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low)) or high <= low:
        return [low]
    step = _round_step((high - low) / about)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float, *, most: int = 5) -> list[float]:
    """Powers of ten in [low, high], or finer where there are too few; all positive."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    powers = range(first, last + 1)
    if len(powers) >= 2:
        return [10.0**power for power in powers[:: math.ceil(len(powers) / most)]]
    fine = [digit * 10.0**power for power in range(first - 1, last + 1) for digit in (1, 2, 5)]
    return [value for value in fine if low <= value * (1 + 1e-9) and value <= high * (1 + 1e-9)]


def spread(count: int, most: int) -> list[int]:
    """At most so many of the positions 0 to count - 1, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return sorted({round(index * (count - 1) / (most - 1)) for index in range(most)})


def finite(values: Sequence[float | None]) -> list[float]:
    """Those that are numbers."""
    return [value for value in values if value is not None]


def _round_step(rough: float) -> float:
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1, 2, 5, 10) if rough <= factor * power * (1 + 1e-9))


def _trimmed(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


def _signed(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text
