"""How sizes, times and rates are told."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_SIZES = ((1024**3, "GiB"), (1024**2, "MiB"), (1024, "KiB"))
_TIMES = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"), (1.0, "s"), (0.001, "ms"))


def size(count: int) -> str:
    """Return a number of bytes in three digits or so."""
    for unit, name in _SIZES:
        if count >= unit:
            return f"{count / unit:.3g} {name}" if count < 1000 * unit else f"{count / unit:,.0f} {name}"
    return f"{count} byte" if count == 1 else f"{count} bytes"


def moment(time: datetime) -> str:
    """Return a time in UTC, to the millisecond."""
    return time.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def span(time: timedelta) -> str:
    """Return how long something took, in three digits or so."""
    seconds = abs(time.total_seconds())
    sign = "−" if time < timedelta() else ""
    for unit, name in _TIMES:
        if seconds >= unit:
            return f"{sign}{_three(seconds / unit)} {name}"
    return f"{sign}{seconds * 1e6:.0f} µs"


def rate(each_second: float) -> str:
    """Return how often something happens, by the second, the minute, the hour or the day."""
    for unit, name in (("s", 1.0), ("min", 60.0), ("h", 3_600.0)):
        if each_second * name >= 1:
            return f"{_three(each_second * name)}/{unit}"
    return f"{_three(each_second * 86_400)}/d"


def _three(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"
