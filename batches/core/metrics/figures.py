"""Figures as values: a table with typed columns, and the plot beside it."""

from dataclasses import dataclass

from batches.core.metrics.plots import Plot
from batches.core.metrics.values import Value


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is what CSV and JSON call it, with the unit; `kind`: seconds, hours, tokens, usd, share, ratio, count, text or date."""

    name: str
    title: str
    kind: str = "count"

    @property
    def is_number(self) -> bool:
        return self.kind not in ("text", "date")


@dataclass(frozen=True, slots=True)
class Row:
    """`href` leads to what the row was counted from; "" when there is nothing more to see."""

    values: tuple[Value, ...]
    href: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of the page. Without rows `empty` says why; without a plot the table is all of it."""

    name: str
    title: str
    note: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: str
    plot: Plot | None = None
    summary: str = ""  # what the plot shows, in one sentence, for those who do not see it
    wide: bool = False
