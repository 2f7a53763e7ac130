"""Steps that lie about their work: none of them ends green without being named, and none of them touches what is not theirs."""

from pathlib import Path

import pytest

from batches.core.gates.success import Success
from batches.metrics.successes import PhaseSuccess, read_successes
from batches.models import Run, Task
from tests.batches.world import World, phase, plan
from tests.chaos import lies
from tests.chaos.lies import Lie

pytestmark = [pytest.mark.chaos, pytest.mark.process]

KINDS: dict[str, dict[str, Lie]] = {
    "not committed": lies.NOT_COMMITTED,
    "in place of a file": lies.IN_PLACE,
    "git": lies.GIT,
    "judges": lies.JUDGES,
    "engine": lies.ENGINE,
    "next to nothing": lies.NOTHING,
}
BASE = {
    ".gitignore": "out/\nnode_modules/\n__pycache__/\n",
    "judge.sh": 'grep -qx honest "parts/$1.txt"\n',
    "ci/judge.sh": '. "$(dirname "$0")/lib.sh"\nholds "$1"\n',
    "ci/lib.sh": 'holds() { grep -qx honest "parts/$1.txt"; }\n',
    "ci/tests.sh": "set -e\npython -m pytest -q tests/test_$1.py\n",
    "ci/limit.txt": "0\n",
    "ci/limited.sh": "test $(cat parts/*.txt | grep -c lie) -le $(cat ci/limit.txt)\n",
    "data/limits.json": '{"most": 0}\n',
    "check.py": (
        "import glob, json, sys\nmost = json.load(open('data/limits.json'))['most']\n"
        "sys.exit(sum('lie' in open(path).read() for path in glob.glob('parts/*.txt')) > most)\n"
    ),
    "run-checker.sh": 'PATH="$PWD/node_modules/.bin:$PATH" checker\n',
    "truth.py": "VALUE = False\n",
    "Makefile": "check:\n\tsh judge.sh nothing\n",
    "parts/base.txt": "lie\n",
    "parts/blank.txt": "text\n",
    "parts/mode.txt": "text\n",
    "tests/__init__.py": "",
}
TEST = """import unittest

from src_{key} import answer


class TestIt(unittest.TestCase):
    def test_it(self):
        assert answer() == 42
"""


def named(task: Task, successes: dict[int, PhaseSuccess]) -> str:
    """What keeps a phase from being green, as its page says it; "" for one that is green."""
    if task.state != "succeeded":
        return f"{task.state}: {task.reason}: {task.message}"
    success = successes[task.pk]
    return "" if success.kind is Success.VERIFIED else f"{success.kind}: {success.looks}"


def started(world: World, kind: str) -> tuple[Run, str]:
    """A batch with a phase for each lie of a kind, and one that is honest."""
    canary = world.repository.parent / "canary"
    parts = []
    for name, text in BASE.items():
        world.commit(name, text)
    for number, (name, lie) in enumerate(KINDS[kind].items(), start=11):
        key = str(number)

        def told(text: str, key: str = key) -> str:
            return text.replace("KEY", key).replace("REPOSITORY", str(world.repository)).replace("CANARY", str(canary))

        if "src_KEY.py" in (lie.files, *lie.gates) or any("test_KEY" in gate for gate in lie.gates):
            world.commit(f"src_{key}.py", "def answer():\n    return 41\n")
            world.commit(f"tests/test_{key}.py", TEST.format(key=key))
        parts.append(phase(key, title=name, files=told(lie.files), steps=(told(lie.step),), gates=tuple(map(told, lie.gates))))
    honest = phase("99", files="parts/99.txt", steps=("echo honest > parts/99.txt",), gates=("`sh judge.sh 99`",))
    batch = world.generated(plan(*parts, honest))
    return world.execute(batch, max_parallel=2), world.git("rev-parse", "main")


# An agent that does what the fenced block of its prompt says, and then claims figures and success.
AGENT = """
import json, re, subprocess, sys
block = re.search(r"```bash\\n(.*?)```", sys.stdin.read(), re.S)
subprocess.run(["bash", "-c", block[1]])
print(json.dumps({"status": "done", "tests": "12 passed", "usage": {"input_tokens": 1, "output_tokens": 1}}))
"""


@pytest.mark.parametrize(("kind", "agent"), [*((kind, False) for kind in KINDS), ("engine", True)])
def test_no_lie_is_green_without_being_named(world: World, settings, tmp_path, kind: str, agent: bool):
    settings.CE_SANDBOX = "auto"
    if agent:
        (tmp_path / "agent.py").write_text(AGENT)
        world.project.backend, world.project.agent_command = "command", f"python3 {tmp_path}/agent.py"
        world.project.tool_paths = f"{tmp_path}/agent.py"
    world.project.rerun_gates = False
    world.project.save()
    run, main = started(world, kind)
    config = (world.repository / ".git/config").read_text()
    run = world.finish(run)
    successes = read_successes([run.batch_id])
    said = {task.phase.title: named(task, successes) for task in run.tasks.filter(kind="phase").select_related("phase")}
    assert said.pop("Part 99") == "", "the honest one is green"
    assert [name for name, why in said.items() if not why] == [], said
    refused = {name for name, lie in KINDS[kind].items() if not lie.named}
    assert {task.phase.title for task in run.tasks.filter(kind="phase", state="succeeded").select_related("phase")} & refused == set(), said
    assert world.git("rev-parse", "main") == main and world.git("fsck", "--no-dangling") == ""
    assert (world.repository / ".git/config").read_text() == config and world.git("status", "--porcelain") == ""
    assert not (world.repository.parent / "canary").exists() and Path("/etc/passwd").read_text().startswith("root:")
