"""What commands have in common that ask a package for something."""

from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError

from batches.checks import ENGINE
from batches.core.errors import BatchError, WrongChoice
from subagents.contract import SubagentError


class RefusingCommand(BaseCommand):
    """A command that ends with exit code 1 and a sentence when it is refused, and with 2 for a wrong choice."""

    requires_system_checks = [ENGINE]  # the others load all pages, which takes longer than most of what commands do

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Raises CommandError for what `handle` refuses."""
        try:
            return super().execute(*args, **options)
        except WrongChoice as error:
            raise CommandError(str(error), returncode=2) from error
        except (BatchError, SubagentError, PermissionDenied) as error:
            raise CommandError(str(error), returncode=1) from error
