"""Lengths of time as .NET's TimeSpan writes them."""

import re

_TIMESPAN = re.compile(
    r"(?:(?P<whole_days>\d{1,8})|(?:(?P<days>\d{1,8})\.)?(?P<hours>\d{1,2}):(?P<minutes>\d{1,2})"
    r"(?::(?P<seconds>\d{1,2})(?:\.(?P<fraction>\d{1,7}))?)?)",
    re.ASCII,
)


def parse_timespan(text: str) -> float | None:
    """Seconds of `01:00:00`, `1.00:00:00` (days) or `3600` (days, too!); None for what is no length of time."""
    match = _TIMESPAN.fullmatch(text.strip())
    if match is None:
        return None
    if match["whole_days"] is not None:
        return int(match["whole_days"]) * 86_400.0
    days, hours, minutes, seconds = (int(match[name] or 0) for name in ("days", "hours", "minutes", "seconds"))
    if hours > 23 or minutes > 59 or seconds > 59:
        return None
    return days * 86_400 + hours * 3_600 + minutes * 60 + seconds + float(f"0.{match['fraction'] or 0}")
