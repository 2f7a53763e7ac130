"""All repairs of a plan's errors at once: the text that they lead to, what they change, and what it means for the time."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from batches.core.plans.analysis import analyse_document
from batches.core.plans.types import IssueCode, PlanIssue, Repair, apply_repair

ROUNDS = 8  # a repair can bring up others: a heading that becomes a phase lacks its fields


@dataclass(frozen=True, slots=True)
class Proposal:
    """A plan's text after all repairs. `changes` is {what was done: how often}; `errors` counts those that are left.

    `hours` is the longest chain of the phases, so the least time that it takes; None if it is unknown.
    """

    text: str
    changes: dict[str, int]
    errors: int
    phases: int
    hours: float | None


def repair_all(text: str, at_once: bool = False) -> Proposal:
    """The text after every repair that an error offers, until none is left.

    Where the document does not say the order of its phases, they come by their numbers, or with `at_once` all together.
    Warnings are left: they are a person's to decide.
    """
    changes: Counter[str] = Counter()
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    report = analyse_document(text)
    for _ in range(ROUNDS):
        chosen = _apart(_chosen(report.reading.errors, at_once))
        if not chosen:
            break
        for issue, repair in chosen:
            text = apply_repair(text, repair)
            changes[_change(issue, repair)] += 1
        report = analyse_document(text)
    hours = report.analysis.longest_chain_hours if report.analysis is not None else None
    return Proposal(text, dict(changes), len(report.reading.errors), len(report.reading.plan.phases), hours)


def choices(text: str) -> tuple[Proposal, ...]:
    """The ways of repairing all at once: by the order of the numbers, and all together where that is another text."""
    in_order = repair_all(text)
    if not in_order.changes:
        return ()
    together = repair_all(text, at_once=True)
    return (in_order,) if together.text == in_order.text else (in_order, together)


def _chosen(issues: Iterable[PlanIssue], at_once: bool) -> list[tuple[PlanIssue, Repair]]:
    """One repair for each issue that offers some: the last of its others if `at_once` asks for it."""
    return [
        (issue, issue.others[-1] if at_once and issue.others else issue.repair)
        for issue in issues
        if issue.repair is not None
    ]


def _apart(chosen: list[tuple[PlanIssue, Repair]]) -> list[tuple[PlanIssue, Repair]]:
    """The repairs that do not touch each other's lines, from the bottom up, so that lines above keep their numbers."""
    kept: list[tuple[PlanIssue, Repair]] = []
    ordered = sorted(enumerate(chosen), key=lambda one: (one[1][1].last_line, one[1][1].action == "insert_after", one[0]), reverse=True)
    top = 10**9
    for _, (issue, repair) in ordered:
        if (repair.line + 1 if repair.action == "insert_after" else repair.last_line) <= top:
            kept.append((issue, repair))
            top = repair.line if repair.action != "insert_after" else repair.line + 1
            if repair.action != "insert_after":
                top -= 1
    return kept


def _change(issue: PlanIssue, repair: Repair) -> str:
    """What a repair does, in words that are the same for all of its kind."""
    if issue.code is IssueCode.MISSING_FIELD:
        return f"{issue.field} added"
    if issue.code is IssueCode.NO_PHASES:
        return repair.label.replace("Read these", "Headings read").replace("Read this", "Read", 1)
    return {
        IssueCode.NO_TITLE: "Title added",
        IssueCode.BAD_HOURS: "Hours written clearly",
        IssueCode.UNDEFINED_DEPENDENCY: "Dependency put right",
        IssueCode.DUPLICATE_KEY: "Key changed",
        IssueCode.BAD_KEY: "Key changed",
        IssueCode.UNREAD_SECTION: "Section made a phase",
    }.get(issue.code, "Repaired")
