"""A place of a plan that a person has to fill in, such as “[FILL IN: the command that runs the tests]”: an error with its line."""

import re
from collections.abc import Sequence

from batches.core.plans.types import IssueCode, PlanIssue

_START = "[FILL IN:"
_PLACE = re.compile(r"\[FILL IN:\s*(?P<what>[^\]\n]*)\]")


def place_for(what: str) -> str:
    """The place to write into a plan for what nobody but a person knows."""
    return f"{_START} {what}]"


def places_to_fill_in(text: str) -> tuple[PlanIssue, ...]:
    """An error for each place that is still to be filled in, in line order; also in code, where it would be run."""
    if _START not in text:
        return ()
    return tuple(
        PlanIssue(
            number,
            IssueCode.UNFILLED_TEMPLATE,
            f"Still to be filled in: {match['what'].strip() or 'this place'}. Write it in place of “{match[0]}”.",
        )
        for number, line in enumerate(text.split("\n"), start=1)
        for match in _PLACE.finditer(line)
    )


def without_lines_of(issues: Sequence[PlanIssue], places: Sequence[PlanIssue]) -> tuple[PlanIssue, ...]:
    """The issues of other lines: what else is wrong with a place that is to be filled in goes away with it."""
    lines = {place.line for place in places}
    return tuple(issue for issue in issues if issue.line not in lines)
