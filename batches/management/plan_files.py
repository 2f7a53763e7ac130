"""Shared by `analyze` and `validate`: reading plans from the command line and printing their problems."""

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from batches.core.plans.analysis import DocumentReport, analyse_document, checks_of
from batches.core.plans.conflicts import ConflictKind, conflict_words
from batches.core.plans.forecast import DEFAULT_SCHEDULE, added_hours
from batches.core.plans.reader import PlanIssue
from batches.core.review.plan_review import PlanReview
from batches.core.text.words import counted

GATES_SHOWN = 200
CONFLICTS_SHOWN = 50
COSTED_PHASES = 500  # in a larger plan, what running phases one by one costs takes too long to find


def add_plan_arguments(parser: ArgumentParser) -> None:
    """PLAN.md … (“-” is the standard input) and --json."""
    parser.add_argument("plans", nargs="+", metavar="PLAN.md", help="plan documents, markdown or JSON; “-” reads the standard input")
    parser.add_argument("--project", metavar="NAME", help="also review the plans, and compare their files with this project's base branch")
    parser.add_argument("--repository", metavar="PATH", help="the same with the repository at PATH; needs no project and no database")
    parser.add_argument("--base", metavar="BRANCH", default="", help="the branch of --repository (default: the one that is checked out)")
    parser.add_argument("--json", action="store_true", help="print JSON: one object for one plan, a list of objects for several")


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """A plan from the command line: its name, what was read, and its review where a project or repository is given."""

    name: str
    report: DocumentReport
    review: PlanReview | None


def read_plans(options: Mapping[str, Any]) -> Iterator[ReadPlan]:
    """Each plan that `options` name, by `add_plan_arguments`. Raises CommandError (exit code 2), such as for a file that cannot be read."""
    if options["project"] and options["repository"]:
        raise CommandError("Give --project or --repository, not both.", returncode=2)
    review_of = _reviewer(options)
    for name in options["plans"]:
        try:
            source = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as fault:
            raise CommandError(
                f"{name}: {fault.strerror or fault}. Give the path of a plan, or - for the standard input.", returncode=2
            ) from fault
        report = analyse_document(source)
        review = review_of(report, source.decode("utf-8", "replace").removeprefix("\ufeff")) if review_of else None
        yield ReadPlan("(standard input)" if name == "-" else name, report, review)


def _reviewer(options: Mapping[str, Any]) -> Callable[[DocumentReport, str], PlanReview] | None:
    """What reviews a plan beside the repository or project that is given; None without one."""
    if not options["repository"] and not options["project"]:
        return None
    from batches.management.projects import find_project  # here: without these options no installation is needed, nor loaded
    from batches.review.plan_review import review_beside, review_of_text

    if options["repository"]:
        path, branch = str(options["repository"]), str(options["base"])
        return lambda report, text: review_beside(path, branch, report, text)
    project = find_project(options["project"])
    return lambda report, text: review_of_text(project, report, text)


def review_lines(name: str, review: PlanReview | None) -> Iterator[str]:
    """What a review found, a line each; nothing without one."""
    if review is None:
        return
    for one in review.findings:
        place = f"{name}:{one.line}" if one.line else name
        yield f"review: {place}: {one.severity.value}: {one.message}{f' {one.suggestion}' if one.suggestion else ''}"
    if review.left_out:
        yield f"review: … and {review.left_out} more; fix these first"
    if review.new_files:
        more = f" and {len(review.new_files) - 20} more" if len(review.new_files) > 20 else ""
        yield f"review: new at the base branch: {', '.join(review.new_files[:20])}{more}"
    if review.problem:
        yield f"review: the files were not compared with the repository: {review.problem}"
    if not (review.findings or review.problem):
        yield "review: nothing to say"


def issue_line(name: str, issue: PlanIssue) -> str:
    """“plan.md:32: message”, the format of compilers, so that editors can jump to the line."""
    return f"{name}:{issue.line}: {issue.message}" if issue.line else f"{name}: {issue.message}"


def gate_lines(report: DocumentReport) -> Iterator[str]:
    """“Phase 1, gate 2: runs pytest -q …” for each gate, before anything is run; what is not run says why."""
    total = sum(len(phase.gates) for phase in report.reading.plan.phases)
    shown = 0
    for phase in report.reading.plan.phases:
        for read in checks_of(phase):
            if shown == GATES_SHOWN:
                yield f"… and {counted(total - shown, 'gate')} more (--json lists all)"
                return
            shown += 1
            line = f"Phase {phase.key}, gate {read.gate.position}: {read.sentence}"
            yield line + (f"; to run it, end the gate with {read.chosen}" if read.offer else "")


def conflict_lines(report: DocumentReport) -> Iterator[str]:
    """Each file that phases change in parallel, with those phases and what one after the other costs."""
    if report.analysis is None:
        return
    phases = report.reading.plan.phases
    real = [conflict for conflict in report.analysis.conflicts if conflict.kind is not ConflictKind.ORDERED]
    for one in real[:CONFLICTS_SHOWN]:
        added = None
        if len(phases) <= COSTED_PHASES:
            added = added_hours(phases, report.analysis.stage_of, (), one.phases, DEFAULT_SCHEDULE)
        cost = "" if added is None else f"; one after the other costs {hours(added)}"
        yield f"{conflict_words(one.file, one.phases, one.kind)}{cost}"
    if len(real) > CONFLICTS_SHOWN:
        yield f"… and {len(real) - CONFLICTS_SHOWN} more (--json lists all)"


def hours(value: float | None) -> str:
    """Hours for people; “—” if unknown."""
    return "—" if value is None else f"{value:g} h"
