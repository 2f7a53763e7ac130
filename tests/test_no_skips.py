"""CE_NO_SKIPS=1: what needs a browser, a database or processes may not be skipped unseen."""

import os
import subprocess
import sys

import pytest

from tests.installation import ROOT
from tests.patience import PATIENCE

MODULE = {
    "in the test": "import pytest\n@pytest.mark.browser\ndef test_it():\n    pytest.skip('no browser here')\n",
    "by a mark": "import pytest\n@pytest.mark.django_db\n@pytest.mark.skipif(True, reason='no browser here')\ndef test_it(): pass\n",
    "as a module": "import pytest\npytest.skip('no browser here', allow_module_level=True)\n",
}
UNMARKED = "import pytest\ndef test_it():\n    pytest.skip('not on this system')\n"


def run(tmp_path, source: str, no_skips: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "conftest.py").write_text("from tests.conftest import *\n")
    (tmp_path / "test_it.py").write_text(source)
    (tmp_path / "test_other.py").write_text("def test_other(): pass\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    browser: x\n    django_db: x\n")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "CE_NO_SKIPS": no_skips}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:django", "-p", "no:cacheprovider", str(tmp_path)]
    return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60 * PATIENCE)


@pytest.mark.process
@pytest.mark.parametrize("how", MODULE)
def test_a_skip_is_a_failure_when_nothing_may_be_skipped(tmp_path, how):
    done = run(tmp_path, MODULE[how], no_skips="1")
    assert done.returncode != 0 and "CE_NO_SKIPS=1" in done.stdout and "no browser here" in done.stdout


@pytest.mark.process
@pytest.mark.parametrize("how", MODULE)
def test_a_skip_is_a_skip_otherwise(tmp_path, how):
    assert run(tmp_path, MODULE[how], no_skips="").returncode == 0


@pytest.mark.process
def test_a_skip_that_needs_none_of_these_stays_one(tmp_path):
    assert run(tmp_path, UNMARKED, no_skips="1").returncode == 0
