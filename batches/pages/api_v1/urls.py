"""The addresses of version 1, and its document."""

from django.contrib.auth.decorators import login_not_required
from django.urls import URLPattern, path

from batches.pages.api_v1 import (  # noqa: F401 -- they register
    batches,
    events,
    gates,
    ideas,
    metrics,
    phases,
    plans,
    projects,
    pull_requests,
    webhooks,
)
from batches.pages.api_v1.application import guarded_urls, openapi

app_name = "api_v1"
urlpatterns: list[URLPattern] = [path("openapi.json", login_not_required(openapi), name="openapi")]
urlpatterns += guarded_urls()
