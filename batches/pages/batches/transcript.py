"""The transcript of an attempt: windows of its entries for the tab of a phase, to follow it, and to download."""

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect, QueryDict, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from batches.core.text.transcript import KINDS, Entry
from batches.engine.log_reader import is_here
from batches.engine.transcript_reader import WINDOW, open_transcript, wanted_kinds, wanted_needle
from batches.models import Attempt
from batches.pages.batches.live import STOP_POLLING
from batches.pages.common import htmx, read_number

SHOWN_BEFORE = 20  # entries shown above the requested one
KEPT = 1_000  # entries that a browser keeps while it follows
CAUGHT_UP = 300  # newest entries that a hidden page gets when it catches up


@dataclass(frozen=True, slots=True)
class TranscriptPage:
    """A window of an attempt's transcript, and the filter it was chosen by. `entry` is the requested one."""

    attempt: Attempt
    entries: tuple[Entry, ...]
    total: int
    found: int
    counts: Mapping[str, int]
    kinds: tuple[str, ...]
    needle: str
    entry: int | None
    earlier: bool
    later: bool
    here: bool
    has_file: bool

    @property
    def first(self) -> int:
        return self.entries[0].number if self.entries else 0

    @property
    def last(self) -> int:
        return self.entries[-1].number if self.entries else 0

    @property
    def follows(self) -> bool:
        """Whether new entries come at its end."""
        return self.attempt.ended_at is None and self.here and not self.later

    @property
    def after(self) -> int:
        """The number after which a page that follows asks: that of the last entry, shown by the filter or not."""
        return self.total

    @property
    def filtered(self) -> bool:
        return bool(self.kinds or self.needle)

    @property
    def chips(self) -> list[tuple[str, int, bool]]:
        """(kind, how many there are, whether it is chosen)."""
        return [(kind, self.counts.get(kind, 0), kind in self.kinds) for kind in KINDS if self.counts.get(kind) or kind in self.kinds]

    @property
    def filter_query(self) -> str:
        """The filter as a part of an address: "&kind=edit&q=calc"; "" without one."""
        found = QueryDict(mutable=True)
        found.setlist("kind", list(self.kinds))
        if self.needle:
            found["q"] = self.needle
        return f"&{found.urlencode()}" if self.filtered else ""


def read_page(attempt: Attempt, asked: QueryDict) -> TranscriptPage:
    """The window that an address asks for: around ?entry=, before ?before=, behind ?behind=, else the newest entries."""
    kinds, needle = wanted_kinds(asked.getlist("kind"), KINDS), wanted_needle(asked.get("q", ""))
    with open_transcript(attempt) as found:
        numbers = found.matching(kinds, needle)
        total = found.lines
        entry, before, behind = (read_number(asked.get(name)) for name in ("entry", "before", "behind"))
        start = _start(numbers, entry, before, behind)
        end = start + WINDOW
        if before is not None and entry is None:
            end = min(end, bisect_left(numbers, before))
        entries = found.entries(numbers[start:end])
        shown = start + len(entries)
        return TranscriptPage(
            attempt=attempt,
            entries=tuple(entries),
            total=total,
            found=len(numbers),
            counts=found.counts(),
            kinds=kinds,
            needle=needle,
            entry=entry,
            earlier=start > 0 and bool(entries),
            later=shown < len(numbers),
            here=is_here(attempt),
            has_file=found.complete,
        )


def _start(numbers: Sequence[int], entry: int | None, before: int | None, behind: int | None) -> int:
    if entry is not None:
        return max(0, min(bisect_left(numbers, entry) - SHOWN_BEFORE, len(numbers) - 1))
    if behind is not None:
        return bisect_left(numbers, behind + 1)
    return max(0, (len(numbers) if before is None else bisect_left(numbers, before)) - WINDOW)


