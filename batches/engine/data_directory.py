"""Which installation and which data directory this is: a copy, a restored backup or a second host is known before anything runs.

The database names one data directory as the main host's; its cluster drives all runs but those that it gave to a worker host.
Each worker host (CE_WORKER) is a row with the id of its own. `identity.json` in a data directory holds its id, and where that
file itself lies: a copy of it lies elsewhere (docs/operations.md).
"""

import hashlib
import json
import os
import secrets
import time
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.db.models.functions import Now
from django.utils import timezone

from batches.accounts import audit_log
from batches.accounts.actor import Actor
from batches.core.engine.states import FailureReason
from batches.core.errors import ServiceError
from batches.models import Attempt, Batch, Host, Installation
from batches.repositories.ownership import take_over_all, this_installation

OLDER_SECONDS = 60.0  # the ticker writes its row and its mark within seconds of each other
LEFT_BEHIND = "It was left behind with another data directory; whatever it did there is kept by its reference."


class WrongIdentity(ServiceError):
    """This data directory may not be used so; the text says why, and the way out."""


@dataclass(frozen=True, slots=True)
class Noted:
    """What identity.json holds: ids, and where it was written: directory, inode of the file, id of the machine."""

    installation: str
    directory: str
    path: str
    inode: int
    machine: str


def identity_file() -> Path:
    return Path(settings.CE_DATA_DIR) / "identity.json"


def fingerprint() -> str:
    """Tells secret keys apart and gives nothing of them away."""
    return hashlib.blake2b(settings.SECRET_KEY.encode(), key=b"ce-web: fingerprint", digest_size=8).hexdigest()


def check_identity(*, engine: bool) -> None:
    """Refuse a data directory that is not the one it says it is. Raises WrongIdentity.

    With `engine` it must also be the one that drives the runs; without, as for a web server alone, only the key counts.
    The first start of an installation gives it its identity. Without tables nothing is checked.
    """
    try:
        row, _ = Installation.objects.get_or_create(pk=1)
    except DatabaseError:
        return
    if row.key_fingerprint and row.key_fingerprint != fingerprint():
        raise WrongIdentity(
            f"The secret key of {settings.CE_DATA_DIR} is not the one that this database was made with: signed tasks, sessions and stored "
            f"secrets could not be read. Copy the file secret_key (or SECRET_KEY) from {row.place or 'the first data directory'}"
            f"{f' on {row.host}' if row.host else ''}, or use a database of its own (DATABASE_URL). "
            "If that key is lost: manage.py adopt --new-key; secrets are then entered again."
        )
    noted = _read()
    if engine:
        _refuse_copy(noted)
        _refuse_other_database(row, noted)
        if settings.CE_WORKER:
            _refuse_worker(row, noted)
        else:
            _refuse_second_engine(row, noted)
        _refuse_restored()
        if settings.CE_WORKER:
            _settle_worker(row, noted)
        else:
            _settle(row, noted)
    elif not row.key_fingerprint:
        Installation.objects.filter(pk=1, key_fingerprint="").update(key_fingerprint=fingerprint())


def is_engine() -> bool:
    """Whether this data directory still drives this host's runs: another one may have been adopted meanwhile."""
    noted = _read()
    if settings.CE_WORKER:
        return noted is not None and Host.objects.filter(name=settings.CE_HOST, directory=noted.directory).exists()
    row = Installation.objects.filter(pk=1).values_list("directory", flat=True).first()
    return not row or noted is None or noted.directory == row


