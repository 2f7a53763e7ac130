"""Everything is destroyed between backup and restore; then the batch goes on, and nothing is merged twice. Real processes."""

import contextlib
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.batches.world import phase, plan
from tests.chaos.site import AUDITED_STEP, Site
from tests.installation import _execute, wait_for

pytestmark = pytest.mark.chaos


def destroy(site: Site) -> None:
    """The machine is lost: processes, data directory, database."""

    def none_left() -> bool:
        left = site.agents()
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, 9)
        return not left

    site.kill_everything()
    wait_for(none_left, 20, "no process of an attempt is left")
    shutil.rmtree(site.data)
    site.data.mkdir(mode=0o700)
    if site._server:
        _execute(site._server, f'DROP DATABASE "{site._database}" WITH (FORCE)')
        _execute(site._server, f'CREATE DATABASE "{site._database}"')


def waiting_plan(site: Site) -> str:
    """1, then 2 and 3 until the file `second` is there, then 4 until the file `third` is."""
    needs = {"1": "None", "2": "Phase 1", "3": "Phase 1", "4": "Phase 2, Phase 3"}
    waits_for = {"2": "second", "3": "second", "4": "third"}
    phases = []
    for key, before in needs.items():
        pause = f"0; while [ ! -e {site.audit}/{waits_for[key]} ]; do sleep 0.1; done" if key in waits_for else "0"
        script = AUDITED_STEP.format(audit=site.audit, batch=1, key=key, seconds=pause)
        phases.append(phase(key, needs=before, files=f"parts/{key}.txt", steps=(script,)))
    return plan(*phases, title="Audited work that waits")


def starts(site: Site) -> Counter[str]:
    lines = (site.audit / "1.log").read_text().splitlines() if (site.audit / "1.log").exists() else []
    return Counter(line.split()[1] for line in lines if line.startswith("START"))


@pytest.mark.parametrize("repository", ["is lost, too", "survives and holds more than the backup"])
def test_after_backup_loss_and_restore_the_batch_goes_on_and_nothing_is_merged_twice(site: Site, tmp_path: Path, repository: str):
    """The backup is taken while 2 and 3 run. Where the repository survives they are merged after it, and 4 runs."""
    survives = repository.startswith("survives")
    file = tmp_path / "backup.tar"
    site.start()
    batch = site.start_batch(waiting_plan(site))
    site.wait(lambda: starts(site) == {"1": 1, "2": 1, "3": 1}, 120, "1 is merged, 2 and 3 run")
    said = site.manage("backup", str(file)).stdout
    assert "Project Chaos: " in said and "keep it as safe as the server" in said and file.stat().st_mode & 0o777 == 0o600
    if survives:
        (site.audit / "second").touch()
        site.wait(lambda: starts(site)["4"], 120, "2 and 3 are merged, 4 runs")
    destroy(site)
    if not survives:
        shutil.rmtree(site.user_repository)
    for name in ("second", "third"):
        (site.audit / name).touch()

    told = site.manage("restore", str(file)).stdout
    assert "Batch 1 goes on with run 2" in told and "1 of 4 phases are done" in told and "were merged since: 2, 3, 4." in told
    assert "It drives the runs of this database from now on." in told and ("was gone; made anew" in told) is not survives
    site.start(seconds=60)
    site.wait(lambda: site.execution_state(batch) or site.stuck(batch), 200, "the batch ends")
    assert site.execution_state(batch) == "succeeded", site.stuck(batch)
    assert site.stop() == 0
    refs = site.git("log", "--format=%(trailers:key=CE-Attempt,valueonly)", "ce/batch-1").split()
    assert Counter(ref.split("/")[-2] for ref in refs if "/run-2/" in ref) == {"1": 1, "2": 1, "3": 1, "4": 1}, "each is merged once"
    assert starts(site) == ({"1": 1, "2": 1, "3": 1, "4": 2} if survives else {"1": 1, "2": 2, "3": 2, "4": 1})


def test_a_backup_is_refused_where_it_does_not_fit(site: Site, tmp_path: Path):
    file = tmp_path / "backup.tar"
    site.manage("backup", str(file), "--without-key")
    for arguments, environment, reason in (
        (("restore", str(file)), {}, "--replace replaces all of it"),
        (("restore", str(file), "--replace"), {"SECRET_KEY": "k" * 60}, "The secret key here is not the backup's"),
        (("restore", str(site.log_path.with_name("none.tar"))), {}, "There is no file"),
        (("backup", str(file)), {}, "is there already"),
    ):
        refused = site.manage(*arguments, check=False, **environment)
        assert refused.returncode == 1 and reason in refused.stderr and "Traceback" not in refused.stderr, refused.stderr
    assert "Restored." in site.manage("restore", str(file), "--replace").stdout
