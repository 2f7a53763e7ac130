"""`manage.py doctor`: check that this host has everything that CE Web needs."""

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
from django.db.models.functions import Now
from django.utils import timezone
from django_q.models import OrmQ

from batches.engine.preflight import IN_A_VENV, server_packages_seen
from batches.engine.sandboxing import ELSEWHERE, sandbox_level, settings_above
from batches.integrations.api_keys import BACKENDS_WITH_KEY, ENTER, api_key
from batches.management.commands.up import TICKER_SILENT_SECONDS, ticker_mark
from batches.models import Host, Project
from ce_web.cluster import cluster_pid_file
from ce_web.file_rights import OTHERS
from subagents.backends import missing
from subagents.contract import SubagentError
from subagents.procfs import children_of, is_alive
from subagents.sandbox import SandboxUnavailable
from subagents.workspace import git_version

MINIMUM_PYTHON = (3, 11)
MINIMUM_GIT = (2, 38)  # merge-tree --write-tree
SCARCE_BYTES = 1_000_000_000
STUCK_SECONDS = 60.0  # after this time no worker will take the task
START_AGAIN = "start it with `make run` (or `manage.py up`)"


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One line of the report; `way_out` says what to do if it is not `ok`."""

    subject: str
    ok: bool
    what: str
    way_out: str = ""


class Command(BaseCommand):
    help = "Check what CE Web needs on this host. Exit code 1 if something must be fixed."
    requires_system_checks = ()  # it makes its own checks, and the database may be unavailable
    requires_migrations_checks = False

    def handle(self, *args: Any, **options: Any) -> None:
        failed = 0
        for check in examine():
            failed += not check.ok
            self.stdout.write(f"{'OK     ' if check.ok else 'PROBLEM'}  {check.subject}: {check.what}")
            if not check.ok:
                self.stdout.write(f"         → {check.way_out}")
        if failed:
            self.stdout.write(f"{failed} to fix.")
            sys.exit(1)
        self.stdout.write("Everything that CE Web needs is here.")


def examine() -> Iterator[HealthCheck]:
    """All checks, in the order in which to fix them. Checks that need the tables are left out if the database fails."""
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
        yield from _worker_hosts()


def _python() -> HealthCheck:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < MINIMUM_PYTHON:
        return HealthCheck("Python", False, version, "install Python 3.11 or newer: make run PYTHON=python3.11")
    seen = server_packages_seen()
    return HealthCheck("Python", not seen, f"{version}; {seen}" if seen else version, IN_A_VENV)


def _git() -> HealthCheck:
    way_out = "install git 2.38 or newer; finished phases are merged with its merge-tree"
    try:
        version = git_version()
    except SubagentError as error:
        return HealthCheck("git", False, str(error), way_out)
    return HealthCheck("git", version >= MINIMUM_GIT, ".".join(map(str, version)), way_out)


def _agents() -> HealthCheck:
    """Never a problem: the package is optional."""
    lacking = missing("claude")
    return HealthCheck("agents", True, f"optional, not installed: {lacking}" if lacking else "the Claude Agent SDK is installed")


def _key() -> HealthCheck:
    """A missing key is a problem only if a project's backend needs it."""
    key = api_key()
    if key.value:
        return HealthCheck("API key", True, f"from {key.source}" if "page" not in key.source else "stored, encrypted")
    wanted = Project.objects.filter(backend__in=BACKENDS_WITH_KEY).values_list("name", flat=True)[:3]
    who = f", and the backend of {', '.join(wanted)} needs one" if wanted else ": only agents of the backend claude need one"
    return HealthCheck("API key", not wanted, f"{key.problem.removesuffix('.').lower()}{who}", ENTER)


def _sandbox() -> HealthCheck:
    try:
        found = sandbox_level()
    except SandboxUnavailable as error:
        return HealthCheck("sandbox", False, str(error), "docs/security.md says what each level needs")
    except OSError as error:
        return HealthCheck("sandbox", False, f"cannot be tested: {error}", "fix the data directory first")
    if above := settings_above():
        return HealthCheck("sandbox", False, f"{found.words()}; {above}", ELSEWHERE)
    accepted = found.isolates or settings.CE_SANDBOX == "rlimit" or settings.CE_ALLOW_UNSANDBOXED
    way_out = "install bubblewrap (apt install bubblewrap), or accept it with CE_ALLOW_UNSANDBOXED=1"
    return HealthCheck("sandbox", accepted, found.words(), way_out)


