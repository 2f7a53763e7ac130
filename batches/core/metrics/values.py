"""How the values of figures are written: for people, and for CSV and JSON."""

from datetime import date
from decimal import Decimal

from batches.core.percentile import MoreThan
from batches.core.text import words

Value = str | int | float | Decimal | date | None


def shown(value: Value, kind: str) -> str:
    """A value as people read it; unknown is "—"."""
    if value is None or value == "":
        return words.UNKNOWN
    if isinstance(value, str):
        return words.visible(value)
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, MoreThan):
        return f"> {shown(float(value), kind)}"
    match kind:
        case "seconds":
            return words.duration(float(value))
        case "hours":
            return words.hours(float(value))
        case "tokens":
            return words.tokens(round(value))
        case "usd":
            return words.usd(value)
        case "share":
            return f"{100 * float(value):.0f} %".replace("-", "−") if not 0 < value < 0.005 else "<1 %"
        case "ratio":
            return f"{float(value):.2f} ×"
    return f"{value:,}" if isinstance(value, int) else f"{float(value):,.1f}".removesuffix(".0")


def in_unit(value: float | Decimal | None, unit: str) -> str:
    """The value of a headline or a criterion as people read it (types.Headline.unit)."""
    if value is None:
        return words.UNKNOWN
    if unit == "percent":
        return f"{float(value):.0f} %"
    whole = unit in ("count", "runs") and float(value).is_integer()
    return shown(int(value) if whole else value, "ratio" if unit == "times" else unit)


def bare(value: Value) -> str | int | float | None:
    """A value for CSV and JSON: numbers as numbers, dates as ISO 8601, unknown as null."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, date):
        return value.isoformat()
    return value
