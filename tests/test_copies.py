"""A copied data directory, a second host and a lost office, as the person at the terminal sees them: real processes."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ce_web.cluster import EXIT_REFUSED
from tests.installation import Installation, free_port
from tests.patience import PATIENCE

pytestmark = pytest.mark.engine


@contextmanager
def started(folder: Path) -> Iterator[Installation]:
    made = Installation(folder / "installation")
    try:
        made.bootstrap("--no-sample")
        made.start()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One that all tests leave as it is."""
    with started(tmp_path_factory.mktemp("copies")) as made:
        yield made


def test_a_copy_started_beside_the_original_is_told_what_it_is_and_runs_nothing(running, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(running.data, copy, ignore=lambda folder, names: [name for name in names if name.endswith((".sock", "-wal", "-shm"))])
    elsewhere = {"CE_DATA_DIR": str(copy)} | ({} if running.database_url.startswith("p") else {"DATABASE_URL": f"sqlite:///{copy}/db.sqlite3"})
    for command in (("up", "--port", str(free_port())), ("cluster",)):
        told = running.manage(*command, check=False, timeout=60, **elsewhere)
        assert told.returncode == EXIT_REFUSED and "Traceback" not in told.stderr, told.stderr
        assert f"{copy} is a copy of the data directory {running.data}" in told.stderr and "manage.py adopt" in told.stderr
    running.wait(running.answers, 60, "the original answers")


def test_a_second_host_on_the_database_takes_nothing_with_its_own_key_and_with_the_right_one(running, tmp_path):
    second = {"CE_DATA_DIR": str(tmp_path / "second"), "CE_HOST": "second-host"}
    (tmp_path / "second").mkdir(mode=0o700)
    told = running.manage("up", "--port", str(free_port()), check=False, timeout=60, **second)
    assert told.returncode == EXIT_REFUSED and "The secret key of" in told.stderr and str(running.data) in told.stderr
    shutil.copy(running.data / "secret_key", tmp_path / "second" / "secret_key")
    told = running.manage("up", "--port", str(free_port()), check=False, timeout=60, **second)
    assert told.returncode == EXIT_REFUSED and f"driven by another data directory: {running.data} on {running.host}" in told.stderr
    assert "up --no-cluster" in told.stderr and "Traceback" not in told.stderr


def test_a_cluster_stops_by_itself_when_another_data_directory_was_adopted(tmp_path):
    with started(tmp_path) as running:
        _adopted_elsewhere(running)


def _adopted_elsewhere(running: Installation) -> None:
    running.shell("from batches.models import Installation; Installation.objects.update(directory='f' * 32)")
    assert running.process.wait(60 * PATIENCE) == EXIT_REFUSED, running.log
    assert "no longer drives the runs" in running.log and "cluster does not start; above it says why" in running.log
    assert running.log.count("driven by another data directory") == 1, "it was not tried over and over"
