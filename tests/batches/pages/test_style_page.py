"""The style page: every component in every state and both themes, with DEBUG only."""

import importlib

import pytest
from django.urls import clear_url_caches

from batches.core.text.state_styles import STATE_STYLES
from ce_web import urls
from tests.batches import builders

pytestmark = pytest.mark.django_db


@pytest.fixture
def debug(settings):
    def wanted(on: bool) -> None:
        settings.DEBUG = on
        importlib.reload(urls)
        clear_url_caches()

    yield wanted
    wanted(False)


def test_every_state_is_shown_in_both_themes_and_nothing_is_there_without_debug(client, debug):
    client.force_login(builders.make_user())
    assert client.get("/style/").status_code == 404
    debug(True)
    page = client.get("/style/").text
    words = {style.word for style in STATE_STYLES.values()}
    assert [word for word in words if page.count(f"</span>{word}</span>") < 2] == []
    assert 'class="as-light' in page and 'class="as-dark' in page and page.count("errorlist") >= 4
