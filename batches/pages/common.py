"""What every group of pages shares: who asks, what a request says, and what a refusal looks like."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import cast
from urllib.parse import urlsplit

from django import forms
from django.contrib import messages
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django_htmx.middleware import HtmxDetails

from batches.accounts.actor import Actor
from batches.core.engine.states import Operation
from batches.core.errors import BatchError
from batches.engine.disk_space import words_of_fault

LARGEST_ID = 2**63 - 1
LARGEST_NUMBER = 2**31 - 1  # of a batch, a version or a page
OPERATIONS = {
    Operation.EXECUTE: "Execute",
    Operation.GENERATE: "Generate",
    Operation.REVIEW: "Review",
    Operation.UPDATE_CONTEXT: "Update context",
}


def actor_of(request: HttpRequest) -> Actor:
    return Actor.person(request.user)


def htmx(request: HttpRequest) -> HtmxDetails:
    """What htmx says of its request; false for any other. Set by django-htmx's middleware, the outermost one."""
    return cast(HtmxDetails, request.htmx)  # type: ignore[attr-defined]


def read_number(text: str | None, *, least: int = 1, most: int = LARGEST_ID) -> int | None:
    """A whole number in ASCII digits, from an address or a form; None for anything else or outside [least, most]."""
    if not text or not text.isascii() or not text.isdigit() or len(text) > len(str(most)):
        return None
    number = int(text)
    return number if least <= number <= most else None


@contextmanager
def refusals_in(form: forms.BaseForm, field: str | None = None) -> Iterator[None]:
    """What is refused inside stands in the form, which the page then shows again."""
    try:
        yield
    except BatchError as error:
        form.add_error(field, str(error))


def act(request: HttpRequest, verb: Callable[[], str], back: str) -> HttpResponse:
    """Call `verb`, show the message that it returns, and redirect `back`. An error becomes a message, or a 409 for htmx.

    So does a fault of the machine, such as a full disk.

    PermissionDenied is not caught: it leads to the 403 page.
    """
    try:
        said = verb()
    except (BatchError, OSError, OperationalError) as error:
        told = str(error) if isinstance(error, BatchError) else words_of_fault(error)
        if not told:
            raise
        if htmx(request):
            return render(request, "parts/_notice.html", {"text": told, "state": "failed"}, status=409)
        messages.error(request, told)
        return HttpResponseRedirect(back)
    if htmx(request):
        if request.headers.get("CE-Stay") and urlsplit(htmx(request).current_url or "").path == back:
            answer = render(request, "parts/_notice.html", {"text": said, "state": "succeeded"})
            answer["HX-Trigger"] = "ce:acted"
            return answer
        messages.success(request, said)
        return HttpResponse(status=204, headers={"HX-Redirect": back})
    messages.success(request, said)
    return HttpResponseRedirect(back)
