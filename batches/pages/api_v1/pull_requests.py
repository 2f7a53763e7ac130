"""Version 1: the pull request of a batch at the code host."""

from django.http import HttpRequest, HttpResponse

from batches.pages.api import pull_requests as shared
from batches.pages.api_v1.application import actor_of, api
from batches.pages.api_v1.shapes import AskForPullRequest, Begun, GiveRemarks, Number, PullRequestShape

TAGS = ["after the execution"]


@api.get(
    "batches/{int:number}/pull-request/", response=PullRequestShape, url_name="pull_request", tags=TAGS, summary="Read the pull request"
)
def pull_request(request: HttpRequest, number: Number) -> HttpResponse:
    """The batch's newest pull request with its checks and open remarks; `status` is null without one."""
    return shared.pull_request(request, actor_of(request), number)


@api.post(
    "batches/{int:number}/pull-request/",
    response={202: PullRequestShape},
    url_name="pull_request",
    tags=TAGS,
    summary="Open a pull request",
)
def ask_for_pull_request(request: HttpRequest, number: Number, sent: AskForPullRequest) -> HttpResponse:
    """Have it opened, or brought up to date."""
    return shared.ask_for(request, actor_of(request), number)


@api.post(
    "batches/{int:number}/pull-request/remarks/",
    response={202: Begun},
    url_name="pull_request_remarks",
    tags=TAGS,
    summary="Give remarks to agents",
)
def give_remarks(request: HttpRequest, number: Number, sent: GiveRemarks) -> HttpResponse:
    """Have agents work on failed checks and comments that came back."""
    return shared.give(request, actor_of(request), number)
