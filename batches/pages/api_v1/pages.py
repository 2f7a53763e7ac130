"""Lists in parts: each answer names where the next part begins."""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Annotated, Any, TypeVar

from django.db import models
from ninja import Query
from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from batches.pages.api.endpoint import BadRequest
from batches.pages.common import read_number

Row = TypeVar("Row", bound=models.Model)
LARGEST_PAGE = 200


def _digits(sent: object) -> object:
    """A number of an address as it was sent; pydantic alone would take 3.0 and 1_0, which the document does not allow."""
    if isinstance(sent, str) and not re.fullmatch("-?[0-9]+", sent):
        raise PydanticCustomError("int_parsing", "Input should be a whole number in digits")
    return sent


# The defaults stand in Query, too: ninja loses those of the functions beside a validator.
Whole = Annotated[int, BeforeValidator(_digits)]
Limit = Annotated[Whole, Query(50, ge=1, le=LARGEST_PAGE, description="The most items of one answer.", examples=[50])]
Cursor = Annotated[str, Query(max_length=100, description="The `next` of the answer before; empty: the first part.", examples=[""])]
Next = Annotated[str | None, Field(description="The `cursor` of the next part; null at the end.", examples=[None])]


def part_of(
    rows: "models.QuerySet[Row]",
    field: str,
    cursor: str,
    limit: int,
    shown: Callable[[list[Row]], Iterable[dict[str, Any]]],
    *,
    newest_first: bool = True,
) -> dict[str, Any]:
    """{"items", "next"}: at most `limit` rows behind `cursor`, in the order of `field`, a number that no two rows share.

    Rows that come or go meanwhile are neither shown twice nor passed over. Raises BadRequest.
    """
    if cursor:
        rows = rows.filter(**{f"{field}__{'lt' if newest_first else 'gt'}": _behind(cursor)})
    found = list(rows.order_by(f"{'-' if newest_first else ''}{field}")[: limit + 1])
    last = getattr(found[limit - 1], field) if len(found) > limit else None
    return {"items": list(shown(found[:limit])), "next": None if last is None else _cursor(last)}


def _cursor(number: int) -> str:
    return urlsafe_b64encode(str(number).encode()).decode().rstrip("=")


def _behind(cursor: str) -> int:
    try:
        number = read_number(urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii"))
    except ValueError:
        number = None
    if number is None or _cursor(number) != cursor:
        raise BadRequest("cursor must be the `next` of an answer before.")
    return number
