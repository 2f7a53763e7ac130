"""Ask about what a document says is done: a person chooses whether it is left out or done again."""

import re
from collections.abc import Sequence

from batches.core.plans.formats.document import Document
from batches.core.plans.labels import Field
from batches.core.plans.phases import Issues
from batches.core.plans.types import IssueCode, Repair
from batches.core.text.words import counted

_TICK = re.compile(r"^(\s*(?:[-*+]|[0-9]{1,9}[.)])\s+)\[[xX]\]")


def ask_about_done(
    document: Document, done: int, total: int, gone: Sequence[tuple[int, int]], issues: Issues, without: str | None = None
) -> None:
    """Warn that `done` of `total` steps are done already, and offer to leave them out or to untick them.

    `gone` are the lines (from 1, inclusive) of the phases and steps that are done. `without` is the whole text without them,
    where lines alone cannot be taken out (JSON). As the plan stands, they are done again.
    """
    if not done or issues.is_full("warnings"):
        return
    lines = document.lines
    spans = sorted(span for span in gone if span[0] > 0)
    first = spans[0][0] if spans else 1
    last = max((end for _, end in spans), default=1)
    others: list[Repair] = []
    if done < total:
        if without is not None:
            others.append(Repair(1, "replace", without, "Leave them out", len(lines)))
        elif spans:
            left_out = {at for start, end in spans for at in range(start, end + 1)}
            rest = [line for at, line in enumerate(lines[first - 1 : last], start=first) if at not in left_out]
            others.append(Repair(first, "replace" if rest else "delete", "\n".join(rest), "Leave them out", last))
    ticked = [_TICK.sub(r"\1[ ]", line) for line in lines[first - 1 : last]]
    if without is None and ticked != lines[first - 1 : last]:
        others.append(Repair(first, "replace", "\n".join(ticked), "Do them again: untick them", last))
    message = f"{done} of {counted(total, 'step')} are done already, by their boxes or status. As written they are done again."
    issues.warning(first, IssueCode.ALREADY_DONE, message, field=Field.STEPS, others=tuple(others))
