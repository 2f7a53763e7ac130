"""CSV (RFC 4180) for spreadsheets: unknown is empty, and no cell is a formula."""

import csv
from collections.abc import Iterable, Sequence

FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def csv_of(heading: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """The rows as text, under a heading."""
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
    """Numbers as they are; text that a spreadsheet would take for a formula with an apostrophe before it."""
    if value is None:
        return ""
    if isinstance(value, int | float):
        return value
    text = str(value)
    return f"'{text}" if text.lstrip(" \n\u00a0\ufeff").startswith(FORMULA_STARTS) or text.startswith(FORMULA_STARTS) else text
