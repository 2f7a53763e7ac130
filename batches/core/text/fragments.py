"""The markup of a live page's fragments: how outer fragments contain inner ones, and the markers for that.

The id of an inner fragment is "outer/inner". INNER marks where inner fragments go. OOB marks where htmx's attribute goes
when a fragment is sent alone. LINE stands before each entry of a fragment that grows at its end. Escaped text cannot
contain a marker: it has no "<" and no quote.
"""

from collections.abc import Mapping

INNER, OOB, LINE = "<!--inner-->", 'hx-swap-oob="live"', "<!--line-->"


def render_all(fragments: Mapping[str, str], *names: str) -> str:
    """The named fragments with their inner fragments and without markers, for the first rendering of a page."""
    return "".join(with_inner(fragments, name) for name in names).replace(OOB, "").replace(LINE, "")


def with_inner(fragments: Mapping[str, str], name: str) -> str:
    """One fragment with its inner fragments filled in."""
    inner = "".join(markup for other, markup in fragments.items() if other.startswith(f"{name}/"))
    return fragments[name].replace(INNER, inner)