def attempts() -> QuerySet[Attempt]:
    """Attempts of phases with what a transcript needs of them."""
    found = Attempt.objects.filter(task__phase__isnull=False).select_related("task__run__batch__project", "task__phase")
    return found.defer("spec", "heartbeat", "log_tail")


def _attempt(number: int, pk: int) -> Attempt:
    return get_object_or_404(attempts(), pk=pk, task__run__batch__number=number)


@require_safe
def transcript(request: HttpRequest, number: int, pk: int) -> HttpResponseBase:
    """For a page that has the tab open: all of the tab, or entries before ?before=, behind ?behind=, or newer than ?after=.

    Of the last, 204 if there is none yet, 286 if none will follow. Who comes without htmx is sent to the page with the tab.
    """
    attempt = _attempt(number, pk)
    if not htmx(request):
        asked = request.GET.copy()
        asked["tab"], asked["attempt"] = "transcript", str(pk)
        place = f"#entry-{entry}" if (entry := read_number(asked.get("entry"))) else ""
        phase = attempt.task.phase
        address = reverse("batches:phase", args=[number, phase.key if phase else ""])
        return HttpResponseRedirect(f"{address}?{asked.urlencode()}{place}")
    after = read_number(request.GET.get("after"), least=0)
    if after is not None:
        return _since(request, attempt, after)
    if not any(name in request.GET for name in ("before", "behind")):
        return HttpResponse(render_tab(attempt, request.GET))
    return render(request, "batches/_transcript_more.html", {"page": read_page(attempt, request.GET), "attempt": attempt})


def _since(request: HttpRequest, attempt: Attempt, after: int) -> HttpResponse:
    """Entries after that number that the filter lets through. If there are many, only the newest."""
    kinds, needle = wanted_kinds(request.GET.getlist("kind"), KINDS), wanted_needle(request.GET.get("q", ""))
    with open_transcript(attempt) as found:
        total = found.lines
        if total <= after or not found.complete:
            return HttpResponse(status=STOP_POLLING if attempt.ended_at is not None or not is_here(attempt) else 204)
        numbers = found.matching(kinds, needle, after + 1)
        entries = found.entries(numbers[-CAUGHT_UP:])
    context = {"entries": entries, "left_out": len(numbers) - len(entries), "total": total, "attempt": attempt}
    return render(request, "batches/_transcript_since.html", context)


def _named(attempt: Attempt, ending: str) -> str:
    number = attempt.task.run.batch.number
    return f"batch-{number}-{slugify(attempt.task.name)}-run-{attempt.task.run.number}-attempt-{attempt.number}.{ending}"


def _sent(parts: Iterator[bytes], kind: str, name: str) -> StreamingHttpResponse:
    response = StreamingHttpResponse(parts, content_type=f"{kind}; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


@require_safe
def transcript_jsonl(request: HttpRequest, number: int, pk: int) -> HttpResponseBase:
    """The whole transcript as it was written: one JSON object per line."""
    attempt = _attempt(number, pk)

    def parts() -> Iterator[bytes]:  # keeps the file open while it is sent
        with open_transcript(attempt) as found:
            yield from found.raw()

    return _sent(parts(), "application/jsonl", _named(attempt, "transcript.jsonl"))


@require_safe
def transcript_md(request: HttpRequest, number: int, pk: int) -> HttpResponseBase:
    """The whole transcript as a document for people."""
    attempt = _attempt(number, pk)

    def parts() -> Iterator[bytes]:
        title = f"Transcript of phase {attempt.task.name}, attempt {attempt.number}, batch {number}"
        with open_transcript(attempt) as found:
            yield from found.markdown(title)

    return _sent(parts(), "text/markdown", _named(attempt, "transcript.md"))


def render_tab(attempt: Attempt, asked: QueryDict) -> str:
    """The tab of a phase's page."""
    page = read_page(attempt, asked)
    context = {"page": page, "attempt": attempt, "batch": attempt.task.run.batch, "kept": KEPT}
    return render_to_string("batches/_transcript.html", context)
