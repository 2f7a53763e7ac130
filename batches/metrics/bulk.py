"""Many rows at once, several times as fast as through model instances: for what is derived or made up, never for what people do.

Rows are dictionaries by column (`run_id`, not `run`); what a row does not name has the model's default. Nothing is
validated but by the database, and no signal is sent.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from django.db import connection, models
from django.db.models import Model

Row = Mapping[str, Any]


def insert(model: type[Model], rows: Sequence[Row], *, replace: bool = False) -> None:
    """Insert the rows with their primary keys; with `replace` over those that exist. In the caller's transaction."""
    if not rows:
        return
    fields = model._meta.concrete_fields
    quote = connection.ops.quote_name
    columns = [quote(str(field.column)) for field in fields]
    sql = f"INSERT INTO {quote(model._meta.db_table)} ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})"  # noqa: S608 -- names of tables and columns come from the models, values are parameters
    if replace:
        key = quote(str(model._meta.pk.column))
        others = ", ".join(f"{column} = excluded.{column}" for column in columns if column != key)
        sql += f" ON CONFLICT ({key}) DO UPDATE SET {others}"
    slots = [(field.attname, _converter(field)) for field in fields]
    defaults = {field.attname: field.get_default() for field in fields}

    def values(row: Row) -> list[Any]:
        return [convert(row.get(name, defaults[name])) if convert else row.get(name, defaults[name]) for name, convert in slots]

    with connection.cursor() as cursor:
        cursor.executemany(sql, [values(row) for row in rows])


def new_ids(model: type[Model], count: int) -> list[int]:
    """So many primary keys that nobody else gets. In the caller's transaction, which on SQLite is the only one that writes."""
    table = model._meta.db_table
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT nextval(pg_get_serial_sequence(%s, 'id')) FROM generate_series(1, %s)", [table, count])
            return [number for (number,) in cursor.fetchall()]
        cursor.execute("SELECT seq FROM sqlite_sequence WHERE name = %s", [table])
        found = cursor.fetchone()
    first = (found[0] if found else 0) + 1
    return list(range(first, first + count))


def _converter(field: Any) -> Callable[[Any], Any] | None:
    """What turns a value of the field into what the database's driver takes; None: it takes it as it is."""
    if isinstance(field, models.DateTimeField):
        return connection.ops.adapt_datetimefield_value
    if isinstance(field, models.DateField):
        return connection.ops.adapt_datefield_value
    if isinstance(field, models.JSONField):
        return lambda value: None if value is None else json.dumps(value, ensure_ascii=False)
    if isinstance(field, models.DecimalField):
        digits, places = field.max_digits, field.decimal_places
        return lambda value: None if value is None else connection.ops.adapt_decimalfield_value(value, digits, places)
    return None
