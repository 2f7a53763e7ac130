"""Version 1: what happens in a batch, as server-sent events.

A stream holds a thread of the web server, so it ends after a while, and only some of a process's threads may hold one.
Programs connect again by themselves, with the id of the last event, and miss nothing: an event is the whole state.
"""

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Annotated

from django.conf import settings
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from ninja import Header

from batches.engine import reporting
from batches.models import Batch
from batches.models.visibility import seeing, sight_now
from batches.pages.api_v1.application import api
from batches.pages.api_v1.shapes import Number
from batches.pages.batches.batch import find_batch
from batches.pages.batches.batch_states import latest_run, version_of
from batches.pages.problems import PROBLEM_TYPE, problem

STREAMS = 3  # of a web process, which has eight threads
STREAM_SECONDS = 55.0  # proxies end what is silent for a minute
_free = threading.BoundedSemaphore(STREAMS)
Last = Annotated[str, Header(alias="Last-Event-ID", max_length=200, description="The id of the last event.", examples=[""])]
EVENT = {
    "type": "object",
    "properties": {
        "event": {"enum": ["batch", "end"]},
        "id": {"type": "string", "description": "Sent back as Last-Event-ID: only what is newer is told."},
        "data": {"type": "string", "description": "JSON."},
        "retry": {"type": "integer"},
    },
}
EVENTS = {
    "responses": {
        200: {
            "description": "Events `batch` (`data` is what the batch's own address answers), then `end` when its run has ended.",
            "content": {"text/event-stream": {"schema": EVENT}},
        },
        503: {
            "description": "Too many streams; Retry-After gives the seconds.",
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        },
    }
}


@api.get("batches/{int:number}/events/", url_name="events", tags=["batches"], summary="Follow a batch", openapi_extra=EVENTS)
def events(request: HttpRequest, number: Number, last: Last = "") -> HttpResponseBase:
    """The state of a batch now, and again whenever it changes, for about a minute; then connect again."""
    found = find_batch(number)
    if not _free.acquire(blocking=False):
        return problem(503, "Too many programs follow batches now. Try again soon, or poll.", {"Retry-After": "10"})
    stream = Stream(found, last)
    return StreamingHttpResponse(
        stream, content_type="text/event-stream", headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    )


class Stream:
    """The bytes of one stream, within what its token may see; whoever reads it closes it."""

    def __init__(
        self, batch: Batch, seen: str, clock: Callable[[], float] = time.monotonic, rest: Callable[[float], object] = time.sleep
    ) -> None:
        self.batch, self.sight, self.clock, self.rest = batch, sight_now(), clock, rest
        self.parts = self._parts(seen)
        self.open = True

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        with seeing(self.sight):
            return next(self.parts)

    def close(self) -> None:
        """Give the place free; also called when the program is gone."""
        if self.open:
            self.open = False
            _free.release()

    def _parts(self, seen: str) -> Iterator[bytes]:
        until = self.clock() + STREAM_SECONDS
        yield f"retry: {round(settings.CE_POLL_SECONDS * 1000)}\n\n".encode()
        while True:
            now = timezone.now()
            self.batch.refresh_from_db(fields=["version"])
            version = version_of(self.batch, latest_run(self.batch), now)
            if version != seen:
                seen = version
                yield _event("batch", version, reporting.status_of(find_batch(self.batch.number))[1])
            if version.endswith("-end"):
                yield _event("end", version, {})
                return
            if self.clock() >= until:
                return
            self.rest(settings.CE_POLL_SECONDS)
            yield b": still here\n\n"  # tells a gone program from a silent one


def _event(name: str, version: str, data: object) -> bytes:
    return f"event: {name}\nid: {version}\ndata: {json.dumps(data, cls=DjangoJSONEncoder)}\n\n".encode()


