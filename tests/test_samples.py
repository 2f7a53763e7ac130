"""The sample project and the sample plans are real: the code runs, the plans say what their steps then do."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from batches.core.gates.binding import bind_gate
from batches.core.plans.graph import analyse
from batches.core.plans.reader import read_plan
from subagents.contract import GateKind
from subagents.make_repository import create_repository
from subagents.workspace import RepositoryProblem
from tests.installation import ROOT
from tests.patience import PATIENCE

EXAMPLES = ROOT / "examples"
FENCED = re.compile(r"^ *```bash\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


def files_of_sample() -> set[str]:
    top = EXAMPLES / "sample-project"
    return {str(path.relative_to(top)) for path in top.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def run(*argv: str, cwd, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a program as an attempt would: with nothing of this process's environment but the path."""
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(argv, cwd=cwd, env={"PATH": path}, capture_output=True, text=True, timeout=60 * PATIENCE)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def steps_of(plan: str) -> list[str]:
    """The commands of a sample plan in document order, un-indented as a markdown reader gives them."""
    text = (EXAMPLES / "plans" / plan).read_text(encoding="utf-8")
    return [re.sub(r"(?m)^ {3}", "", body) for body in FENCED.findall(text)]


@pytest.fixture
def sample(tmp_path):
    """The sample project as first run makes it."""
    from batches.management.commands.bootstrap import SAMPLE_COMMITS

    source = EXAMPLES / "sample-project"
    commits = [(message, {name: (source / name).read_bytes() for name in names}) for message, names in SAMPLE_COMMITS]
    create_repository(tmp_path / "sample", commits)
    return tmp_path / "sample"


@pytest.mark.process
def test_history_of_the_sample_holds_every_file_and_leaves_a_clean_tree(sample):
    assert set(run("git", "ls-files", cwd=sample).stdout.split()) == files_of_sample()
    assert run("git", "status", "--porcelain", cwd=sample).stdout == ""
    assert run("git", "branch", "--show-current", cwd=sample).stdout.strip() == "main"


@pytest.mark.process
def test_a_repository_is_never_made_over_something(sample):
    with pytest.raises(RepositoryProblem, match="exists already"):
        create_repository(sample, [("again", {"a": b""})])
    assert [path.name for path in sample.parent.iterdir()] == ["sample"]


@pytest.mark.process
def test_a_repository_that_cannot_be_made_leaves_nothing_behind(tmp_path):
    with pytest.raises(OSError):
        create_repository(tmp_path / "new", [("bad", {"a": b"", "a/b": b""})])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.process
def test_sample_passes_its_own_tests(sample):
    run(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=sample)


@pytest.mark.process
@pytest.mark.parametrize("plan", ["text-statistics.md", "file-conflict.md", "release-needs-approval.md"])
def test_steps_of_the_plan_run_in_order_and_the_tests_pass_after_them(sample, plan):
    commands = steps_of(plan)
    assert commands
    for command in commands:
        run("bash", "-euc", command, cwd=sample)
    run(sys.executable, "-m", "coverage", "run", "--source=.", "-m", "pytest", "-q", cwd=sample)
    if "coverage" in (EXAMPLES / "plans" / plan).read_text(encoding="utf-8"):
        run(sys.executable, "-m", "coverage", "report", "--fail-under=90", cwd=sample)


@pytest.mark.parametrize(
    ("plan", "stages", "codes", "conflicts"),
    [
        ("text-statistics.md", (("1",), ("2a", "2b"), ("3",)), [], []),
        ("file-conflict.md", (("1", "2"), ("3",)), [], ["CHANGELOG.md", "textstats/counting.py"]),
        ("release-needs-approval.md", (("1", "2"), ("3",)), [], []),
        ("cycle.md", (), ["cycle"], []),
    ],
)
def test_sample_plan_is_read_as_it_is_meant(plan, stages, codes, conflicts):
    reading = read_plan((EXAMPLES / "plans" / plan).read_bytes())
    analysis = analyse(reading.plan.phases)
    assert analysis.stages == stages
    assert [issue.code for issue in reading.errors] == codes and not reading.warnings
    assert [conflict.file for conflict in analysis.conflicts] == conflicts
    assert all(step.commands for phase in reading.plan.phases for step in phase.steps)
    assert [command for phase in reading.plan.phases for step in phase.steps for command in step.commands] == [
        command.rstrip("\n") for command in steps_of(plan)
    ]


def test_only_one_gate_of_all_sample_plans_is_one_that_nobody_can_check():
    unverified = []
    for path in sorted((EXAMPLES / "plans").glob("*.md")):
        for phase in read_plan(path.read_bytes()).plan.phases:
            bound = [bind_gate(position, gate.text, phase.files) for position, gate in enumerate(phase.gates, start=1)]
            unverified += [gate.text for gate in bound if gate.kind == GateKind.UNVERIFIED]
    assert unverified == ["The README tells a newcomer all there is to know"]


@pytest.mark.process
def test_release_check_refuses_until_somebody_has_signed_and_says_what_to_do(sample):
    check = (sys.executable, "tools/release_check.py")
    refused = run(*check, cwd=sample, check=False)
    assert refused.returncode == 1 and "RELEASE_APPROVAL" in refused.stdout and "git commit" in refused.stdout
    (sample / "RELEASE_APPROVAL").write_text(" \n")
    assert run(*check, cwd=sample, check=False).returncode == 1
    (sample / "RELEASE_APPROVAL").write_text("Ada\n")
    assert "Approved by Ada" in run(*check, cwd=sample).stdout
