"""A whole installation whose data directory is a small file system that is filled while a batch runs.

`unshare -Urm python -m tests.chaos.full_disk FOLDER`: the file system exists in that mount namespace only.
"""

import os
import random
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import django

from tests.patience import PATIENCE

if __name__ == "__main__":
    django.setup()  # what the tests share imports our tables

from tests.chaos.checks import faults
from tests.chaos.site import Site
from tests.chaos.test_outages import Browser

SIZE_MB = 48
SAID = "the database could not be written (database or disk is full)"


def fill(path: Path) -> None:
    """Write until nothing more fits."""
    with path.open("wb", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"\0" * size)
            except OSError:
                continue


def press(browser: Browser, path: str, page: str) -> str:
    """What a person reads who presses the button that leads to `path` on `page`, whatever the status is."""
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(page))
    assert token, f"no form at {page}"
    data = urllib.parse.urlencode({"csrfmiddlewaretoken": token.group(1)}).encode()
    request = urllib.request.Request(browser.site.url + path, data, {"Referer": browser.site.url + page})
    try:
        with browser.opener.open(request, timeout=60 * PATIENCE) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()


def main(folder: Path) -> None:
    site = Site(folder / "installation", CE_SILENCE_SECONDS="20", CE_HEARTBEAT_SECONDS="1", CE_SANDBOX="rlimit")
    shutil.copytree(site.data, folder / "before")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_MB}m,mode=700", "none", str(site.data)], check=True)
    shutil.copytree(folder / "before", site.data, dirs_exist_ok=True)
    try:
        site.prepare()
        site.start()
        browser = Browser(site)
        assert browser.post("/sign-in/", username="admin", password=site.password) == 200
        batch = site.start_batch(site.audited_plan(1, (2, 2, 2), random.Random(1), seconds=(2.0, 3.0)))
        log = site.audit / "1.log"
        site.wait(lambda: log.exists() and "START" in log.read_text(), 60, "a phase is at work")
        before = site.query("SELECT count(*) FROM batches_transition")[0][0]
        fill(site.data / "filler")
        said = press(browser, f"/batches/{batch}/pause/", f"/batches/{batch}/")
        assert SAID in said, said[-3000:]
        assert site.query("SELECT count(*) FROM batches_transition")[0][0] >= before, "nothing is lost"
        site.wait(lambda: not site.agents(), 90, "what was at work has ended, one way or the other")
        os.unlink(site.data / "filler")
        site.wait(lambda: site.execution_state(batch) or site.stuck(batch), 150, f"batch {batch} has ended")
        assert not site.stuck(batch), site.stuck(batch) + site.log[-4000:]
        assert site.execution_state(batch) == "succeeded"
        assert site.stop() == 0
        wrong = faults(site, site.dump())
        assert not wrong, "\n".join(wrong)
        assert site.query("PRAGMA integrity_check") == [("ok",)]
        sys.stdout.write(f"phases begun {log.read_text().count('START')}, ended {log.read_text().count('END')}\n")
    except BaseException:
        sys.stderr.write(site.log[-9000:])
        raise
    finally:
        site.remove()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
