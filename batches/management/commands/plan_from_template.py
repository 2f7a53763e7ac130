"""`manage.py plan_from_template KIND`: print a plan to start from, filled from a project."""

from typing import Any

from django.core.management.base import CommandParser

from batches.core.plans.templates import TemplateKind, template
from batches.gates.shapes import shape_of_project
from batches.management.projects import find_project
from batches.management.refusing_command import RefusingCommand


class Command(RefusingCommand):
    help = "Print a plan to start from: a bug fix, a feature and so on. What only you can say is marked, and is an error of the plan."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("template", choices=[kind.value for kind in TemplateKind], help="the kind of work")
        parser.add_argument("--project", help="name or slug of the project (not needed if there is only one)")
        parser.add_argument("--about", default="", metavar="TEXT", help="one sentence about the work; it becomes the title")

    def handle(self, *args: Any, **options: Any) -> None:
        shape = shape_of_project(find_project(options["project"]))
        self.stdout.write(template(TemplateKind(options["template"]), shape, options["about"]), ending="")
