"""The log of an attempt, page by page: its end, around a line, or search results."""

from collections.abc import Iterator
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils.text import slugify
from django.views.decorators.http import require_safe

from batches.core.text.log_lines import LogLine
from batches.engine.log_reader import NEEDLE_CHARACTERS, PAGE_LINES, Log, Search, is_here, open_log
from batches.models import Attempt
from batches.pages.batches.live import STOP_POLLING
from batches.pages.common import htmx, read_number

CONTEXT_LINES = 100  # lines shown above the requested line
FOLLOWED_LINES = 2_000  # lines that a browser keeps while it follows the log


@dataclass(frozen=True, slots=True)
class LogPage:
    """Lines `first` to `last` of `total`; `line` is the requested one."""

    lines: tuple[LogLine, ...]
    total: int
    size: int
    whole: bool
    line: int | None
    search: Search | None
    only: bool

    @property
    def first(self) -> int:
        return self.lines[0].number if self.lines else 0

    @property
    def last(self) -> int:
        return self.lines[-1].number if self.lines else 0

    @property
    def earlier(self) -> int | None:
        """First line of the previous page."""
        return max(1, self.first - PAGE_LINES) if self.first > 1 and not self.only else None

    @property
    def later(self) -> int | None:
        if not self.only:
            return self.last + 1 if self.last < self.total else None
        return self.search.after(self.last) if self.search else None

    @property
    def at_end(self) -> bool:
        return self.last >= self.total and not self.only

    @property
    def place(self) -> int:
        """The line from which the next and the previous hit are searched."""
        return self.line or 0

    @property
    def hit_before(self) -> int | None:
        return self.search.before(self.place) if self.search and self.line else None

    @property
    def hit_after(self) -> int | None:
        return self.search.after(self.place) if self.search else None

    @property
    def hit_place(self) -> int | None:
        """The number of the requested line among the hits, from 1; None if it is not a hit."""
        hits = self.search.hits if self.search else ()
        return hits.index(self.line) + 1 if self.line in hits else None


@require_safe
def log(request: HttpRequest, number: int, pk: int) -> HttpResponseBase:
    """The page. For htmx with `after`, only newer lines: 204 if there are none yet, 286 if none will follow."""
    attempts = Attempt.objects.select_related("task__run__batch__project", "task__phase").defer("spec", "heartbeat")
    attempt = get_object_or_404(attempts, pk=pk, task__run__batch__number=number)
    with open_log(attempt) as found:
        after = read_number(request.GET.get("after"))
        if after is not None and htmx(request):
            return _since(request, attempt, found, after)
        page = _page(request, found)
    context = {
        "batch": attempt.task.run.batch,
        "attempt": attempt,
        "page": page,
        "here": is_here(attempt),
        "follows": page.at_end and page.whole and attempt.ended_at is None,
        "followed_lines": FOLLOWED_LINES,
        "q": page.search.needle if page.search else "",
    }
    return render(request, "batches/log.html", context)


def _page(request: HttpRequest, found: Log) -> LogPage:
    total, line, start = found.lines, read_number(request.GET.get("line")), read_number(request.GET.get("start"))
    needle = request.GET.get("q", "")[:NEEDLE_CHARACTERS]
    search = found.search(needle, read_number(request.GET.get("since")) or 1) if needle else None
    only = bool(search and request.GET.get("only"))
    if search and search.hits and line is None and start is None:
        line = search.hits[0]
    if only and search:
        lines = found.these([hit for hit in search.hits if hit >= (start or 1)][:PAGE_LINES])
    else:
        first = start or (line - CONTEXT_LINES if line else total - PAGE_LINES + 1)
        lines = found.page(max(1, min(first, total)))
    shown = tuple(one.searched(needle) if needle else one for one in lines)
    return LogPage(shown, total, found.size, found.complete, line, search, only)


def _since(request: HttpRequest, attempt: Attempt, found: Log, after: int) -> HttpResponse:
    """Lines after line `after`. If there are many, only the last ones, so that a hidden page catches up at once."""
    total = found.lines
    if total <= after or not found.complete:
        return HttpResponse(status=STOP_POLLING if attempt.ended_at is not None or not found.complete else 204)
    lines = found.page(max(after + 1, total - FOLLOWED_LINES + 1), FOLLOWED_LINES)
    context = {"lines": lines, "size": found.size, "total": total, "last": lines[-1].number if lines else after}
    return render(request, "batches/_log_lines_since.html", context)


@require_safe
def log_text(request: HttpRequest, number: int, pk: int) -> HttpResponseBase:
    """The whole log as a text file."""
    attempts = Attempt.objects.select_related("task__run__batch__project").defer("spec", "heartbeat")
    attempt = get_object_or_404(attempts, pk=pk, task__run__batch__number=number)
    name = f"batch-{number}-{slugify(attempt.task.name)}-attempt-{attempt.number}.log"

    def parts() -> Iterator[bytes]:  # keeps the log open while it is sent
        with open_log(attempt) as found:
            yield from found.text()

    response = StreamingHttpResponse(parts(), content_type="text/plain; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response
