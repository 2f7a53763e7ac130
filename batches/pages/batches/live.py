"""Live pages: a poll gets only the fragments that changed, out of band, so that what the reader opened or typed stays.

A page is a set of named fragments. Ids of inner fragments are "outer/inner"; an outer fragment contains markers for its inner
ones (core/text/fragments.py). If a fragment only got new lines at its end, as a log does, only these lines are sent, so that
selected text stays selected.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from django.core.cache import cache
from django.db import connections

from batches.core.text.fragments import LINE, OOB, with_inner
from batches.pages.common import read_number

STOP_POLLING = 286  # htmx: swap this answer and ask no more
CACHE_SECONDS = 600
_FIRST_TAG = re.compile(r"\s*<(\w+)")
_AGE_WORDS = re.compile(r"(<time [^>]*data-age=[^>]*>)[^<]*")
_locks = [threading.Lock() for _ in range(64)]  # render each version once, not once per viewer
_refreshing = [threading.Lock() for _ in range(64)]

# A page with many viewers may change faster than it can be rendered. After a rendering that took t seconds, polls get the same
# page for REST * t seconds, at most REST_SECONDS, plus up to LINGER_SECONDS while it is rendered again. Opening a page always renders it.
REST, REST_SECONDS = 5.0, 1.0
CLAIM_SECONDS = 5  # longest wait for a process that was killed while rendering
LINGER_SECONDS = 1.0  # how long an old page may be sent while the new one is rendered
KEPT = 200  # how many rendered pages this process keeps


@dataclass(slots=True)
class RenderedPage:
    """A page as last rendered by this process at `at` (monotonic clock), with the updates sent to polls."""

    version: str
    fragments: Mapping[str, str]
    at: float
    rest_seconds: float
    updates: dict[str, list[str]] = field(default_factory=dict)  # {version seen: markup}


_rendered: dict[str, RenderedPage] = {}


def fetch_page(key: str, seen: str, refresh: Callable[[], tuple[str, Mapping[str, str]]]) -> RenderedPage:
    """The page, at most a moment old and never older than the version `seen`. Only one of several concurrent requests renders it.

    `refresh` returns the current version and fragments. If the known page is recent enough to be sent, the new one is rendered
    in a thread, so that no viewer waits for it.
    """
    known = _rendered.get(key)
    usable = known is not None and _number(known.version) >= _number(seen)
    age = time.monotonic() - known.at if known is not None else 0.0
    if known is not None and usable and age < known.rest_seconds:
        return known
    lock = _refreshing[hash(key) % len(_refreshing)]
    if not lock.acquire(blocking=not usable):
        assert known is not None
        return known  # another thread renders it
    if known is not None and usable and known.rest_seconds and age < known.rest_seconds + LINGER_SECONDS:
        threading.Thread(target=_refresh_aside, args=(key, seen, refresh, lock), daemon=True).start()
        return known
    try:
        again = _rendered.get(key)
        if again is not None and again is not known and _number(again.version) >= _number(seen):
            return again  # another thread has just rendered it
        return _refresh(key, seen, refresh)
    finally:
        lock.release()


def _refresh_aside(key: str, seen: str, refresh: Callable[[], tuple[str, Mapping[str, str]]], lock: threading.Lock) -> None:
    try:
        _refresh(key, seen, refresh)
    finally:
        lock.release()
        connections.close_all()  # those of this thread


def _refresh(key: str, seen: str, refresh: Callable[[], tuple[str, Mapping[str, str]]]) -> RenderedPage:
    """Render, unless another process of this host has just done so, or is doing so and we have a page to send."""
    if (other := _page_of_another_process(key, seen)) is not None:
        return other
    known = _rendered.get(key)
    if not cache.add(f"rendering:{key}", 1, CLAIM_SECONDS) and known is not None and _number(known.version) >= _number(seen):
        return known
    began = time.monotonic()
    version, fragments = refresh()
    cache.delete(f"rendering:{key}")
    return remember(key, version, fragments, time.monotonic() - began)


def _page_of_another_process(key: str, seen: str) -> RenderedPage | None:
    """The page that another process of this host rendered a moment ago, if it is recent enough."""
    version, at, rest = cache.get(f"rendered:{key}") or ("", 0.0, 0.0)
    age = time.time() - at
    if not 0 <= age < rest or _number(version) < _number(seen):
        return None
    fragments = cache.get(_name(key, version))
    if fragments is None:
        return None
    made = _keep(key, RenderedPage(version, fragments, time.monotonic() - age, rest))
    return made if _number(made.version) >= _number(seen) else None


def remember(key: str, version: str, fragments: Mapping[str, str], took_seconds: float) -> RenderedPage:
    """Keep a rendered page for the next polls, unless a later version is there."""
    rest = min(REST_SECONDS, REST * took_seconds)
    if rest:
        cache.set(f"rendered:{key}", (version, time.time(), rest), CLAIM_SECONDS)
    return _keep(key, RenderedPage(version, fragments, time.monotonic(), rest))


def _keep(key: str, made: RenderedPage) -> RenderedPage:
    """Replace the page of an earlier version. For the same version keep the computed updates."""
    kept = _rendered.get(key)
    if kept is not None and kept.version == made.version:
        kept.at, kept.rest_seconds = made.at, made.rest_seconds
        return kept
    if kept is not None and _number(kept.version) > _number(made.version):
        return kept
    _rendered[key] = made
    while len(_rendered) > KEPT:
        _rendered.pop(next(iter(_rendered)), None)
    return made


def updates_since(key: str, seen: str, page: RenderedPage) -> list[str]:
    """Markup to send to a page that shows version `seen`, computed once for all such pages."""
    updates = page.updates.get(seen)
    if updates is None:
        updates = changed_since(key, seen, page.fragments)
        if len(page.updates) < KEPT:
            page.updates[seen] = updates
    return updates


def _number(version: str) -> int:
    """The batch's version number at the start of a page version; 0 if there is none."""
    return read_number(version.partition("-")[0]) or 0


