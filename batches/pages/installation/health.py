"""The health of the installation, from the database and from what hosts report."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version

import django
from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Min
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe
from django_q.models import OrmQ

from batches.core.engine.pricing import MODELS
from batches.core.text import words
from batches.engine.disk_space import FREE_INODES, FileSystem, reported_file_systems
from batches.integrations.api_keys import api_key
from batches.models import Attempt, Host, Run

FIRST = ("Database", "Disk", "Workers", "Ticker", "Sandbox", "Queue", "Work", "API key")  # what others follow from comes first
TICK_LATE_SECONDS = 10.0  # manage.py up restarts the cluster after this time
QUEUE_LATE_SECONDS = 60.0
FREE_SPACE = "Free disk space: clean up kept work on the batches' pages, delete old data, or move CE_DATA_DIR."
PACKAGES = (
    *("Django", "django-q2", "django-htmx", "networkx", "markdown-it-py", "gunicorn"),
    *("claude-agent-sdk", "genai-prices"),  # optional
)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """One line: `state` is ok, warning, error or unknown; `text` is the result, `hint` says what to do."""

    name: str
    state: str
    text: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class HostRow:
    host: Host
    state: str
    silent_seconds: float | None
    live: int

    @property
    def disks(self) -> list[FileSystem]:
        return [one for _, one in reported_file_systems([self.host])]

    @property
    def at_start(self) -> str:
        """What had happened to its attempts when its cluster started."""
        return str(self.host.facts.get("at start") or "")

    @property
    def sandbox(self) -> str:
        return str(self.host.facts.get("sandbox") or "")

    @property
    def memory(self) -> str:
        """How the memory of attempts is limited there."""
        return str(self.host.facts.get("memory") or "")

    @property
    def python(self) -> str:
        return str(self.host.facts.get("python") or "")


@require_safe
def health(request: HttpRequest) -> HttpResponse:
    now = timezone.now()
    live: dict[str, int] = {}
    for name in Attempt.objects.live().values_list("host", flat=True):
        live[name] = live.get(name, 0) + 1
    hosts = [_host_row(host, live.get(host.name, 0), now) for host in Host.objects.all()]
    findings = [_database(now), _ticker(hosts), _workers(hosts), _queue(now), _work(now), _disk(hosts), _sandbox(hosts), _key()]
    worst = max((check.state for check in findings), key=("unknown", "ok", "warning", "error").index)
    context = {
        "findings": findings,
        "worst": worst,
        "first": next((one for name in FIRST for one in findings if (one.name, one.state) == (name, "error")), None),
        "hosts": hosts,
        "versions": list(_versions()),
        "data_directory": settings.CE_DATA_DIR,
        "settings": _settings(),
        "models": list(MODELS.values()),
    }
    return render(request, "installation/health.html", context, status=503 if worst == "error" else 200)


def _host_row(host: Host, live: int, now: datetime) -> HostRow:
    silent = (now - host.last_tick_at).total_seconds() if host.last_tick_at else None
    lost = host.lease_until is not None and host.lease_until < now
    state = "error" if silent is None or lost else "warning" if silent > TICK_LATE_SECONDS else "ok"
    return HostRow(host, state, silent, live)


def _database(now: datetime) -> HealthCheck:
    kind = "PostgreSQL" if connection.vendor == "postgresql" else "SQLite"
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            cursor.fetchone()
        return HealthCheck("Database", "ok", f"{kind} answers")
    except DatabaseError as error:
        return HealthCheck("Database", "error", f"{kind}: {error}", "See DATABASE_URL, and the database's own log.")


def _queue(now: datetime) -> HealthCheck:
    """django-q2 keeps as `lock` the moment from which a row may be pulled; a row long past it is not being served."""
    waiting = OrmQ.objects.count()
    oldest = OrmQ.objects.aggregate(oldest=Min("lock"))["oldest"]
    if not waiting or oldest is None:
        return HealthCheck("Queue", "ok", "empty")
    age = (now - oldest).total_seconds()
    text = f"{waiting} waiting, the oldest for {words.duration(max(age, 0.0))}"
    if age > QUEUE_LATE_SECONDS:
        return HealthCheck("Queue", "error", text, "No worker takes tasks. Is `manage.py up` or the cluster running?")
    return HealthCheck("Queue", "ok", text)


def _work(now: datetime) -> HealthCheck:
    runs, attempts = Run.objects.live().count(), Attempt.objects.live().count()
    return HealthCheck("Work", "ok", f"{words.counted(runs, 'live run')}, {words.counted(attempts, 'live attempt')}")


def _disk(hosts: Sequence[HostRow]) -> HealthCheck:
    """Free disk space and inodes, as last reported by the hosts; and the runs that are put off for the machine."""
    known = list(reported_file_systems(row.host for row in hosts))
    put_off = Run.objects.live().exclude(machine_fault="").select_related("batch").first()
    if put_off is not None:
        text = f"batch {put_off.batch.number} is put off: {put_off.machine_fault}"
        return HealthCheck("Disk", "error", text, "Once the machine works again the batch continues by itself.")
    if not known:
        return HealthCheck("Disk", "unknown", f"{words.UNKNOWN} (not reported by any host)")
    host, disk = min(known, key=lambda pair: (not pair[1].is_low, pair[1].free_bytes))
    limit = settings.CE_FREE_SPACE_BYTES
    text = f"{disk.words} on {host}"
    if disk.is_low:
        text += f", less than {words.bytes_words(limit)} or {FREE_INODES} inodes: nothing starts there"
        return HealthCheck("Disk", "error", text, f"{FREE_SPACE} Running work continues; waiting work then starts automatically.")
    if disk.free_bytes < 2 * limit:
        return HealthCheck("Disk", "warning", f"{text}; below {words.bytes_words(limit)} nothing would start", FREE_SPACE)
    return HealthCheck("Disk", "ok", text)


def _ticker(hosts: Sequence[HostRow]) -> HealthCheck:
    if not hosts:
        return HealthCheck("Ticker", "error", "has never reported", "Start CE Web with `manage.py up`.")
    late = [row for row in hosts if row.state != "ok"]
    if late:
        names = ", ".join(f"{row.host.name} ({words.duration(row.silent_seconds)})" for row in late)
        state = "warning" if len(late) < len(hosts) else "error"
        return HealthCheck("Ticker", state, f"silent: {names}", "Nothing starts or ends on a silent host. Is its cluster running?")
    return HealthCheck("Ticker", "ok", f"{words.counted(len(hosts), 'host')} alive")


def _workers(hosts: Sequence[HostRow]) -> HealthCheck:
    """A worker runs the ticker, so a tick proves that workers take tasks."""
    count = int(settings.Q_CLUSTER["workers"])
    alive = [row.host.name for row in hosts if row.state == "ok"]
    if not alive:
        return HealthCheck("Workers", "unknown" if not hosts else "error", "no cluster has reported", "Start it with `manage.py up`.")
    return HealthCheck("Workers", "ok", f"{count} on each of {', '.join(alive)}" if len(alive) > 1 else f"{count} on {alive[0]}")


def _sandbox(hosts: Sequence[HostRow]) -> HealthCheck:
    """The sandbox level that each host detected."""
    levels = {row.host.name: str(row.host.facts.get("sandbox") or words.UNKNOWN).partition(",")[0].partition(";")[0] for row in hosts}
    if not levels:
        return HealthCheck("Sandbox", "unknown", words.UNKNOWN)
    text = next(iter(levels.values())) if len(set(levels.values())) == 1 else ", ".join(f"{name}: {one}" for name, one in levels.items())
    weak = any(level == "rlimit" for level in levels.values())
    hint = "Commands have the rights of the server's user. Install bubblewrap; docs/security.md says what each level needs."
    return HealthCheck("Sandbox", "warning" if weak else "ok", text, hint)


def _key() -> HealthCheck:
    """Whether there is a key for agents. The backend “steps” needs none."""
    key = api_key()
    if key.value:
        return HealthCheck("API key", "ok", f"set, from {key.source}")
    state, text = ("warning", f"none. {key.problem}") if key.source else ("unknown", "none: agents cannot work")
    hint = "An administrator enters one on the page Settings. Steps that are shell commands need none."
    return HealthCheck("API key", state, text, hint)


def _versions() -> list[tuple[str, str]]:
    system = f"{platform.system()} {platform.release()}"
    found = [("Python", platform.python_version()), ("Platform", system), ("Django", django.get_version())]
    for name in PACKAGES[1:]:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            found.append((name, words.UNKNOWN))
    return found


def _settings() -> list[tuple[str, str]]:
    return [
        ("Silence limit", words.duration(settings.CE_SILENCE_SECONDS)),
        ("Heartbeat every", words.duration(settings.CE_HEARTBEAT_SECONDS)),
        ("No-progress warning after", words.duration(settings.CE_NO_PROGRESS_SECONDS)),
        ("Phase time limit", words.duration(settings.CE_PHASE_LIMIT_SECONDS)),
        ("Attempts at once on a host", str(settings.CE_SLOTS)),
        ("Upload limit", f"{settings.CE_UPLOAD_BYTES:,} bytes"),
        ("Time zone", settings.TIME_ZONE),
    ]
