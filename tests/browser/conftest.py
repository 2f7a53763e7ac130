"""A real Chromium on a live server: what it asked for, what it complained about, whom it is signed in as."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from django.test import Client
from playwright.sync_api import Browser, Page, expect

from tests.batches import builders
from tests.batches.conftest import polls_are_told_what_is  # noqa: F401 -- a fixture, used by itself
from tests.browser.chromium import chromium
from tests.patience import PATIENCE

os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright's own loop runs in this thread
expect.set_options(timeout=5_000 * PATIENCE)


@dataclass
class Tab:
    """A page with what went wrong in it: foreign requests, console errors, policy violations."""

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)
    expected: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        self.page.goto(self.address + path)
        return self.page


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


@pytest.fixture
def user(transactional_db):
    return builders.make_user()


@pytest.fixture
def open_tab(browser, live_server, user, settings):
    """open_tab(theme=, size=, signed_in=, zone=) -> Tab; every fault it met fails the test at its end."""
    settings.CE_POLL_SECONDS = 0.3
    client = Client()
    client.force_login(user)
    session = client.cookies["sessionid"].value
    opened: list[tuple[Tab, object]] = []

    def make(*, theme: str = "light", size: tuple[int, int] = (1280, 860), signed_in: bool = True, zone: str | None = None) -> Tab:
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=theme, timezone_id=zone)
        context.set_default_timeout(30_000 * PATIENCE)
        if signed_in:
            context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        context.add_init_script(
            "document.addEventListener('securitypolicyviolation',"
            " event => console.error('policy: ' + event.violatedDirective + ' ' + event.blockedURI))"
        )
        tab = Tab(context.new_page(), live_server.url)
        ours = urlsplit(live_server.url).hostname
        tab.page.on("request", lambda request: urlsplit(request.url).hostname == ours or tab.faults.append(request.url))
        tab.page.on("console", lambda said: said.type == "error" and tab.faults.append(f"{said.text} {said.location['url']}"))
        tab.page.on("pageerror", lambda error: tab.faults.append(str(error)))
        opened.append((tab, context))
        return tab

    yield make
    faults = [fault for tab, _context in opened for fault in tab.faults if not any(known in fault for known in tab.expected)]
    for _tab, context in opened:
        context.close()
    assert not faults
