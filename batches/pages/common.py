"""Small things that every page family shares: who asks, and what a refusal looks like."""

from collections.abc import Callable

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render

from batches.accounts.actor import Actor
from batches.core.errors import BatchError


def actor_of(request: HttpRequest) -> Actor:
    return Actor.person(request.user)


def act(request: HttpRequest, verb: Callable[[], str], back: str) -> HttpResponse:
    """Call `verb`, which returns what to say, and go `back`; what cannot be done is said, and is a 409 to htmx.

    PermissionDenied passes through: it is the 403 page.
    """
    try:
        said = verb()
    except BatchError as error:
        if request.headers.get("HX-Request") == "true":
            return render(request, "parts/_notice.html", {"text": str(error), "state": "failed"}, status=409)
        messages.error(request, str(error))
        return HttpResponseRedirect(back)
    messages.success(request, said)
    if request.headers.get("HX-Request") == "true":
        return HttpResponse(status=204, headers={"HX-Redirect": back})
    return HttpResponseRedirect(back)
