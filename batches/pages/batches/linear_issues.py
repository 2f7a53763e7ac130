"""The button that asks for the issues of a batch in Linear."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST

from batches.core.text import words
from batches.integrations import linear_issues
from batches.pages.batches.batch import find_batch, page_of
from batches.pages.common import act, actor_of


@require_POST
def request_issues(request: HttpRequest, number: int) -> HttpResponse:
    batch = find_batch(number)

    def verb() -> str:
        number_of_issues = linear_issues.request_issues(batch=batch, actor=actor_of(request))
        return f"{words.counted(number_of_issues, 'Linear issue')} will be created within seconds."

    return act(request, verb, page_of(number))
