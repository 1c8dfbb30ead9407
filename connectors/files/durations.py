"""The one spelling of a duration: ISO 8601 as PostgreSQL writes it, in hours, minutes and seconds."""

from __future__ import annotations

_SECONDS_OF_MINUTE = 60
_SECONDS_OF_HOUR = 3600


def text(count: int, per_second: int) -> str:
    """So many units, of which a second has `per_second` (a power of ten): `PT30H1.5S`, `PT-1H-30M`, `PT0S`."""
    if not count:
        return "PT0S"
    sign = "-" if count < 0 else ""
    seconds, fraction = divmod(abs(count), per_second)
    hours, seconds = divmod(seconds, _SECONDS_OF_HOUR)
    minutes, seconds = divmod(seconds, _SECONDS_OF_MINUTE)
    digits = f"{fraction:0{len(str(per_second)) - 1}d}".rstrip("0") if fraction else ""
    parts = [f"{sign}{number}{unit}" for number, unit in ((hours, "H"), (minutes, "M")) if number]
    if seconds or digits:
        parts.append(f"{sign}{seconds}{'.' if digits else ''}{digits}S")
    return "PT" + "".join(parts)
