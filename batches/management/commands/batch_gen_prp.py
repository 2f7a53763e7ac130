"""`manage.py batch_gen_prp PLAN.md`: turn a plan into a batch with one PRP document per phase."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser, OutputWrapper

from batches.accounts.actor import Actor
from batches.core.engine.prp import Prp, prp_id
from batches.core.plans.analysis import DocumentReport, analyse_document
from batches.core.text.words import counted
from batches.engine import generation, reporting
from batches.engine.preflight import lost_in_git
from batches.integrations import linear_issues
from batches.management.commands._waiting import exit_code, find_batch, wait_for
from batches.management.plan_files import conflict_lines, issue_line
from batches.management.projects import find_project
from batches.management.refusing_command import RefusingCommand
from batches.models import Batch, Project
from batches.plans.versions import import_plan
from batches.repositories.repository import checked_repository


class Command(RefusingCommand):
    help = "Read a plan, create a batch from it and commit its PRP documents to the batch's branch."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("plan", help="the plan document, or - for standard input")
        parser.add_argument("--project", help="name or slug of the project (not needed if there is only one)")
        parser.add_argument("--overwrite", action="store_true", help="regenerate a batch from this plan, if nothing was executed")
        parser.add_argument("--batch", type=int, help="with --overwrite: which batch (default: the newest with this title)")
        parser.add_argument("--dry-run", action="store_true", help="show what would be generated; change nothing")
        parser.add_argument("--detach", action="store_true", help="do not wait for the end")

    def handle(self, *args: Any, **options: Any) -> None:
        name, text = read_plan_file(options["plan"])
        project = find_project(options["project"])
        report = analysed(name, text, self.stderr)
        old = self._overwritten(options, project, report)
        if options["dry_run"]:
            self._preview(report)
            return
        actor = Actor.command("batch_gen_prp")
        plan = import_plan(text=text, file_name=name, project=project, actor=actor, edited=old.plan if old else None)
        if old is None:
            batch = generation.generate(plan=plan, project=project, actor=actor)
        else:
            batch = old
            generation.regenerate(batch=batch, plan=plan, actor=actor)
        declared = [path for phase in report.reading.plan.phases for path in phase.files]
        for note in lost_in_git(checked_repository(project), batch.base_commit, declared):
            self.stderr.write(f"Note: {note}", str)
        run = batch.runs.latest("number")
        if options["detach"]:
            self.stdout.write(f"Batch {batch.number} is being generated.")
            return
        run = wait_for(run, self.stderr)
        if exit_code(run):
            self.stdout.write(run.report)
            sys.exit(1)
        linear_issues.work(batch=batch)
        self.stdout.write(reporting.generated_summary(batch))

    def _overwritten(self, options: dict[str, Any], project: Project, report: DocumentReport) -> Batch | None:
        """The batch to regenerate, or None for a new one."""
        if not options["overwrite"]:
            if options["batch"] is not None:
                raise CommandError("--batch goes with --overwrite; a new batch gets the next free number.", returncode=2)
            return None
        if options["batch"] is not None:
            batch = find_batch(options["batch"])
            if batch.project_id != project.pk:
                raise CommandError(f"Batch {batch.number} belongs to {batch.project.slug}.", returncode=2)
        else:
            newest = project.batches.filter(title=report.reading.plan.title[:300]).select_related("project", "plan").first()
            if newest is None:
                raise CommandError(f"{project.slug} has no batch called {report.reading.plan.title!r} to overwrite.", returncode=1)
            batch = newest
        if refusal := generation.regeneration_refusal(batch):
            raise CommandError(refusal, returncode=1)
        return batch

    def _preview(self, report: DocumentReport) -> None:
        self.stdout.write("Would generate:")
        assert report.analysis is not None  # no errors, so the graph is sound
        for number, keys in enumerate(report.analysis.stages, start=1):
            titles = {phase.key: phase.title for phase in report.reading.plan.phases}
            for order, key in enumerate(keys, start=1):
                document = Prp(prp_id(0, number, order), titles[key], 0, number, order, key, "", "", "", None, (), (), (), ())
                path = document.path.replace("PRP-0.", "PRP-N.")
                self.stdout.write(f"  Stage {number}: phase {key} -> {path}")
        self.stdout.write("Nothing was changed.")


def analysed(name: str, text: bytes, out: OutputWrapper) -> DocumentReport:
    """The analysed plan; prints its conflicts. Prints errors, one a line, and raises CommandError (exit code 1)."""
    report = analyse_document(text)
    if report.reading.errors:
        for issue in report.reading.errors:
            out.write(issue_line(name, issue))
        count = counted(len(report.reading.errors), "error")
        raise CommandError(f"{name} has {count}; nothing was generated.", returncode=1)
    for line in conflict_lines(report):
        out.write(f"Conflict: {line}")
    return report


def read_plan_file(path: str) -> tuple[str, bytes]:
    """Name and bytes of a plan document; - is standard input. Raises CommandError (exit code 2)."""
    if path == "-":
        return "standard input", sys.stdin.buffer.read()
    try:
        return Path(path).name, Path(path).read_bytes()
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}", returncode=2) from error
