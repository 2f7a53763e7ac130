"""The markup of a live page's fragments: how inner fragments stand in outer ones, and the markers that say so.

Ids of inner fragments are "outer/inner". INNER stands where they go, OOB where htmx's attribute goes when a fragment is
sent alone, and LINE before each entry of a fragment that grows at its end. Escaped text never holds them: it has no "<" and
no quote.
"""

from collections.abc import Mapping

INNER, OOB, LINE = "<!--inner-->", 'hx-swap-oob="live"', "<!--line-->"


def render_all(fragments: Mapping[str, str], *names: str) -> str:
    """The named fragments with their inner ones in place, without markers, for the first render of a page."""
    return "".join(with_inner(fragments, name) for name in names).replace(OOB, "").replace(LINE, "")


def with_inner(fragments: Mapping[str, str], name: str) -> str:
    """One fragment with its inner ones in place."""
    inner = "".join(markup for other, markup in fragments.items() if other.startswith(f"{name}/"))
    return fragments[name].replace(INNER, inner)
