"""Tools for agents of a project: MCP servers, allowed and denied tools, the web."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_http_methods

from batches.pages.projects.group_of_settings import settings_page
from batches.pages.projects.tools_form import ProjectTools


@require_http_methods(["GET", "HEAD", "POST"])
def project_tools(request: HttpRequest, slug: str) -> HttpResponse:
    """What Claude may use in the project besides files and commands."""
    applies = "Attempts that start from now on have them."
    return settings_page(request, slug, "project_tools", ProjectTools, lambda project, data: None, applies)