def adopt(*, actor: Actor, repositories: bool = False, new_key: bool = False) -> list[str]:
    """Make this data directory the main host's, or this worker host's; returns what was done, in sentences.

    Raises WrongIdentity while another one is alive, or when the key is another and `new_key` does not accept that.
    """
    row, _ = Installation.objects.get_or_create(pk=1)
    if row.key_fingerprint not in ("", fingerprint()) and not new_key:
        raise WrongIdentity("The secret key is another one than the database was made with. --new-key accepts that: secrets are lost.")
    now = timezone.now()
    hosts = Host.objects.filter(name=settings.CE_HOST) if settings.CE_WORKER else Host.objects.filter(directory="")
    alive = hosts.filter(lease_until__gt=now).first()
    if alive is not None:
        left = (alive.lease_until or now) - now
        raise WrongIdentity(
            f"A cluster on {alive.name} was alive {(now - (alive.last_tick_at or now)).total_seconds():.0f} s ago. Stop it first; "
            f"if it is gone, try again in {left.total_seconds() + 1:.0f} s."
        )
    noted, said = _read(), []
    if noted is None or not _in_place(noted):
        directory = secrets.token_hex(16)
        said.append(f"{settings.CE_DATA_DIR} is a data directory of its own now.")
    else:
        directory = noted.directory
    with transaction.atomic():
        _write(row.identity or (noted.installation if noted else "") or secrets.token_hex(16), directory)
        if settings.CE_WORKER:
            _settle_worker(row, _read())
        else:
            Host.objects.filter(name=settings.CE_HOST).update(directory="", place="")
            _settle(row, _read(), anew=True)
        left_behind = _leave_behind()
        what = f"Adopted the data directory {settings.CE_DATA_DIR} on {settings.CE_HOST}"
        audit_log.record(audit_log.Kind.INSTALLATION, actor.cause, what)
    (Path(settings.CE_DATA_DIR) / "ticker.alive").unlink(missing_ok=True)
    what = f"executes as the worker host {settings.CE_HOST}" if settings.CE_WORKER else "drives the runs of this database"
    said.append(f"It {what} from now on.")
    if left_behind:
        said.append(f"{left_behind} running attempt{'s' if left_behind != 1 else ''} of another data directory: will be started again.")
    if repositories:
        problems = take_over_all(this_installation())
        said.append("The repositories of all projects are taken over.")
        said += [f"Not taken over: {problem}" for problem in problems]
    return said


def _leave_behind() -> int:
    """Give live attempts to this host, and end those whose folder lies elsewhere: nobody here may touch it.

    Attempts of worker hosts stay theirs.
    """
    live = Attempt.objects.live().filter(exited_at=None)
    if settings.CE_WORKER:
        live = live.filter(host=settings.CE_HOST)
    else:
        live = live.exclude(host__in=Host.objects.exclude(directory="").values("name"))
    elsewhere = [pk for pk, folder in live.values_list("pk", "directory") if not folder.startswith(f"{settings.CE_DATA_DIR}{os.sep}")]
    live.update(host=settings.CE_HOST)
    gone = {"exited_at": timezone.now(), "verdict": FailureReason.MACHINE_FAULT, "message": LEFT_BEHIND}
    count = Attempt.objects.filter(pk__in=elsewhere, exited_at=None).update(**gone)
    for batch in set(Attempt.objects.filter(pk__in=elsewhere).values_list("task__run__batch", flat=True)):
        Batch.objects.bump(batch)
    return count


def _settle(row: Installation, noted: Noted | None, *, anew: bool = False) -> None:
    """Write ids where there are none, and where this directory is now."""
    if noted is None:
        noted = _write(row.identity or secrets.token_hex(16), secrets.token_hex(16))
    elif noted.path != str(settings.CE_DATA_DIR) or noted.machine != _machine():
        noted = _write(noted.installation, noted.directory)  # moved within its file system, or the machine has a new id
    columns = {"identity": noted.installation, "key_fingerprint": fingerprint(), "directory": noted.directory}
    columns |= {"host": settings.CE_HOST, "place": str(settings.CE_DATA_DIR)}
    if anew or any(getattr(row, name) != value for name, value in columns.items()):
        Installation.objects.filter(pk=1).update(**columns)


def _refuse_copy(noted: Noted | None) -> None:
    if noted is not None and not _in_place(noted):
        raise WrongIdentity(
            f"{settings.CE_DATA_DIR} is a copy of the data directory {noted.path}, or was restored from a backup. If both ran, "
            "both would do the same work and merge it twice. To look at a copy, leave it so; to go on with it and never again with "
            "the other one: manage.py adopt (with --repositories to take over the projects' repositories, too)."
        )


def _refuse_other_database(row: Installation, noted: Noted | None) -> None:
    if noted is not None and row.identity and noted.installation != row.identity:
        raise WrongIdentity(
            f"The database belongs to another installation ({row.place or 'not known'} on {row.host or 'another host'}) than the data "
            f"directory {settings.CE_DATA_DIR}. Correct DATABASE_URL or CE_DATA_DIR. If they are to go on together: manage.py adopt."
        )


