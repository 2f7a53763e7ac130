"""Templates are indented for their readers; browsers get them without: whitespace that nobody sees is dropped as they are loaded.

Without this a page is up to twice as large. It costs nothing when a page is rendered.
"""

import re

from django.conf import settings
from django.template import Origin
from django.template.loader import get_template
from django.template.loaders.filesystem import Loader
from django.urls import reverse

_AS_WRITTEN = re.compile(r"(<(pre|textarea)\b.*?</\2>)", re.DOTALL)  # every space counts there
_LINE_BREAK = re.compile(r"\s*\n\s*")
_LOADED = re.compile(r"(\{% (?:load|extends) [^%]*%\})\s+")
_ALONE = re.compile(r"\n(?=\{% (?:if|elif|else|endif|for|empty|endfor|with|endwith|block|endblock)\b[^%]*%\}\n)")


def squeeze(source: str) -> str:
    """`source` with one space for each line break and its indentation, and none at its ends.

    A template tag that stands alone on its line gives no output, so one space beside it is enough. Inside a line nothing
    changes, and a line break stays a space: one between two words or elements can be seen.
    """
    parts = _AS_WRITTEN.split(source.strip())
    for place in range(0, len(parts), 3):  # text, the element as it is, its name, text, ...
        text = _LINE_BREAK.sub("\n", _LOADED.sub(r"\1", parts[place]))
        parts[place] = _ALONE.sub("", text).replace("\n", " ")
    del parts[2::3]
    return "".join(parts)


class SqueezingLoader(Loader):
    """Reads the project's templates; those of packages come as they are."""

    def get_contents(self, origin: Origin) -> str:
        return squeeze(super().get_contents(origin))


def load_pages() -> None:
    """Import all pages, compile their addresses and templates as a worker starts: its first visitor does not wait for that, 0.8 s."""
    for page in ("batches:list", "admin:index"):
        reverse(page)
    folder = settings.FILES_DIR / "templates"
    for path in sorted(folder.rglob("*.html")):
        get_template(str(path.relative_to(folder)))
