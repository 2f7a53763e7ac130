"""Shared by `analyze` and `validate`: reading plans from the command line and printing their problems."""

import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.core.management.base import CommandError

from batches.core.plans.analysis import DocumentReport, analyse_document, checks_of
from batches.core.plans.reader import PlanIssue
from batches.core.text.words import counted

GATES_SHOWN = 200


def add_plan_arguments(parser: ArgumentParser) -> None:
    """PLAN.md … (“-” is the standard input) and --json."""
    parser.add_argument("plans", nargs="+", metavar="PLAN.md", help="plan documents, markdown or JSON; “-” reads the standard input")
    parser.add_argument("--json", action="store_true", help="print JSON: one object for one plan, a list of objects for several")


def read_reports(names: Iterable[str]) -> Iterator[tuple[str, DocumentReport]]:
    """Each named file with its report. Raises CommandError (exit code 2) for a file that cannot be read."""
    for name in names:
        try:
            source = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        except OSError as fault:
            raise CommandError(
                f"{name}: {fault.strerror or fault}. Give the path of a plan, or - for the standard input.", returncode=2
            ) from fault
        yield "(standard input)" if name == "-" else name, analyse_document(source)


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


def hours(value: float | None) -> str:
    """Hours for people; “—” if unknown."""
    return "—" if value is None else f"{value:g} h"
