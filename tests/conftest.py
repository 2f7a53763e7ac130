"""Fixtures that every room may use."""

import atexit
import gc
import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

from subagents import own_git
from tests.installation import Installation

# With CE_NO_SKIPS=1 (what .ci/run sets) a test that needs a browser, a database or processes may not be skipped.
NEVER_SKIPPED = ("process", "browser", "engine", "chaos", "django_db")


def pytest_configure(config):
    from django.conf import settings

    # A password's hash is slow by design, 0.4 s; installations, which are processes of their own, keep Django's.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    # The pages of each test process are its own: what one has counted is no answer to another one's database.
    pages = tempfile.mkdtemp(prefix="ce-test-pages-")
    atexit.register(shutil.rmtree, pages, ignore_errors=True)
    settings.CACHES["default"]["LOCATION"] = pages


def pytest_collection_finish():
    """All that was imported and collected stays to the end: the collector need not look through it again and again."""
    gc.freeze()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CE_NO_SKIPS") == "1" and report.skipped and not hasattr(report, "wasxfail"):
        marks = [name for name in NEVER_SKIPPED if item.get_closest_marker(name)]
        if marks:
            reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
            report.outcome = "failed"
            report.longrepr = f"CE_NO_SKIPS=1, and this test ({', '.join(marks)}) was skipped: {reason}"


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector):
    """A module that skips itself whole has no items to look at: with CE_NO_SKIPS=1 that is a failure too."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CE_NO_SKIPS") == "1" and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"CE_NO_SKIPS=1, and {collector.nodeid} skipped itself: {report.longrepr}"


@pytest.fixture(autouse=True, scope="session")
def own_git_beside_the_other_samples(tmp_path_factory):
    """The samples' repositories are gone after the run, and what git was given for them with them."""
    own_git.keep_in(str(tmp_path_factory.mktemp("git")))


@pytest.fixture
def installation(tmp_path) -> Iterator[Installation]:
    """A whole running installation of its own: bootstrapped, web and cluster up, stopped and removed at the end."""
    made = Installation(tmp_path / "installation")
    try:
        made.bootstrap()
        made.start()
        yield made
    finally:
        made.remove()
