"""Two installations on one PostgreSQL database: a worker host is cut off, then killed for good, in the middle of a batch."""

import contextlib
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.chaos.checks import audit, illegal_moves, merges, unfinished
from tests.chaos.forwarder import Forwarder
from tests.chaos.site import Site
from tests.installation import wait_for

pytestmark = [pytest.mark.chaos, pytest.mark.engine, pytest.mark.timeout(1200)]
DEAD_MAN_SECONDS = 8
QUICK = {"CE_DEAD_MAN_SECONDS": str(DEAD_MAN_SECONDS), "CE_SANDBOX": "rlimit", "CE_HEARTBEAT_SECONDS": "1"}


class WorkerHost(Site):
    """A worker host of another site: its database, its key, a data directory and a clone of its own."""

    def __init__(self, directory: Path, main: Site, **environment: str) -> None:
        super().__init__(directory, CE_WORKER="1", **environment)
        shutil.copy(main.data / "secret_key", self.data / "secret_key")


def starts(site: Site) -> Counter[str]:
    log = site.audit / "1.log"
    lines = log.read_text().splitlines() if log.exists() else []
    return Counter(line.split()[1] for line in lines if line.startswith("START"))


def test_the_main_host_finishes_what_a_lost_worker_had_begun(tmp_path: Path):
    """Half of the batch is merged and pushed by the worker when it is cut off from the database, and then killed for good.

    Its attempts end themselves before the main host begins, and nothing is merged twice.
    """
    main = Site(tmp_path / "main", **QUICK)
    if not main.database_url.startswith("postgres"):
        refused = main.manage("cluster", check=False, CE_WORKER="1")  # SQLite stays one host
        assert refused.returncode == 78 and "this database is SQLite" in refused.stderr, refused.stderr
        main.remove()
        return
    address = urlsplit(main.database_url)
    between = Forwarder(address.hostname or "127.0.0.1", address.port or 5432)
    through = urlunsplit(address._replace(netloc=f"{address.username}@127.0.0.1:{between.port}"))
    main.prepare()
    worker = WorkerHost(tmp_path / "worker", main, DATABASE_URL=through, **QUICK)
    try:
        remote = tmp_path / "remote.git"
        subprocess.run(["git", "init", "-q", "--bare", str(remote)], check=True)
        main.start()
        worker.launch("--no-web")
        worker.wait_for_ticker(40)
        main.shell(f"from batches.models import Project; Project.objects.update(worker_hosts={worker.host!r}, remote={str(remote)!r})")
        text = main.audited_plan(1, (2, 2, 1), random.Random(5), seconds=(0.6, 1.2))
        main.start_batch(text, f"max_parallel=8, host={worker.host!r}")
        worker.audit = main.audit
        main.wait(lambda: sum(starts(main).values()) >= 3, 90, f"the worker is at work\n{worker.log[-4000:]}")
        agents = worker.agents()
        assert agents and not main.agents(), "all of it runs on the worker"
        between.refuse()
        wait_for(lambda: not worker.agents(), DEAD_MAN_SECONDS + 40, "the attempts there have ended themselves")
        assert not main.agents(), "and only then the main host begins"
        worker.kill_everything()
        main.wait(lambda: main.execution_state(1) or main.stuck(1), 200, "the batch ends")
        assert main.execution_state(1) == "succeeded", main.stuck(1)
        assert main.stop() == 0
        dump = main.dump()
        (run,) = (one for one in dump if one["operation"] == "execute")
        wrong = [*unfinished(run), *illegal_moves(run), *merges(main, run), *audit(main, run)]
        assert not wrong, "\n".join(wrong)
        hosts = {one["directory"].startswith(str(worker.data)) for task in run["tasks"] for one in task["attempts"] if one["merge_commit"]}
        assert hosts == {True, False}, "both have a part in it"
        assert main.state_of_user() == main.user_state
    finally:
        with contextlib.suppress(OSError):
            between.refuse()
        worker.remove()
        main.remove()
