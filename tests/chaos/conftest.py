"""Fixtures of the chaos tests: an installation that may be killed at any moment, and what is to be true of it afterwards."""

from collections.abc import Iterator

import pytest

from tests.batches.conftest import repository, world  # noqa: F401 -- fixtures, used by their names
from tests.chaos.site import Site


@pytest.fixture
def site(tmp_path) -> Iterator[Site]:
    """A whole installation with a project of its own; settings as shipped but for the number of restarts after a crash."""
    made = Site(tmp_path / "installation", CE_CRASH_RESTARTS="1000", CE_SANDBOX="rlimit")
    try:
        made.prepare()
        yield made
    finally:
        made.remove()
