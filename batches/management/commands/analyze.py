"""Read plans and print their stages, conflicts, critical path and faults. Needs no database, but for --project."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from batches.core.plans.analysis import DocumentReport
from batches.core.plans.conflicts import ConflictKind
from batches.core.review.plan_review import PlanReview
from batches.core.text.words import counted
from batches.management.plan_files import add_plan_arguments, conflict_lines, gate_lines, hours, issue_line, read_plans, review_lines

LARGE = 1_000  # phases; above, JSON is printed without indentation, which would take a third of the time and half of the memory


class Command(BaseCommand):
    help = "Analyse plans: stages, file conflicts, critical path, hours, and every fault with its line. Exit code 1 when a plan has errors."
    requires_system_checks: list[str] = []  # reading a plan needs neither a database nor the rest of the installation

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_plan_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        plans = list(read_plans(options))
        if options["json"]:
            objects = [one.report.to_json() | ({} if one.review is None else {"review": one.review.to_json()}) for one in plans]
            several = [{"file": one.name, **found} for one, found in zip(plans, objects, strict=True)]
            large = sum(len(one["phases"]) for one in objects) > LARGE
            self.stdout.write(json.dumps(several if len(objects) > 1 else objects[0], ensure_ascii=False, indent=None if large else 2))
        else:
            for number, one in enumerate(plans):
                self._show(one.name, one.report, one.review, separate=number > 0)
        if any(not one.report.is_valid for one in plans):
            raise SystemExit(1)

    def _show(self, name: str, report: DocumentReport, review: PlanReview | None, separate: bool) -> None:
        plan, analysis = report.reading.plan, report.analysis
        out = self.stdout
        if separate:
            out.write("")
        out.write(self.style.MIGRATE_HEADING(plan.title or name))
        out.write(f"{name} · {counted(len(plan.phases), 'phase')}")
        if analysis and analysis.stages:
            out.write("")
            for number, stage in enumerate(analysis.stages, start=1):
                listed = ", ".join(f"Phase {key}" for key in stage)
                parallel = "" if len(stage) == 1 else " in parallel"
                out.write(f"Stage {number}: {listed} ({counted(len(stage), 'task')}{parallel})")
            out.write(f"Total stages: {len(analysis.stages)} | Max parallelism: {counted(analysis.widest_stage, 'task')}/stage")
            out.write("")
            unknown = sum(1 for phase in plan.phases if phase.hours is None)
            note = f" ({counted(unknown, 'phase')} without hours)" if unknown and analysis.total_hours is not None else ""
            speed_up = "—" if analysis.speed_up is None else f"{analysis.speed_up:.2g} ×"
            out.write(f"Critical path: {' → '.join(analysis.critical_path)} ({hours(analysis.longest_chain_hours)})")
            out.write(
                f"Total: {hours(analysis.total_hours)}{note} | Longest chain: {hours(analysis.longest_chain_hours)} | Speed-up: {speed_up}"
            )
            self._conflicts(report)
        gates = list(gate_lines(report))
        if gates:
            out.write("")
            out.write("Gates:")
            for line in gates:
                out.write(f"  {line}")
        errors, warnings = report.reading.errors, report.reading.warnings
        if errors:
            out.write("")
            for issue in errors:
                out.write(self.style.ERROR(f"error: {issue_line(name, issue)}"))
        if warnings:
            out.write("")
            for issue in warnings:
                out.write(self.style.WARNING(f"warning: {issue_line(name, issue)}"))
        for number, line in enumerate(review_lines(name, review)):
            if not number:
                out.write("")
            out.write(line)
        out.write("")
        summary = f"{counted(len(errors), 'error')}, {counted(len(warnings), 'warning')}"
        out.write(self.style.ERROR(summary) if errors else self.style.SUCCESS(summary))

    def _conflicts(self, report: DocumentReport) -> None:
        analysis = report.analysis
        if analysis is None or not analysis.conflicts:
            return
        ordered = sum(conflict.kind is ConflictKind.ORDERED for conflict in analysis.conflicts)
        self.stdout.write("")
        if ordered == len(analysis.conflicts):
            self.stdout.write(f"File conflicts: none ({counted(ordered, 'overlap')} of phases that run one after the other anyway)")
            return
        self.stdout.write(self.style.WARNING("File conflicts:"))
        for line in conflict_lines(report):
            self.stdout.write(self.style.WARNING(f"  {line}"))
