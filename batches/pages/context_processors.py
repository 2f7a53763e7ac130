"""What every page needs: the chosen theme, the clock of the server, and which part of the site it is in."""

from django.http import HttpRequest
from django.utils import timezone

THEMES = ("auto", "light", "dark")
# Where the first part of the path is not the section.
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
