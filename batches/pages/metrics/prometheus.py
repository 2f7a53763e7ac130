"""What Prometheus collects, for whoever has a token (docs/metrics.md)."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from batches.metrics.prometheus import CONTENT_TYPE, exposition
from batches.pages.api.endpoint import for_token
from batches.pages.problems import problem


class Metrics:
    """The view: a token of any scope is enough, and it tells what its person may see."""

    csrf_exempt = True
    login_required = False  # a token is required instead

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return problem(405, "This address takes GET.", {"Allow": "GET"})
        return for_token(request, lambda _token: HttpResponse(exposition(timezone.now()), content_type=CONTENT_TYPE), problem)


metrics = Metrics()
