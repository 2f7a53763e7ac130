"""Save the list of batches as it stands under a name, or forget it."""

from urllib.parse import urlencode

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, QueryDict
from django.urls import reverse
from django.views.decorators.http import require_POST

from batches.core.errors import ServiceError
from batches.models import SavedView
from batches.pages.common import act, read_number

VIEWS_EACH = 20  # saved views of a person
VIEWED = ("view", "project", "by", "operation", "since", "q", "sort")  # what of the address a saved view keeps


def query_of(asked: QueryDict) -> str:
    """The filters and the order of the list, in one spelling and without the page."""
    return urlencode(sorted((name, value) for name, value in asked.items() if value and name in VIEWED))


def own_views(request: HttpRequest) -> QuerySet[SavedView]:
    return SavedView.objects.filter(user=_person(request))


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User)  # all pages except sign-in require a signed-in person
    return request.user


@require_POST
def saved_views(request: HttpRequest) -> HttpResponse:
    """Save the list as it stands as `name` (again: replace it), or forget the view with the id `remove`."""
    own, back = own_views(request), reverse("batches:list")
    query = query_of(QueryDict(request.POST.get("query", "")))

    def verb() -> str:
        if (wanted := read_number(request.POST.get("remove"))) is not None:
            own.filter(pk=wanted).delete()
            return "The view is forgotten."
        name = " ".join(request.POST.get("name", "").split())[:40]
        if not name or len(query) > 600:
            raise ServiceError("A view needs a name." if not name else "This view has too long an address to save.")
        if own.count() >= VIEWS_EACH and not own.filter(name=name).exists():
            raise ServiceError(f"You have {VIEWS_EACH} saved views. Forget one that you no longer use.")
        own.update_or_create(name=name, defaults={"query": query}, create_defaults={"query": query, "user": _person(request)})
        return f"Saved as “{name}”."

    return act(request, verb, f"{back}?{query}" if query else back)
