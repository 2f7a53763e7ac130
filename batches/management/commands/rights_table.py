"""`manage.py rights_table`: write the table of rights into SECURITY.md, after a change of accounts/rights.py."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from batches.accounts.rights import as_markdown
from batches.management.refusing_command import RefusingCommand

BEGIN, END = "<!-- rights: batches/accounts/rights.py -->\n", "<!-- end of rights -->"


class Command(RefusingCommand):
    help = "Write the table of rights into SECURITY.md."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", nargs="?", default=str(settings.BASE_DIR / "SECURITY.md"))

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"])
        before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
        _, end, after = rest.partition(END)
        if not begin or not end:
            raise CommandError(f"{path} has no place for the table: {BEGIN.strip()} … {END}")
        path.write_text(f"{before}{begin}\n{as_markdown()}\n{end}{after}", encoding="utf-8")
        self.stdout.write(f"Wrote the table of rights into {path}.")
