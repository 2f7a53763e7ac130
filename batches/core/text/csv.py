"""CSV (RFC 4180) for spreadsheets: unknown values are empty, and no cell is a formula."""

import csv
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_of(heading: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """The heading and the rows as CSV text."""
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(heading)
    for row in rows:
        writer.writerow([cell(value) for value in row])
    return "".join(lines)


class _Lines(list[str]):
    def write(self, line: str) -> None:
        self.append(line)


def cell(value: object) -> object:
    """The value for a cell. Text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text.lstrip(" \n\u00a0\ufeff").startswith(FORMULA_STARTS) or text.startswith(FORMULA_STARTS) else text
