"""The diff of an attempt: a list of files. Small files are shown at once, large ones are loaded when opened."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from batches.core.text.diff import DiffFile, UnifiedDiff, read_diff
from batches.models import DiffComment, Result
from batches.pages.common import htmx, read_number

MODES = ("unified", "split")
MODE_COOKIE, YEAR_SECONDS = "diff", 31_536_000
OPEN_LINES = 800  # in all initially open files
FILE_LINES = 400  # a longer file is closed and loaded when opened
MOST_LINES = 6_000  # shown of one file
ALL_LINES = 200_000
HEAVY = ("attempt__spec", "attempt__heartbeat", "attempt__log_tail")


@dataclass(frozen=True, slots=True)
class ShownFile:
    """A file of a diff with its position from 1. `here`: its lines are on the page; otherwise they are loaded from `address`.

    Among the changes of a batch, `key` and `attempt` say whose it is, and `viewed` that this person has viewed it.
    """

    place: int
    file: DiffFile
    here: bool
    open: bool
    address: str
    comments: tuple[DiffComment, ...] = ()
    key: str = ""
    attempt: int = 0
    digest: str = ""
    viewed: bool = False

    @property
    def element(self) -> str:
        return f"diff-{self.attempt}-{self.place}" if self.attempt else f"diff-{self.place}"

    @property
    def left_out(self) -> int:
        return max(0, len(self.file.lines) - MOST_LINES)


@dataclass(frozen=True, slots=True)
class ShownDiff:
    diff: UnifiedDiff
    files: tuple[ShownFile, ...]
    mode: str
    query: str  # of the current page, for links that change the mode
    most: int = MOST_LINES


def diff_mode(request: HttpRequest) -> str:
    """The display mode of diffs: from the URL, else the last choice."""
    wanted = request.GET.get("view") or request.COOKIES.get(MODE_COOKIE, "")
    return wanted if wanted in MODES else MODES[0]


def remember_mode(request: HttpRequest, response: HttpResponse) -> HttpResponse:
    """Store the mode from the URL in a cookie for the next diff."""
    if request.GET.get("view") in MODES:
        response.set_cookie(MODE_COOKIE, request.GET["view"], max_age=YEAR_SECONDS, samesite="Lax", httponly=True)
    return response


def own_query(request: HttpRequest) -> str:
    """The query string of this page, to which a mode can be appended."""
    values = request.GET.copy()
    values.pop("view", None)
    return f"?{values.urlencode()}&" if values else "?"


def shown_diff(
    text: str,
    mode: str,
    query: str,
    address: str = "",
    *,
    chosen: int | None = None,
    room: int = OPEN_LINES,
    comments: Sequence[DiffComment] = (),
) -> ShownDiff:
    """What of a diff is on the page at once: files while there is room, and the chosen one; all without `address`."""
    diff = read_diff(text, limit=ALL_LINES)
    files = []
    for place, file in enumerate(diff.files, start=1):
        size = len(file.lines)
        opened = size <= min(room, FILE_LINES)
        room -= size if opened else 0
        here = not address or opened or place == chosen
        said = tuple(one for one in comments if one.file == file.name)
        where = f"{address}?file={place}&view={mode}" if address else ""
        files.append(ShownFile(place, file, here, opened or place == chosen, where, said))
    return ShownDiff(diff, tuple(files), mode, query)


def diff_address(number: int, attempt_pk: int) -> str:
    return reverse("batches:diff", args=[number, attempt_pk])


@require_safe
def diff(request: HttpRequest, number: int, pk: int) -> HttpResponse:
    """The diff of an attempt. For htmx with ?file=, only the lines of that file."""
    results = Result.objects.select_related("attempt__task__run__batch", "attempt__task__phase").defer("data", *HEAVY)
    result = get_object_or_404(results, attempt=pk, attempt__task__run__batch__number=number)
    chosen = read_number(request.GET.get("file"))
    mode = diff_mode(request)
    said = list(DiffComment.objects.filter(attempt=pk))
    shown = shown_diff(result.diff or "", mode, own_query(request), diff_address(number, pk), chosen=chosen, comments=said)
    if htmx(request):
        one = next((file for file in shown.files if file.place == chosen), None)
        if one is None:
            raise Http404
        return render(request, "batches/_diff_file.html", {"one": one, "diff": shown})
    attempt = result.attempt
    context = {"batch": attempt.task.run.batch, "attempt": attempt, "diff": shown, "unread": result.diff is None}
    return remember_mode(request, render(request, "batches/diff.html", context))

