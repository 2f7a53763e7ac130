"""Write everything that an installation needs to go on elsewhere into one file, while it runs (docs/operations.md).

The database comes first and the repositories after it: what was merged in between is in the backup's repositories and unknown to
its rows, and that is what the engine takes up. The other way round work would be missing.
"""

import hashlib
import io
import json
import os
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder

from batches.core.errors import ServiceError
from batches.core.text.words import bytes_words, counted
from batches.engine.data_directory import fingerprint
from batches.models import Project
from batches.repositories.ownership import OWNER, this_installation
from batches.repositories.repository import checked_repository
from ce_web.postgresql_programs import ProgramFailed, dump
from subagents.contract import OrchestrationFiles, SubagentError
from subagents.workspace import branch_ref

MANIFEST, SQLITE, POSTGRESQL, KEY = "manifest.json", "database.sqlite3", "database.dump", "secret_key"
OURS = ("refs/heads/ce/", "refs/ce/", "refs/notes/")


@dataclass(frozen=True, slots=True)
class ProjectPart:
    """A project's part of a backup: the repository's path, the references in its bundle, or why it has none."""

    slug: str
    repository: str
    base_branch: str
    references: dict[str, str] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds and where it was made."""

    made_at: str
    version: str
    vendor: str
    data_directory: str
    host: str
    installation: str
    has_key: bool
    key_fingerprint: str
    database_sha256: str
    migrations: list[tuple[str, str]]
    projects: list[ProjectPart]

    @classmethod
    def of(cls, data: Any) -> "Manifest":
        """From the JSON in a backup. Raises ServiceError for another kind of file."""
        try:
            parts = [ProjectPart(**part) for part in data["projects"]]
            return cls(**{**data, "projects": parts, "migrations": [(app, name) for app, name in data["migrations"]]})
        except (KeyError, TypeError, ValueError) as error:
            raise ServiceError(f"This is no backup of CE Web, or one of a later version ({error}).") from error


def make_backup(target: Path, *, with_key: bool = True) -> Iterator[str]:
    """Write a backup into the new file `target`, readable by this user alone; yields what was done, in sentences. Raises ServiceError."""
    key = Path(settings.CE_DATA_DIR) / KEY
    has_key = with_key and key.is_file()
    draft = target.with_name(f".{target.name}.part")
    try:
        with tempfile.TemporaryDirectory(dir=settings.CE_DATA_DIR, prefix=".backup-") as scratch, _new_file(draft) as file:
            with tarfile.open(fileobj=file, mode="w") as tar:
                database = _copy_database(Path(scratch))
                tar.add(database, database.name)
                yield f"Database: {bytes_words(database.stat().st_size)}."
                digest = digest_of(database)
                database.unlink()
                parts = []
                for project in Project.objects.order_by("pk"):
                    part = _add_project(tar, project, Path(scratch))
                    parts.append(part)
                    what = part.problem or f"{counted(len(part.references), 'reference')} with all commits, and the contract files"
                    yield f"Project {project.name}: {what}."
                count = _add_attempts(tar)
                yield f"Folders of attempts: {counted(count, 'file')}. Checkouts are left out: what is in no commit is not in the backup."
                if has_key:
                    tar.add(key, KEY)
                manifest = _manifest(parts, has_key, digest)
                _add_text(tar, MANIFEST, json.dumps(asdict(manifest), indent=1))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(target)
    except ProgramFailed as problem:
        raise ServiceError(str(problem)) from problem
    except OSError as problem:
        raise ServiceError(f"The backup cannot be written: {problem}") from problem
    finally:
        draft.unlink(missing_ok=True)
    if has_key:
        yield "The secret key is in it, so whoever has the file has the stored secrets: keep it as safe as the server."
    else:
        yield "The secret key is not in it: without SECRET_KEY or the file secret_key the stored secrets are lost."
    yield f"Backup: {target}, {bytes_words(target.stat().st_size)}."


def digest_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _new_file(path: Path) -> Any:
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w+b")
    except FileExistsError:
        raise ServiceError(f"{path} is there already: another backup is being written, or one was interrupted. Remove it then.") from None


def _copy_database(folder: Path) -> Path:
    """A consistent copy of the database as it is at one moment."""
    if connection.vendor == "postgresql":
        dump(connection.settings_dict, str(folder / POSTGRESQL))
        return folder / POSTGRESQL
    with closing(sqlite3.connect(settings.DATABASES["default"]["NAME"], timeout=60)) as source, closing(
        sqlite3.connect(folder / SQLITE)
    ) as copy:
        source.backup(copy)
    return folder / SQLITE


def _add_project(tar: tarfile.TarFile, project: Project, scratch: Path) -> ProjectPart:
    try:
        repository = checked_repository(project)
        found = {name: commit for prefix in OURS for name, commit in repository.references(prefix).items() if name != OWNER}
        found[branch_ref(project.base_branch)] = repository.branch_commit(project.base_branch)
        bundle = scratch / "bundle"
        repository.write_bundle(str(bundle), list(found))
    except (SubagentError, OSError) as problem:
        return ProjectPart(project.slug, project.repository, project.base_branch, problem=f"not in the backup: {problem}".rstrip("."))
    tar.add(bundle, f"projects/{project.slug}.bundle")
    bundle.unlink()
    _add_folder(tar, Path(OrchestrationFiles(project.repository).root), f"projects/{project.slug}/orchestration")
    return ProjectPart(project.slug, project.repository, project.base_branch, found)


def _add_attempts(tar: tarfile.TarFile) -> int:
    """The folders of attempts: specs, ends, logs, sessions."""
    return _add_folder(tar, Path(settings.CE_DATA_DIR) / "attempts", "attempts")


def _add_folder(tar: tarfile.TarFile, folder: Path, name: str) -> int:
    """Add the regular files of a folder as they are now; what vanishes meanwhile is left out. Returns how many."""
    count = 0
    for path, _, names in os.walk(folder):
        for one in names:
            whole = Path(path) / one
            try:
                if whole.is_symlink() or not whole.is_file():
                    continue
                data = whole.read_bytes()  # its size may change while it is read: a log that grows
            except OSError:
                continue
            info = tarfile.TarInfo(f"{name}/{whole.relative_to(folder)}")
            info.size, info.mode, info.mtime = len(data), 0o600, int(datetime.now(UTC).timestamp())
            tar.addfile(info, io.BytesIO(data))
            count += 1
    return count


def _add_text(tar: tarfile.TarFile, name: str, text: str) -> None:
    data = text.encode()
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o600
    tar.addfile(info, io.BytesIO(data))


def _manifest(parts: list[ProjectPart], has_key: bool, digest: str) -> Manifest:
    try:
        ours = version("ce-web")
    except PackageNotFoundError:
        ours = ""
    return Manifest(
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        version=ours,
        vendor=connection.vendor,
        data_directory=str(settings.CE_DATA_DIR),
        host=settings.CE_HOST,
        installation=this_installation().installation,
        has_key=has_key,
        key_fingerprint=fingerprint(),
        database_sha256=digest,
        migrations=sorted(MigrationRecorder(connection).applied_migrations()),
        projects=parts,
    )


