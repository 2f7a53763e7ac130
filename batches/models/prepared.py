"""Queries that the engine repeats in every round: Django builds their SQL once a connection, then only the values change.

Building a query takes Django several times as long as the database needs to answer it: it was a third of what a phase cost the
engine (docs/decisions/prepared-queries.md).
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Generic, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Expression, QuerySet

from batches.models.visibility import sees_all

Row = TypeVar("Row")

PLACE = "_ce_prepared"  # in the connection: what is built lives and ends with it
WORD = re.compile(r"[a-z_]+")
Value = int | str | datetime


class Slot(Expression):
    """The place in a query of a value that each call gives anew."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: BaseDatabaseWrapper) -> Any:
        return "%s", [self]


class Prepared(Generic[Row]):
    """A query that is built once. `build` takes its values by name and returns the query set; a value is never None.

    Rows that are prefetched are not supported. A request that may see only some projects asks a query of its own.
    """

    def __init__(self, build: Callable[..., QuerySet[Any, Row]]) -> None:
        self._build = build

    def rows(self, **values: Value) -> list[Row]:
        """The rows, read from the database now."""
        if not sees_all():
            return list(self._build(**values))
        connection = connections[DEFAULT_DB_ALIAS]
        known: dict[Prepared[Any], _Built[Any]] = vars(connection).setdefault(PLACE, {})
        if self not in known:
            known[self] = _Built(self._build(**{name: Slot(name) for name in values}), connection)
        return known[self].rows(values)

    def first(self, **values: Value) -> Row | None:
        """The first of the rows; None when there is none."""
        return next(iter(self.rows(**values)), None)


class _Built(Generic[Row]):
    """A query set whose SQL is known, for one connection."""

    def __init__(self, queryset: QuerySet[Any, Row], connection: BaseDatabaseWrapper) -> None:
        compiler = queryset.query.get_compiler(connection=connection)
        self.queryset: Any = queryset
        self.connection = connection
        self.sql, self.parameters = _with_words(*compiler.as_sql())
        converters = compiler.get_converters([column for column, *_ in compiler.select[: compiler.col_count]])
        # From here on the compiler answers what it has found out, and the query gives out no other.
        for target, name, answer in (
            (compiler, "as_sql", lambda: (self.sql, self.given)),
            (compiler, "get_converters", lambda _columns: converters),
            (queryset.query, "get_compiler", lambda *_arguments, **_options: compiler),
        ):
            setattr(target, name, answer)
        self.given: list[Any] = []

    def rows(self, values: dict[str, Value]) -> list[Row]:
        self.given = [self._adapted(values[each.name]) if isinstance(each, Slot) else each for each in self.parameters]
        found: list[Row] = list(self.queryset._iterable_class(self.queryset))
        return found

    def _adapted(self, value: Value) -> Any:
        """The value as the database's driver takes it."""
        if isinstance(value, datetime):
            return self.connection.ops.adapt_datetimefield_value(value)
        return str(value) if isinstance(value, str) else value  # the driver knows no enumerations


def _with_words(sql: str, parameters: Sequence[Any]) -> tuple[str, list[Any]]:
    """The query with the words that never change in its text: SQLite uses a partial index only where it can read its condition."""
    parts = sql.split("%s")
    words = [f"'{one}'" if isinstance(one, str) and WORD.fullmatch(one) else "%s" for one in parameters]
    text = "".join(part + word for part, word in zip(parts, [*words, ""], strict=True))
    return text, [one for one, word in zip(parameters, words, strict=True) if word == "%s"]
