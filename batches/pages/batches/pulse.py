"""Whether something has changed since a page was shown: asked by every open page, rarely, and answered from few rows.

A page of a batch depends on the version of that batch, any other page on all that is seen. Counts and versions of a person's sight
are kept for a moment, because many pages ask.
"""

import hashlib
import re
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db.models import CharField, Count, Max, Model, QuerySet, Sum, Value
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.utils.functional import cached_property
from django.views.decorators.http import require_safe

from batches.accounts.audit_trail import TrailEntry, TrailFilter, read_trail
from batches.models import AuditEvent, Batch, Idea, Plan, PlanDecision, Project, SettingChange
from batches.models.visibility import sight_key
from batches.pages.batches.list_queries import VIEWS
from batches.pages.common import LARGEST_NUMBER, read_number

LOOK_SECONDS = 6  # times the polling interval of a live page
_OF_BATCH = re.compile(r"/batches/(\d{1,10})/")
# What a transition is called in the trail -> what a person did.
DONE = {"Retry": "Retried", "Reopen": "Reopened", "Cancel": "Cancelled", "Start": "Started", "Drop": "Gave up", "Requested": "Started"}


class Pulse:
    """What a page at `path` is compared by; nothing is read before it is asked for."""

    def __init__(self, path: str) -> None:
        found = _OF_BATCH.match(path)
        self.always = path.startswith("/health/")  # hosts, workers and disks have no version: it is read anew each time
        self.batch = read_number(found[1], most=LARGEST_NUMBER) if found else None

    @cached_property
    def version(self) -> str:
        if self.always:
            return timezone.now().isoformat()
        if self.batch is None:
            return _version_of_all()
        return str(Batch.objects.filter(number=self.batch).values_list("version", flat=True).first() or 0)

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many batches run, and how many have failed."""
        key = _key("pulse-counts")
        known: dict[str, int] | None = cache.get(key)
        if known is None:
            wanted = {name: Count("pk", filter=VIEWS[name]) for name in ("running", "failed")}
            known = Batch.objects.with_state().aggregate(**wanted)
            cache.set(key, known, settings.CE_POLL_SECONDS)
        return known

    @property
    def running(self) -> int:
        return self.counts["running"]

    @property
    def failed(self) -> int:
        return self.counts["failed"]

    @property
    def seconds(self) -> float:
        """How often an open page asks."""
        return float(settings.CE_POLL_SECONDS) * LOOK_SECONDS


def _version_of_all() -> str:
    key = _key("pulse")
    known: str | None = cache.get(key)
    if known is None:
        batches = Batch.objects.aggregate(Max("pk"), Sum("version"))
        # Settings and accounts are of the whole installation, and so are the last two: how many there are is all that is told.
        first, *others = (_newest(table) for table in (Plan, PlanDecision, Project, Idea, AuditEvent, SettingChange))
        newest = (f"{name}{pk or 0}" for name, pk in sorted(first.union(*others, all=True)))
        known = "-".join([*(str(value or 0) for value in batches.values()), *newest])
        cache.set(key, known, settings.CE_POLL_SECONDS)
    return known


def _newest(table: type[Model]) -> QuerySet[Any]:
    rows: QuerySet[Any] = table.objects.all()  # type: ignore[attr-defined]  # each of these has it, confined where it must be
    named: QuerySet[Any] = rows.order_by().annotate(table=Value(table.__name__, output_field=CharField()))
    found: QuerySet[Any] = named.values("table").annotate(newest=Max("pk")).values_list("table", "newest")
    return found


def _key(name: str) -> str:
    return f"{name}.{hashlib.sha256(sight_key().encode()).hexdigest()}"


@require_safe
def pulse(request: HttpRequest) -> HttpResponse:
    """204 if the page at ?path= is still as of version ?v=, else {"version", "running", "failed", "who", "what", "at"}."""
    now = Pulse(request.GET.get("path", ""))
    if request.GET.get("v") == now.version:
        return HttpResponse(status=204)
    body: dict[str, object] = {"version": now.version, **now.counts}
    if now.batch is not None and (last := last_action(now.batch)) is not None:
        who = last.name if last.actor == "person" else "a command"
        body |= {"who": who, "what": done_words(last), "at": last.at.isoformat()}
    return JsonResponse(body)


def last_action(number: int) -> TrailEntry | None:
    """What a person or a command did last about a batch."""
    return next(iter(read_trail(TrailFilter(batch=number), 1)), None)


def done_words(entry: TrailEntry) -> str:
    """“Retried phase 2a” for “Retry phase 2a: failed → pending”."""
    first, _, rest = entry.what.partition(" ")
    if entry.kind != "runs" or first not in DONE:
        return entry.what
    return f"{DONE[first]} {rest.partition(':')[0]}".strip()
