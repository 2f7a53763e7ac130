"""Live pages: only what changed is sent, out of band, so that what the reader opened and wrote stays.

A page is a set of named pieces. Ids of inner pieces are "outer/inner"; the shape of an outer piece is its own markup
with markers in it (core/text/fragments.py). Of a piece that grows at its end, a log, only the new entries are sent, and
what is selected stays.
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
_AGE_WORDS = re.compile(r"(<time [^>]*data-age=[^>]*>)[^<]*")
_locks = [threading.Lock() for _ in range(64)]  # a version is rendered once, not once for each watcher
_refreshing = [threading.Lock() for _ in range(64)]

# A page that many watch changes more often than it can be rendered. So a look that took t is not repeated for REST times t,
# at most for REST_SECONDS: what polls are told is at most that and LINGER_SECONDS old. A page that is opened is always rendered as it is.
REST, REST_SECONDS = 5.0, 1.0
CLAIM_SECONDS = 5  # a process that was killed while it rendered keeps the others waiting for so long at most
LINGER_SECONDS = 1.0  # for so long after its rest a look is still good enough to go on with while it is rendered anew
KEPT = 200  # pages whose latest look this process remembers


@dataclass(slots=True)
class Look:
    """What a page showed when it was last rendered here, when that was (monotonic clock), and what polls were answered."""

    version: str
    pieces: Mapping[str, str]
    at: float
    rest_seconds: float
    answers: dict[str, list[str]] = field(default_factory=dict)  # {version seen: markup}


_looks: dict[str, Look] = {}


def look(key: str, seen: str, refresh: Callable[[], tuple[str, Mapping[str, str]]]) -> Look:
    """The page now, or a moment ago: never older than the version `seen`, and rendered by one of all who ask at once.

    `refresh` gives the version and the pieces as they are. What has rested is rendered in a thread of its own when the one
    who asks can be told what was known just before, so that none of many watchers waits for it.
    """
    known = _looks.get(key)
    usable = known is not None and _number(known.version) >= _number(seen)
    age = time.monotonic() - known.at if known is not None else 0.0
    if known is not None and usable and age < known.rest_seconds:
        return known
    lock = _refreshing[hash(key) % len(_refreshing)]
    if not lock.acquire(blocking=not usable):
        assert known is not None
        return known  # somebody is at it
    if known is not None and usable and known.rest_seconds and age < known.rest_seconds + LINGER_SECONDS:
        threading.Thread(target=_refresh_aside, args=(key, seen, refresh, lock), daemon=True).start()
        return known
    try:
        again = _looks.get(key)
        if again is not None and again is not known and _number(again.version) >= _number(seen):
            return again  # somebody was at it
        return _refresh(key, seen, refresh)
    finally:
        lock.release()


def _refresh_aside(key: str, seen: str, refresh: Callable[[], tuple[str, Mapping[str, str]]], lock: threading.Lock) -> None:
    try:
        _refresh(key, seen, refresh)
    finally:
        lock.release()
        connections.close_all()  # of this thread


def _refresh(key: str, seen: str, refresh: Callable[[], tuple[str, Mapping[str, str]]]) -> Look:
    """Render, unless another process of this host has just done so, or is at it and there is something to go on with."""
    if (other := _look_of_another_process(key, seen)) is not None:
        return other
    known = _looks.get(key)
    if not cache.add(f"rendering:{key}", 1, CLAIM_SECONDS) and known is not None and _number(known.version) >= _number(seen):
        return known
    began = time.monotonic()
    version, pieces = refresh()
    cache.delete(f"rendering:{key}")
    return remember(key, version, pieces, time.monotonic() - began)


def _look_of_another_process(key: str, seen: str) -> Look | None:
    """What another process of this host rendered a moment ago, as a look of this one's own."""
    version, at, rest = cache.get(f"look:{key}") or ("", 0.0, 0.0)
    age = time.time() - at
    if not 0 <= age < rest or _number(version) < _number(seen):
        return None
    pieces = cache.get(_name(key, version))
    if pieces is None:
        return None
    made = _keep(key, Look(version, pieces, time.monotonic() - age, rest))
    return made if _number(made.version) >= _number(seen) else None


def remember(key: str, version: str, pieces: Mapping[str, str], took_seconds: float) -> Look:
    """Keep what was rendered for the polls that follow, unless a later version is kept."""
    rest = min(REST_SECONDS, REST * took_seconds)
    if rest:
        cache.set(f"look:{key}", (version, time.time(), rest), CLAIM_SECONDS)
    return _keep(key, Look(version, pieces, time.monotonic(), rest))


def _keep(key: str, made: Look) -> Look:
    """Put it in place of what was kept of an earlier version; of the same one the answers stay."""
    kept = _looks.get(key)
    if kept is not None and kept.version == made.version:
        kept.at, kept.rest_seconds = made.at, made.rest_seconds
        return kept
    if kept is not None and _number(kept.version) > _number(made.version):
        return kept
    _looks[key] = made
    while len(_looks) > KEPT:
        _looks.pop(next(iter(_looks)), None)
    return made


def answer(key: str, seen: str, told: Look) -> list[str]:
    """Markup to send to a page that shows version `seen`; what many pages ask alike is found out once."""
    found = told.answers.get(seen)
    if found is None:
        found = changed_since(key, seen, told.pieces)
        if len(told.answers) < KEPT:
            told.answers[seen] = found
    return found


def _number(version: str) -> int:
    """The batch's own version in what a page compares; 0 for what is none."""
    return read_number(version.partition("-")[0]) or 0


def cached_pieces(key: str, version: str, render: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The pieces of this version, from the cache, or rendered by the first who asks while the others wait."""
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
    """Markup to send to a page that shows version `seen`; everything when that version is not remembered."""
    known: Mapping[str, str] = cache.get(_name(key, seen)) or {}
    return changed(known, current)


def changed(known: Mapping[str, str], current: Mapping[str, str]) -> list[str]:
    """The pieces of `current` that differ from `known`, an outer one whole when its own shape changed."""
    found = []
    for name, html in current.items():
        outer = name.partition("/")[0]
        if outer == name:
            if _settled(known.get(name)) != _settled(html):
                found.append(_grown(known.get(name), html) or with_inner(current, name))
        elif _settled(known.get(outer)) == _settled(current[outer]) and _settled(known.get(name)) != _settled(html):
            found.append(_grown(known.get(name), html) or html)
    return [html.replace(OOB, ' hx-swap-oob="true"').replace(LINE, "") for html in found]


def _grown(known: str | None, html: str) -> str | None:
    """The entries that are new, to be added at the end; None when this is not all that has changed."""
    if known is None or LINE not in known or LINE not in html:
        return None
    (head, *before), (same_head, *now) = known.split(LINE), html.split(LINE)
    if head != same_head or not head.endswith(">"):
        return None
    tag = head[1:].partition(" ")[0].partition("<")[0]
    end = f"</{tag}>"
    old = Counter(entry.removesuffix(end) for entry in before)
    new = []
    for entry in (entry.removesuffix(end) for entry in now):
        if old[entry]:
            old[entry] -= 1
        else:
            new.append(entry)
    return head.replace(OOB, ' hx-swap-oob="beforeend"') + "".join(new) + end if len(new) < len(now) else None


def _settled(html: str | None) -> str | None:
    """`html` without the words of its ages: they tick in the browser, and are no news."""
    return None if html is None else _AGE_WORDS.sub(r"\1", html)


def _name(key: str, version: str) -> str:
    plain = "".join(letter for letter in version[:200] if letter.isascii() and (letter.isalnum() or letter in ".-"))
    return f"live:{key}:{plain}"
