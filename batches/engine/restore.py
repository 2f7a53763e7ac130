"""Bring back an installation from a backup, and say what will be done again (docs/operations.md)."""

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.management import call_command
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.models import F, Value
from django.db.models.functions import Replace
from django_q.models import OrmQ

from batches.accounts.actor import Actor
from batches.core.engine.states import TaskKind, TaskState
from batches.core.errors import ServiceError
from batches.core.text.words import counted
from batches.engine.backup import KEY, MANIFEST, POSTGRESQL, SQLITE, Manifest, ProjectPart, digest_of
from batches.engine.data_directory import adopt, fingerprint, identity_file
from batches.models import Attempt, Host, Run
from ce_web.postgresql_programs import ProgramFailed, load
from subagents.contract import OrchestrationFiles, SubagentError
from subagents.make_repository import repository_from_bundle
from subagents.open_repository import open_repository


def restore_backup(source: Path, *, replace: bool, actor: Actor) -> Iterator[str]:
    """Restore the backup in `source` into this data directory and database; yields what was done, in sentences.

    Nothing is changed before everything is checked. With `replace` an installation that is there is replaced.
    Raises ServiceError.
    """
    try:
        with tarfile.open(source) as tar, tempfile.TemporaryDirectory(dir=settings.CE_DATA_DIR, prefix=".restore-") as folder:
            tar.extractall(folder, filter="data")
            scratch = Path(folder)
            manifest = Manifest.of(json.loads((scratch / MANIFEST).read_text()))
            _check(manifest, scratch, replace)
            yield f"Backup of {manifest.made_at}, made on {manifest.host} in {manifest.data_directory}."
            _bring_database(manifest, scratch)
            yield "Database: restored, and brought to the version of this program."
            _bring_files(manifest, scratch)
            for part in manifest.projects:
                yield _bring_project(part, scratch)
            OrmQ.objects.all().delete()
            Host.objects.update(lease_until=None, last_tick_at=None)
            identity_file().unlink(missing_ok=True)
            yield from adopt(actor=actor, repositories=True)
            yield from what_follows()
    except (OSError, tarfile.TarError, KeyError, ValueError) as problem:
        raise ServiceError(f"{source} cannot be restored: {problem}") from problem
    except ProgramFailed as problem:
        raise ServiceError(str(problem)) from problem


def what_follows() -> Iterator[str]:
    """For each run that goes on: what is merged, and which phases start or start again."""
    runs = list(Run.objects.live().select_related("batch").order_by("pk"))
    for run in runs:
        tasks = run.tasks.filter(kind=TaskKind.PHASE)
        done = tasks.filter(state=TaskState.SUCCEEDED).count()
        open_ones = tasks.exclude(state=TaskState.SUCCEEDED).order_by("position").values_list("name", flat=True)
        left = ", ".join(open_ones[:20]) or "none"
        yield (
            f"{run.batch} goes on with run {run.number} ({run.get_operation_display()}): {done} of {tasks.count()} phases are done; "
            f"to be done, unless the repository shows that they were merged since: {left}."
        )
    if not runs:
        yield "No run was under way."


def _check(manifest: Manifest, scratch: Path, replace: bool) -> None:
    if manifest.vendor != connection.vendor:
        raise ServiceError(f"The backup is of a {manifest.vendor} database, and DATABASE_URL names a {connection.vendor} one.")
    name = POSTGRESQL if manifest.vendor == "postgresql" else SQLITE
    if digest_of(scratch / name) != manifest.database_sha256:
        raise ServiceError("The database in the backup is damaged: take another backup.")
    known = set(MigrationLoader(None).disk_migrations)
    if newer := sorted(set(manifest.migrations) - known):
        raise ServiceError(f"The backup is of a later version ({newer[0][0]}.{newer[0][1]} is not known here): install that one first.")
    if (not manifest.has_key or "SECRET_KEY" in os.environ) and fingerprint() != manifest.key_fingerprint:
        raise ServiceError(
            f"The secret key here is not the backup's: set SECRET_KEY to that one, or put it into {settings.CE_DATA_DIR}/{KEY} (chmod 600)."
        )
    if "batches_project" in connection.introspection.table_names() and not replace:
        where = connection.settings_dict["NAME"]
        raise ServiceError(f"There is an installation in the database {where} already. --replace replaces all of it by the backup.")


def _bring_database(manifest: Manifest, scratch: Path) -> None:
    if manifest.vendor == "postgresql":
        load(connection.settings_dict, str(scratch / POSTGRESQL))
    else:
        connections.close_all()
        target = Path(str(settings.DATABASES["default"]["NAME"]))
        target.parent.mkdir(parents=True, exist_ok=True)
        for ending in ("-wal", "-shm", "-journal"):
            target.with_name(target.name + ending).unlink(missing_ok=True)
        shutil.move(scratch / SQLITE, target)
        target.chmod(0o600)
    call_command("migrate", interactive=False, verbosity=0)


def _bring_files(manifest: Manifest, scratch: Path) -> None:
    data = Path(settings.CE_DATA_DIR)
    if manifest.has_key and "SECRET_KEY" not in os.environ:
        shutil.copyfile(scratch / KEY, data / KEY)
        (data / KEY).chmod(0o600)
        settings.SECRET_KEY = (data / KEY).read_text().strip()
    if (data / "attempts").exists():
        (data / "attempts").rename(data / f"attempts.before-restore-{os.getpid()}")
    if (scratch / "attempts").is_dir():
        shutil.move(scratch / "attempts", data / "attempts")
    (data / "ticker.alive").unlink(missing_ok=True)
    if manifest.data_directory != str(data):
        for name in ("directory", "checkout"):
            moved = Replace(F(name), Value(manifest.data_directory + os.sep), Value(f"{data}{os.sep}"))
            Attempt.objects.exclude(ended_at=None).update(**{name: moved})


def _bring_project(part: ProjectPart, scratch: Path) -> str:
    """Bring back a project's repository where it is gone; in one that is there only what is missing is added."""
    bundle = scratch / "projects" / f"{part.slug}.bundle"
    if part.problem or not bundle.is_file():
        return f"Project {part.slug}: {part.problem or 'not in the backup'}."
    try:
        if os.path.isdir(part.repository):
            made = open_repository(part.repository).take_from_bundle(str(bundle), part.references)
            said = f"Project {part.slug}: {part.repository} is there; {counted(made, 'missing reference')} brought back, nothing moved."
        else:
            repository = repository_from_bundle(part.repository, str(bundle), part.base_branch)
            made = repository.take_from_bundle(str(bundle), part.references)
            said = f"Project {part.slug}: {part.repository} was gone; made anew, with {counted(made, 'reference')} of ours."
        files, kept = Path(OrchestrationFiles(part.repository).root), scratch / "projects" / part.slug / "orchestration"
        if kept.is_dir() and not files.exists():
            files.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(kept, files)
        return said
    except (SubagentError, OSError) as problem:
        return f"Project {part.slug}: not brought back: {problem}"
