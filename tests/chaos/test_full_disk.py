"""The disk under the database is full while a batch runs: nothing is lost, a page says it, and work goes on when there is room."""

import os
import shutil
import subprocess
import sys

import pytest

from tests.patience import PATIENCE

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.engine,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(os.environ.get("DATABASE_URL", "").startswith("postgres"), reason="the database is a file on that disk"),
]
IN_A_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


def why_not() -> str:
    """Why no file system can be mounted here; "" when one can."""
    if not shutil.which("unshare"):
        return "unshare is not installed"
    tried = subprocess.run([*IN_A_NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True)
    return tried.stderr.strip() if tried.returncode else ""


@pytest.mark.skipif("why_not()", reason="this machine allows no mount in a namespace of one's own")
def test_a_full_disk_under_the_database_loses_nothing_and_work_goes_on(tmp_path):
    argv = [*IN_A_NAMESPACE, sys.executable, "-m", "tests.chaos.full_disk", str(tmp_path)]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "ce_web.settings", "CE_DATA_DIR": str(tmp_path / "none")}
    done = subprocess.run(argv, capture_output=True, text=True, timeout=280 * PATIENCE, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
