"""`manage.py plan_from_idea IDEA`: have the agent draft a plan from an idea, or translate a document."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from batches.accounts.actor import Actor
from batches.core.text.words import counted, usd
from batches.engine import ideas
from batches.management.commands._waiting import page_address, wait_for_idea
from batches.management.commands.batch_gen_prp import read_plan_file
from batches.management.plan_files import issue_line
from batches.management.projects import find_project
from batches.management.refusing_command import RefusingCommand
from batches.models import Idea
from batches.plans.read_plan import report_of


class Command(RefusingCommand):
    help = "Have the project's agent read the repository, ask its questions, and draft a plan. Prints the address of the plan."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("idea", nargs="?", default="", help="what you want, a file that says it, or - for standard input")
        parser.add_argument("--project", help="name or slug of the project (not needed if there is only one)")
        parser.add_argument("--document", metavar="FILE", help="a specification or an issue that belongs to it")
        parser.add_argument("--translate", metavar="FILE", help="a plan of unknown format, to be said in ours; nothing is asked")
        parser.add_argument("--issue", default="", metavar="LINK", help="an issue of the project's code host or Linear team")
        parser.add_argument("--point-at", metavar="PATH", action="append", default=[], help="a file of the repository to look at")
        parser.add_argument("--cap", type=float, metavar="USD", help="the most that it may cost (default: the project's cap)")
        parser.add_argument("--answers", metavar="FILE", help="a line for each question, empty: the suggested answer; - for standard input")
        parser.add_argument("--suggested", action="store_true", help="take the suggested answers; nothing is asked")

    def handle(self, *args: Any, **options: Any) -> None:
        project = find_project(options["project"])
        actor = Actor.command("plan_from_idea")
        given = options["translate"] or options["document"]
        source, document = _document(given) if given else ("", "")
        idea = ideas.new_idea(
            project=project,
            actor=actor,
            text=_idea(options["idea"]),
            source=source,
            document=document,
            issue=options["issue"],
            files=options["point_at"],
            translate=bool(options["translate"]),
            cap_usd=options["cap"],
        )
        self.stderr.write(f"The agent reads {project.name}. Watch it: {page_address('batches:idea', idea.pk)}", str)
        idea = wait_for_idea(idea, self.stderr)
        if idea.waits_for_answers:
            ideas.answer_questions(idea=idea, answers=self._answers(idea, options), actor=actor)
            idea = wait_for_idea(idea, self.stderr)
        cap = "no cap" if idea.cap_usd is None else usd(idea.cap_usd)
        self.stderr.write(f"Spent: {usd(idea.known_usd)} of {cap}.", str)
        if idea.problem or idea.plan is None:
            raise CommandError(f"{idea.problem} What you wrote is kept: {page_address('batches:idea', idea.pk)}", returncode=1)
        for note in idea.notes:
            self.stderr.write(f"Note: {note}", str)
        left_out = [one for one in idea.account if not one["became"]]
        for one in left_out:
            self.stderr.write(f"Left out, lines {one['line']}-{one['end_line']}: {one['why']}", str)
        errors = report_of(idea.plan).reading.errors
        for issue in errors:
            self.stderr.write(issue_line("plan", issue), str)
        self.stdout.write(page_address("batches:plan_detail", idea.plan.pk))
        if errors:
            self.stderr.write(f"The plan has {counted(len(errors), 'error')}: repair them on its page.", str)
            sys.exit(1)

    def _answers(self, idea: Idea, options: dict[str, Any]) -> list[str]:
        """The answers, "" for a suggested one: from a file, from whoever sits at the terminal, or none."""
        if options["suggested"]:
            return []
        if options["answers"] is not None:
            return _document(options["answers"])[1].split("\n")
        answers = []
        for number, one in enumerate(idea.questions, start=1):
            choices = "".join(f"\n  {choice}: {text}" for choice, text in enumerate(one["answers"], start=1))
            self.stderr.write(f"{number}. {one['question']}{choices}", str)
            self.stderr.write("Number or answer (empty: 1): ", str, "")
            self.stderr.flush()
            line = sys.stdin.readline().strip()
            chosen = int(line) - 1 if line.isascii() and line.isdigit() else -1
            answers.append(one["answers"][chosen] if 0 <= chosen < len(one["answers"]) else line)
        return answers


def _idea(given: str) -> str:
    """The idea's text: from standard input, from the file that is named, or as given."""
    if given == "-":
        return _document(given)[1]
    try:
        if len(given) < 1000 and "\n" not in given and Path(given).is_file():
            return _document(given)[1]
    except (OSError, ValueError):
        pass  # no name that a file can have
    return given


def _document(path: str) -> tuple[str, str]:
    """Name and text of a file, or of standard input. Raises CommandError."""
    name, data = read_plan_file(path)
    try:
        return name, data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise CommandError(f"{name} is not text in UTF-8.", returncode=2) from None
