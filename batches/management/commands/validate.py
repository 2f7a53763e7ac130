"""Read plans and print what is wrong with them. Needs no database, but for --project."""

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from batches.core.text.words import counted
from batches.management.plan_files import add_plan_arguments, conflict_lines, gate_lines, issue_line, read_plans, review_lines


class Command(BaseCommand):
    help = "Check plans and list every error and warning with its line. Exit code 1 when a plan has errors."
    requires_system_checks: list[str] = []  # reading a plan needs neither a database nor the rest of the installation

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_plan_arguments(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        plans = list(read_plans(options))
        if options["json"]:
            objects = []
            for one in plans:
                whole = one.report.to_json()
                objects.append(
                    {
                        "file": one.name,
                        "valid": one.report.is_valid,
                        "errors": whole["errors"],
                        "warnings": whole["warnings"],
                        "checks": whole["checks"],
                        "conflicts": whole["conflicts"],
                    }
                    | ({} if one.review is None else {"review": one.review.to_json()})
                )
            self.stdout.write(json.dumps(objects if len(objects) > 1 else objects[0], ensure_ascii=False, indent=2))
        else:
            for one in plans:
                name, report = one.name, one.report
                errors, warnings = report.reading.errors, report.reading.warnings
                for issue in errors:
                    self.stdout.write(self.style.ERROR(f"error: {issue_line(name, issue)}"))
                for issue in warnings:
                    self.stdout.write(self.style.WARNING(f"warning: {issue_line(name, issue)}"))
                for line in conflict_lines(report):
                    self.stdout.write(self.style.WARNING(f"conflict: {line}"))
                for line in gate_lines(report):
                    self.stdout.write(f"gate: {line}")
                for line in review_lines(name, one.review):
                    self.stdout.write(line)
                phases = counted(len(report.reading.plan.phases), "phase")
                summary = f"{name}: {phases}, {counted(len(errors), 'error')}, {counted(len(warnings), 'warning')}"
                self.stdout.write(self.style.ERROR(summary) if errors else self.style.SUCCESS(summary))
        if any(not one.report.is_valid for one in plans):
            raise SystemExit(1)