def _data_directory() -> Iterator[HealthCheck]:
    path = Path(settings.CE_DATA_DIR)
    probe = path / f".doctor.{os.getpid()}"
    try:
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        way_out = f"give it to this user (uid {os.getuid()}), or set CE_DATA_DIR"
        yield HealthCheck("data directory", False, f"{path} cannot be written to: {error.strerror}", way_out)
        return
    mode = path.stat().st_mode & 0o777
    what = f"{path} can be written to, mode {mode:03o}" + ": others can look into it" * bool(mode & OTHERS)
    yield HealthCheck("data directory", not mode & OTHERS, what, f"chmod go= {path}")
    free = shutil.disk_usage(path).free
    yield HealthCheck("free space", free >= SCARCE_BYTES, f"{free / 1e9:.1f} GB", "free some space: checkouts and logs of attempts need it")
    key = path / "secret_key"
    if "SECRET_KEY" not in os.environ:
        yield HealthCheck("secret key", not key.stat().st_mode & 0o077, f"{key}, mode {key.stat().st_mode & 0o777:o}", f"chmod 600 {key}")


def _database() -> HealthCheck:
    where = "{vendor}, {NAME}".format(vendor=connection.vendor, **connection.settings_dict)
    try:
        executor = MigrationExecutor(connection)
        waiting = executor.migration_plan(executor.loader.graph.leaf_nodes())
    except DatabaseError as error:
        first_line = str(error).strip().partition("\n")[0]
        way_out = "start it, or correct DATABASE_URL (docs/settings.md)"
        return HealthCheck("database", False, f"{where} cannot be used: {first_line}", way_out)
    if waiting:
        return HealthCheck("database", False, f"{where}: {len(waiting)} migrations are missing", "run `manage.py migrate`, or make run")
    return HealthCheck("database", True, f"{where}, up to date")


def _ticker() -> HealthCheck:
    try:
        silent = time.time() - ticker_mark().stat().st_mtime
    except FileNotFoundError:
        return HealthCheck("ticker", False, "has never run on this host", START_AGAIN)
    return HealthCheck("ticker", silent <= TICKER_SILENT_SECONDS, f"last heard of {silent:.0f} s ago", START_AGAIN)


def _workers() -> HealthCheck:
    """Count the workers: the cluster has a sentinel, whose children are the workers, the pusher and the monitor."""
    wanted = settings.Q_CLUSTER["workers"]
    try:
        pid = int(cluster_pid_file().read_text())
    except (OSError, ValueError):
        pid = 0
    if not is_alive(pid):
        return HealthCheck("workers", False, "no cluster is running on this host", START_AGAIN)
    found = max(0, sum(len(children_of(sentinel)) for sentinel in children_of(pid)) - 2)
    return HealthCheck("workers", found >= wanted, f"{found} of {wanted}, cluster {pid}", START_AGAIN)


def _worker_hosts() -> Iterator[HealthCheck]:
    """When each worker host of the database was heard of last."""
    for host in Host.objects.exclude(directory="").annotate(now=Now()):
        alive = host.lease_until is not None and host.lease_until > host.now
        last = "never" if host.last_tick_at is None else f"{(host.now - host.last_tick_at).total_seconds():.0f} s ago"
        way_out = "start it there with `manage.py up --no-web`; what it had under way is taken over meanwhile"
        yield HealthCheck(f"host {host.name}", alive, f"worker host, {host.slots} slots, last heard of {last}", way_out)


def _queue() -> HealthCheck:
    """The age of the oldest waiting task. `lock` is when it was queued, or until when a worker holds it."""
    oldest = OrmQ.objects.filter(key=settings.CE_HOST, lock__lte=timezone.now()).order_by("lock").values_list("lock", flat=True).first()
    if oldest is None:
        return HealthCheck("queue", True, "nothing is waiting")
    age = (timezone.now() - oldest).total_seconds()
    return HealthCheck("queue", age <= STUCK_SECONDS, f"oldest task has waited for {age:.0f} s", START_AGAIN)