def _refuse_second_engine(row: Installation, noted: Noted | None) -> None:
    if row.directory and (noted is None or noted.directory != row.directory):
        same = " This host has the same name (CE_HOST)." if row.host == settings.CE_HOST else ""
        raise WrongIdentity(
            f"The runs of this database are driven by another data directory: {row.place} on {row.host}.{same} A second cluster has no "
            "clones of the projects and would fail their phases, so it does not start. Make this a worker host (CE_WORKER=1, up --no-web), "
            "start only a web server here (up --no-cluster) or, if the other one is gone: manage.py adopt."
        )


def _refuse_worker(row: Installation, noted: Noted | None) -> None:
    """Refuse a worker host without a main host, or with the name or the data directory of another host."""
    if connection.vendor == "sqlite":
        raise WrongIdentity("A worker host shares PostgreSQL with the main host, and this database is SQLite. Set DATABASE_URL.")
    if not row.directory:
        raise WrongIdentity("This database has no main host yet, so there is nothing to work for. Start that one first, without CE_WORKER.")
    if noted is not None and noted.directory == row.directory:
        raise WrongIdentity(f"{settings.CE_DATA_DIR} is the main host's data directory. A worker host has one of its own: set CE_DATA_DIR.")
    if row.host == settings.CE_HOST:
        raise WrongIdentity(f"The main host is called {row.host}, too ({row.place}). Give this worker host a CE_HOST of its own.")
    mine = noted.directory if noted is not None else ""
    other = Host.objects.filter(name=settings.CE_HOST).first()
    now = timezone.now()
    if other is not None and (other.directory != mine if other.directory else (other.lease_until or now) > now):
        raise WrongIdentity(
            f"There is a host called {other.name} already ({other.place or 'another data directory'}). Two of one name would take each "
            "other's tasks: give this one a CE_HOST of its own or, if the other one is gone: manage.py adopt."
        )
    known = Host.objects.filter(directory=mine).exclude(name=settings.CE_HOST).first() if mine else None
    if known is not None:
        raise WrongIdentity(f"{settings.CE_DATA_DIR} belongs to the worker host {known.name}: set CE_HOST={known.name}, as before.")


def _settle_worker(row: Installation, noted: Noted | None) -> None:
    if noted is None:
        noted = _write(row.identity, secrets.token_hex(16))
    elif noted.path != str(settings.CE_DATA_DIR) or noted.machine != _machine():
        noted = _write(noted.installation, noted.directory)
    here = {"directory": noted.directory, "place": str(settings.CE_DATA_DIR)}
    Host.objects.update_or_create(name=settings.CE_HOST, defaults=here)


def _refuse_restored() -> None:
    """A database that is older than what the ticker of this directory last wrote was restored from a backup."""
    found = Host.objects.filter(name=settings.CE_HOST).annotate(now=Now()).values_list("last_tick_at", "now")
    try:
        marked = time.time() - (Path(settings.CE_DATA_DIR) / "ticker.alive").stat().st_mtime
    except OSError:
        return
    # Ages, because the clocks of the host and of its database may differ.
    seconds = max(((now - last).total_seconds() - marked for last, now in found if last is not None), default=0.0)
    if seconds > OLDER_SECONDS:
        older = timedelta(seconds=round(seconds))
        raise WrongIdentity(
            f"The database is {older} older than the data directory {settings.CE_DATA_DIR}: it was restored from a backup. What was merged "
            "since then is in the repositories and will be taken up, not done again. To go on from there: manage.py adopt."
        )


def _read() -> Noted | None:
    try:
        data = json.loads(identity_file().read_text())
        return Noted(str(data["installation"]), str(data["directory"]), str(data["path"]), int(data["inode"]), str(data["machine"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        way_out = "Restore it from a backup, or remove it and: manage.py adopt."
        raise WrongIdentity(f"{identity_file()} cannot be read ({error}). {way_out}") from error


def _write(installation: str, directory: str) -> Noted:
    """Write identity.json anew; it holds its own inode, which no copy has."""
    draft = identity_file().with_name(f".identity.{os.getpid()}")
    draft.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("w") as file:
        noted = Noted(installation, directory, str(settings.CE_DATA_DIR), os.fstat(file.fileno()).st_ino, _machine())
        json.dump(asdict(noted), file)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(identity_file())
    return noted


def _in_place(noted: Noted) -> bool:
    same_file = noted.inode == identity_file().stat().st_ino
    return same_file and (noted.path == str(settings.CE_DATA_DIR) or noted.machine == _machine())


def _machine() -> str:
    """The id of this machine; "" where it has none."""
    try:
        return Path("/etc/machine-id").read_text().strip()
    except OSError:
        return ""
