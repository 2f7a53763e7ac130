"""The buttons that pause, resume, try at once or cancel a run."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from batches.engine import pause_and_cancel
from batches.engine.try_now import try_now as try_run_now
from batches.pages.batches.batch import find_batch, page_of, run_of
from batches.pages.common import act, actor_of


def _of_the_run(service: Callable[..., object], said: str) -> Callable[[HttpRequest, int], HttpResponse]:
    """The page that asks `service` of the batch's newest run, and then says `said`."""

    @require_POST
    def page(request: HttpRequest, number: int) -> HttpResponse:
        batch = find_batch(number)

        def verb() -> str:
            service(run=run_of(batch), actor=actor_of(request))
            return said

        return act(request, verb, page_of(number))

    return page


pause = _of_the_run(pause_and_cancel.pause, "Paused: running phases finish, and no new ones start.")
unpause = _of_the_run(pause_and_cancel.unpause, "Resumed.")
try_now = _of_the_run(try_run_now, "It is being tried; the batch continues if it works.")
cancel = _of_the_run(pause_and_cancel.cancel, "Cancelling: all running phases are being stopped.")
