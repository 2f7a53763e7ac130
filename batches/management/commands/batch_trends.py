"""`manage.py batch_trends`: the figures of the metrics page as text or JSON."""

import json
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from batches.core.errors import WrongChoice
from batches.core.metrics.text import trends_text
from batches.core.metrics.types import Filters
from batches.management.refusing_command import RefusingCommand
from batches.metrics import history
from batches.models import Project


class Command(RefusingCommand):
    help = "Show figures, findings and success criteria over the runs that ended within a period."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--period", default="", help="7d, 30d (default), 90d or all")
        parser.add_argument("--from", dest="from", default="", metavar="DATE", help="first day, such as 2025-11-01")
        parser.add_argument("--to", default="", metavar="DATE", help="last day")
        parser.add_argument("--project", default="", help="name or slug of a project")
        parser.add_argument("--operation", default="", help="execute (default), generate, review, update_context or any")
        parser.add_argument("--role", default="", help="generator, executor, reviewer or context_updater")
        parser.add_argument("--model", default="", help="attempts with this model, and runs that have such")
        parser.add_argument("--demo", default="", help="with or only: a history that was made up, beside or instead of the real one")
        parser.add_argument("--json", action="store_true", help="everything, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        """Exit code 2 for a period, date, operation or project that there is none of."""
        names = ("period", "from", "to", "operation", "role", "model", "demo")
        filters = Filters.read({name: options[name] for name in names} | {"project": _slug(options["project"])})
        read = history.read_history(filters, timezone.now())
        self.stdout.write(json.dumps(history.to_json(read), ensure_ascii=False, indent=2) if options["json"] else trends_text(read))


def _slug(name: str) -> str:
    """Raises WrongChoice with the projects that there are."""
    projects = dict(Project.objects.values_list("slug", "name"))
    if not name or name in projects:
        return name
    for slug, title in projects.items():
        if title.casefold() == name.casefold():
            return slug
    raise WrongChoice(f"There is no project {name!r}; there is: {', '.join(projects.values()) or 'none yet'}.")
