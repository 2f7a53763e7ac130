"""`manage.py bootstrap`: set up everything for the first start. Idempotent."""

import contextlib
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError, connection, transaction

from batches.accounts.actor import Actor
from batches.accounts.sign_in_links import make_link
from batches.engine.data_directory import WrongIdentity, check_identity
from batches.management.commands.up import address, refuse_port_in_use
from batches.models import Project
from batches.plans.versions import import_plan
from batches.projects.add_project import create_project
from ce_web import running
from subagents.make_repository import create_repository

ADMINISTRATOR = "admin"
LONGEST_SECONDS = 300.0  # for another first run to end
BOOTSTRAP_LOCK = 0x6365_7765_62  # an advisory lock of PostgreSQL
SAMPLE_NAME = "Sample: text statistics"
SAMPLE_DIRECTORY = "sample-project"

# The sample's history, oldest first: what each commit says and which files it adds.
SAMPLE_COMMITS = (
    ("Say what textstats is", ("README.md", "pyproject.toml", ".gitignore", "CHANGELOG.md")),
    ("Count lines, words and characters", ("textstats/__init__.py", "textstats/counting.py")),
    ("Test the counts", ("tests/__init__.py", "tests/test_counting.py")),
    ("Ask for somebody's word before a release", ("tools/release_check.py",)),
)


class Command(BaseCommand):
    help = "Set this installation up: tables, first administrator, sample project and plans. Safe to run again."
    requires_system_checks = ()  # there may be no tables yet
    requires_migrations_checks = False

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address that the web server will listen on")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--no-sample", action="store_true", help="do not create the sample project and its plans")

    def handle(self, *args: Any, **options: Any) -> None:
        if problem := running.unwritable(Path(settings.CE_DATA_DIR)):
            raise CommandError(problem)
        refuse_port_in_use(options["host"], options["port"])
        try:
            with running.hold("bootstrap", LONGEST_SECONDS, self.tell_wait), alone_on_database():
                self.set_up(**options)
        except running.Busy as busy:
            raise CommandError(f"Another first run has been at work for long ({busy.holder}): see what it does, or end it.") from busy
        except DatabaseError as error:
            message = f"The database cannot be used: {str(error).strip()}\nDATABASE_URL says where it is; see docs/settings.md."
            raise CommandError(message) from error

    def tell_wait(self, holder: str) -> None:
        self.stdout.write(f"Another first run is at work on this data directory ({holder}); waiting for it.")
        self.stdout.flush()

    def set_up(self, **options: Any) -> None:
        """Make what is missing, and print how to sign in."""
        call_command("migrate", interactive=False, verbosity=0)
        try:
            check_identity(engine=True)
        except WrongIdentity as problem:
            raise CommandError(str(problem)) from problem
        password = make_first_administrator()
        if not options["no_sample"] and not Project.objects.exists():
            make_sample(Path(settings.CE_DATA_DIR) / SAMPLE_DIRECTORY)
            self.stdout.write(f"Created the project “{SAMPLE_NAME}” with its plans in {settings.CE_DATA_DIR / SAMPLE_DIRECTORY}.")
        url = address(options["host"], options["port"])
        newcomer = get_user_model()._default_manager.filter(is_superuser=True, is_active=True, last_login=None).order_by("pk").first()
        if newcomer is not None:
            self.stdout.write(f"Sign in (once, within {settings.PASSWORD_RESET_TIMEOUT // 3600} h): {make_link(newcomer, url)}")
        if password is not None:
            self.stdout.write(f"Afterwards as {ADMINISTRATOR} with the password {password} (shown this once only).")
        if newcomer is None:
            self.stdout.write(f"Address: {url}")


@contextlib.contextmanager
def alone_on_database() -> Iterator[None]:
    """Let the first runs of several hosts follow one another; on SQLite the data directory's lock does."""
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(%s)", [BOOTSTRAP_LOCK])
    try:
        yield
    finally:
        with contextlib.suppress(DatabaseError), connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [BOOTSTRAP_LOCK])


def make_first_administrator() -> str | None:
    """Create the first administrator if there is none; return the password, which is stored only as a hash."""
    users = get_user_model()._default_manager
    with transaction.atomic():
        if users.filter(is_superuser=True).exists():
            return None
        password = secrets.token_urlsafe(15)
        users.create_superuser(username=ADMINISTRATOR, email="", password=password)
    return password


def make_sample(repository: Path) -> None:
    """Create the sample project's repository if it does not exist, and register it with the sample plans."""
    source = Path(settings.FILES_DIR) / "examples" / "sample-project"
    if not repository.exists():
        create_repository(
            repository,
            [(message, {name: (source / name).read_bytes() for name in names}) for message, names in SAMPLE_COMMITS],
        )
    actor = Actor.command("bootstrap")
    with transaction.atomic():
        project = create_project(name=SAMPLE_NAME, repository=str(repository), actor=actor)
        for path in sorted((Path(settings.FILES_DIR) / "examples" / "plans").glob("*.md")):
            import_plan(text=path.read_text(encoding="utf-8"), file_name=path.name, project=project, actor=actor)
