"""`manage.py doctor`: is everything here that CE Web needs, and if not, what to do."""

import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from django_q.models import OrmQ

from batches.engine.sandboxing import sandbox_level
from batches.integrations.api_keys import BACKENDS_WITH_KEY, ENTER, api_key
from batches.management.commands.up import TICKER_SILENT_SECONDS, ticker_mark
from batches.models import Project
from ce_web.cluster import cluster_pid_file
from subagents.backends import missing
from subagents.contract import SubagentError
from subagents.procfs import children_of, is_alive
from subagents.sandbox import SandboxUnavailable
from subagents.workspace import git_version

MINIMUM_PYTHON = (3, 11)
MINIMUM_GIT = (2, 38)  # merge-tree --write-tree
SCARCE_BYTES = 1_000_000_000
STUCK_SECONDS = 60.0  # a task that has waited for so long has nobody to run it
START_AGAIN = "start it with `make run` (or `manage.py up`)"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report; `way_out` says what to do when it is not `ok`."""

    subject: str
    ok: bool
    what: str
    way_out: str = ""


class Command(BaseCommand):
    help = "Check what CE Web needs on this host. Exit status 1 when something must be mended."
    requires_system_checks = ()  # it is itself the check, and the database may be away
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        failed = 0
        for finding in examine():
            failed += not finding.ok
            self.stdout.write(f"{'OK     ' if finding.ok else 'PROBLEM'}  {finding.subject}: {finding.what}")
            if not finding.ok:
                self.stdout.write(f"         → {finding.way_out}")
        if failed:
            self.stdout.write(f"{failed} to be mended.")
            sys.exit(1)
        self.stdout.write("Everything that CE Web needs is here.")


def examine() -> Iterator[Finding]:
    """All findings, in the order in which they are to be mended. What needs the tables is left out without them."""
    yield _python()
    yield _git()
    yield _agents()
    yield from _data_directory()
    yield _sandbox()
    database = _database()
    yield database
    yield _ticker()
    yield _workers()
    if database.ok:
        yield _key()
        yield _queue()


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding("Python", sys.version_info >= MINIMUM_PYTHON, version, "install Python 3.11 or newer, then make run PYTHON=python3.11")


def _git() -> Finding:
    way_out = "install git 2.38 or newer; finished phases are merged with its merge-tree"
    try:
        version = git_version()
    except SubagentError as error:
        return Finding("git", False, str(error), way_out)
    return Finding("git", version >= MINIMUM_GIT, ".".join(map(str, version)), way_out)


def _agents() -> Finding:
    """Never a problem: the extra is optional, and everything else works without it."""
    lacking = missing("claude")
    return Finding("agents", True, f"optional, not here: {lacking}" if lacking else "the Claude Agent SDK is installed")


def _key() -> Finding:
    """A problem only where a project's backend needs it."""
    key = api_key()
    if key.value:
        return Finding("API key", True, f"from {key.source}" if "page" not in key.source else "kept, encrypted")
    wanted = Project.objects.filter(backend__in=BACKENDS_WITH_KEY).values_list("name", flat=True)[:3]
    who = f", and the backend of {', '.join(wanted)} needs one" if wanted else ": only agents of the backend claude need one"
    return Finding("API key", not wanted, f"{key.problem.removesuffix('.').lower()}{who}", ENTER)


def _sandbox() -> Finding:
    try:
        found = sandbox_level()
    except SandboxUnavailable as error:
        return Finding("sandbox", False, str(error), "docs/security.md says what each level needs")
    except OSError as error:
        return Finding("sandbox", False, f"cannot be tried: {error}", "see to the data directory first")
    accepted = found.isolates or settings.CE_SANDBOX == "rlimit" or settings.CE_ALLOW_UNSANDBOXED
    way_out = "install bubblewrap (apt install bubblewrap), or accept it with CE_ALLOW_UNSANDBOXED=1"
    return Finding("sandbox", accepted, found.words(), way_out)


def _data_directory() -> Iterator[Finding]:
    path = Path(settings.CE_DATA_DIR)
    probe = path / f".doctor.{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        way_out = f"give it to this user (uid {os.getuid()}), or set CE_DATA_DIR"
        yield Finding("data directory", False, f"{path} cannot be written to: {error.strerror}", way_out)
        return
    yield Finding("data directory", True, f"{path} can be written to")
    free = shutil.disk_usage(path).free
    yield Finding("free space", free >= SCARCE_BYTES, f"{free / 1e9:.1f} GB", "free some: checkouts and logs of attempts need room")
    key = path / "secret_key"
    if "SECRET_KEY" not in os.environ:
        yield Finding("secret key", not key.stat().st_mode & 0o077, f"{key}, mode {key.stat().st_mode & 0o777:o}", f"chmod 600 {key}")


def _database() -> Finding:
    where = "{vendor}, {NAME}".format(vendor=connection.vendor, **connection.settings_dict)
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        first_line = str(error).strip().partition("\n")[0]
        return Finding("database", False, f"{where} cannot be used: {first_line}", "start it, or correct DATABASE_URL (docs/settings.md)")
    if waiting:
        return Finding("database", False, f"{where}: {len(waiting)} migrations are waiting", "run `manage.py migrate` (make run does it)")
    return Finding("database", True, f"{where}, up to date")


def _ticker() -> Finding:
    try:
        silent = time.time() - ticker_mark().stat().st_mtime
    except FileNotFoundError:
        return Finding("ticker", False, "has never run on this host", START_AGAIN)
    return Finding("ticker", silent <= TICKER_SILENT_SECONDS, f"last heard of {silent:.0f} s ago", START_AGAIN)


def _workers() -> Finding:
    """What the cluster consists of: the sentinel below its parent, and below that workers, pusher and monitor."""
    wanted = settings.Q_CLUSTER["workers"]
    try:
        pid = int(cluster_pid_file().read_text())
    except (OSError, ValueError):
        pid = 0
    if not is_alive(pid):
        return Finding("workers", False, "no cluster is running on this host", START_AGAIN)
    found = max(0, sum(len(children_of(sentinel)) for sentinel in children_of(pid)) - 2)
    return Finding("workers", found >= wanted, f"{found} of {wanted}, cluster {pid}", START_AGAIN)


def _queue() -> Finding:
    """The age of the oldest task that nobody has taken: `lock` is when it was put in, or until when it is taken."""
    oldest = OrmQ.objects.filter(key=settings.CE_HOST, lock__lte=timezone.now()).order_by("lock").values_list("lock", flat=True).first()
    if oldest is None:
        return Finding("queue", True, "nothing is waiting")
    age = (timezone.now() - oldest).total_seconds()
    return Finding("queue", age <= STUCK_SECONDS, f"oldest task has waited for {age:.0f} s", START_AGAIN)
