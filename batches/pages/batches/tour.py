"""The tour: four hints for who is new on a fresh installation. Once closed they never return."""

from django.contrib.auth.models import User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from batches.models import ClosedTour
from batches.pages.common import htmx

FRESH = 3  # with so many batches nobody needs hints


def is_offered(request: HttpRequest, batches: int) -> bool:
    """Whether the person is shown the hints, among so many batches."""
    return batches < FRESH and not ClosedTour.objects.filter(user=_person(request)).exists()


@require_POST
def close_tour(request: HttpRequest) -> HttpResponse:
    ClosedTour.objects.get_or_create(user=_person(request))
    return HttpResponse() if htmx(request) else redirect("batches:list")


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # all pages except sign-in require a signed-in person
    return request.user