def cached_fragments(key: str, version: str, render: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The fragments of this version, from the cache. The first request renders them while the others wait."""
    name = _name(key, version)
    found: dict[str, str] | None = cache.get(name)
    if found is not None:
        return found
    with _locks[hash(key) % len(_locks)]:
        found = cache.get(name)
        if found is None:
            found = render()
            cache.set(name, found, CACHE_SECONDS)
    return found


def changed_since(key: str, seen: str, current: Mapping[str, str]) -> list[str]:
    """Markup to send to a page that shows version `seen`; everything if that version is not in the cache."""
    known: Mapping[str, str] = cache.get(_name(key, seen)) or {}
    return changed(known, current)


def changed(known: Mapping[str, str], current: Mapping[str, str]) -> list[str]:
    """The fragments of `current` that differ from `known`; an outer one is sent with its inner ones."""
    found = []
    for name, html in current.items():
        outer = name.partition("/")[0]
        if outer == name:
            if _ignoring_ages(known.get(name)) != _ignoring_ages(html):
                found.append(_appended_lines(known.get(name), html) or with_inner(current, name))
        elif _ignoring_ages(known.get(outer)) == _ignoring_ages(current[outer]) and _ignoring_ages(known.get(name)) != _ignoring_ages(html):
            found.append(_appended_lines(known.get(name), html) or html)
    return [html.replace(OOB, 'hx-swap-oob="true"').replace(LINE, "") for html in found]


def _appended_lines(known: str | None, html: str) -> str | None:
    """Markup that appends the new lines of a fragment; None if anything else changed."""
    if known is None or LINE not in known or LINE not in html:
        return None
    (head, *before), (same_head, *now) = known.split(LINE), html.split(LINE)
    tag = _FIRST_TAG.match(head)
    if head != same_head or tag is None or not head.rstrip().endswith(">"):
        return None
    end = f"</{tag[1]}>"
    old = Counter(entry.rstrip().removesuffix(end).rstrip() for entry in before)
    new = []
    for entry in (entry.rstrip().removesuffix(end).rstrip() for entry in now):
        if old[entry]:
            old[entry] -= 1
        else:
            new.append(entry)
    return head.replace(OOB, 'hx-swap-oob="beforeend"') + "".join(new) + end if len(new) < len(now) else None


def _ignoring_ages(html: str | None) -> str | None:
    """`html` without the texts of ages, which the browser updates itself."""
    return None if html is None else _AGE_WORDS.sub(r"\1", html)


def _name(key: str, version: str) -> str:
    plain = "".join(letter for letter in version[:200] if letter.isascii() and (letter.isalnum() or letter in ".-"))
    return f"live:{key}:{plain}"
