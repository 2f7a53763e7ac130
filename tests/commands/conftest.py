"""Two installations for all tests of this folder: one with `manage.py up` running, one where a command is the engine itself."""

from collections.abc import Iterator

import pytest

from tests.commands.driver import Driver
from tests.installation import Installation

SANDBOX = {"CE_SANDBOX": "rlimit"}  # steps signal by files outside their checkouts; the browser's tests run at the best level


@pytest.fixture(scope="package")
def served(tmp_path_factory) -> Iterator[Driver]:
    """Web and cluster are up: commands ask, and watch."""
    made = Installation(tmp_path_factory.mktemp("served") / "installation", **SANDBOX)
    try:
        made.bootstrap()
        made.start("--no-web")
        yield Driver(made)
    finally:
        made.remove()


@pytest.fixture(scope="package")
def alone(tmp_path_factory) -> Iterator[Driver]:
    """Nothing is up: a command that waits does the work itself meanwhile."""
    made = Installation(tmp_path_factory.mktemp("alone") / "installation", **SANDBOX)
    try:
        made.bootstrap()
        yield Driver(made)
    finally:
        made.remove()


@pytest.fixture(params=["served", "alone"])
def either(request) -> Driver:
    """Each of the two in turn."""
    return request.getfixturevalue(request.param)
