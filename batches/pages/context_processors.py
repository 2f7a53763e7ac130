"""Template context of every page: the theme, the server's time, and the section of the site."""

from django.http import HttpRequest
from django.utils import timezone

THEMES = ("auto", "light", "dark")
# Paths whose first part is not the name of the section.
SECTIONS = {"new-project": "projects", "users": "settings", "audit": "settings", "audit.csv": "settings"}


def page(request: HttpRequest) -> dict[str, object]:
    """Context of base.html. The theme comes from a cookie, so that the first paint has the right colours."""
    theme = request.COOKIES.get("theme", "auto")
    path = request.path
    return {
        "theme": theme if theme in THEMES else "auto",
        "server_now": timezone.now(),
        "section": SECTIONS.get(part := path.strip("/").partition("/")[0], part),
    }
