"""The ticker killed at every line of the engine, once each: what it had begun is neither lost nor done twice."""

import pytest

from tests.batches.world import phase, plan
from tests.chaos.checks import faults
from tests.chaos.site import Site
from tests.installation import ROOT
from tests.patience import PATIENCE

pytestmark = [pytest.mark.chaos, pytest.mark.engine]

TEXT = plan(
    phase("1", steps=("mkdir -p parts; echo 1 > parts/1.txt",), files="parts/1.txt", gates=("`test -f parts/1.txt`",)),
    phase(
        "2a",
        needs="1",
        # Its wrapper is killed once, so the ways of a crash are gone as well.
        steps=(
            'test -e "{once}" || {{ touch "{once}"; kill -9 $(ps -o ppid= -p $PPID); sleep 9; }}',
            "mkdir -p parts; echo 2 > parts/2a.txt",
        ),
        files="parts/2a.txt",
        gates=("`test -f parts/2a.txt`",),
    ),
    phase("2b", needs="1", steps=("mkdir -p parts; echo 2 > parts/2b.txt",), files="parts/2b.txt", gates=("`test -f parts/2b.txt`",)),
    phase("3", needs="2a, 2b", steps=("mkdir -p parts; echo 3 > parts/3.txt",), files="parts/3.txt"),
    title="Killed at every line",
)


@pytest.mark.timeout(1200)
def test_ticker_killed_at_every_line_loses_nothing_and_does_nothing_twice(site: Site):
    story = site.directory / "story"
    site.start_batch(TEXT.format(once=site.directory / "once"))
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from tests.chaos.line_killer import main; "
    code += f"main(2, {str(story)!r}, {240 * PATIENCE})"
    deaths = int(site.manage("shell", "--no-imports", "-c", code, timeout=300 * PATIENCE).stdout)
    print(f"{deaths} tickers killed, each at another line")
    assert deaths > 150
    dump = site.dump()
    assert [run["state"] for run in dump] == ["succeeded", "succeeded"], dump
    wrong = faults(site, dump, audited=False)
    assert not wrong, "\n".join(wrong)
    site.wait(lambda: not site.agents(), 2, "nothing is left running")
