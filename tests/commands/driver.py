"""An installation driven by its commands, and small plans made for one question each."""

import hashlib
import json
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.installation import ROOT, Installation
from tests.patience import PATIENCE

PLANS = ROOT / "examples" / "plans"
GENERATED = re.compile(r"Batch (\d+) Generated:")


def phase(key: str, command: str, *, after: str = "None", gate: str = "true") -> str:
    """A phase of one step and one gate, on a file of its own."""
    return f"""
### Phase {key}: Work {key}

**Goal**: Do the work of {key}
**Estimated Hours**: 1
**Complexity**: low
**Files Modified**: made/{key}.txt
**Dependencies**: {after}
**Implementation Steps**:
1. Do it

   ```bash
   mkdir -p made && {command}
   echo {key} > made/{key}.txt
   ```

**Validation Gates**:
- [ ] `{gate}`
"""


def plan(title: str, *phases: str) -> str:
    return f"# {title}\n\n## Phases\n" + "".join(phases)


CHAIN = plan(
    "AutopilotRun",
    phase("1", "true"),
    phase("2a", "true", after="Phase 1"),
    phase("2b", "true", after="Phase 1"),
    phase("3", "true", after="Phase 2a, Phase 2b"),
)


@dataclass
class Driver:
    installation: Installation

    @property
    def repository(self) -> Path:
        return self.installation.repository

    def run(self, *arguments: str, code: int = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """`manage.py ARGUMENTS`, which must end with `code`."""
        done = self.installation.manage(*arguments, check=False, **environment)
        told = f"{done.stdout}\n{done.stderr}\n{self.installation.log[-3000:]}"
        assert done.returncode == code, f"{arguments}: {done.returncode}, not {code}\n{told}"
        assert "Traceback" not in done.stderr
        return done

    def generate(self, source: str | Path) -> int:
        """batch_gen_prp of a plan file or text; returns the batch's number."""
        if isinstance(source, str):
            path = self.installation.directory / f"plan-{hashlib.sha256(source.encode()).hexdigest()[:8]}.md"
            path.write_text(source, encoding="utf-8")
            source = path
        return int(GENERATED.search(self.run("batch_gen_prp", str(source)).stdout).group(1))

    def execute(self, batch: int, *options: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        return self.run("batch_exe_prp", "--batch", str(batch), *options, code=code)

    def result(self, batch: int) -> dict:
        """batches/batch-N.result.json of the last ended run."""
        return json.loads((self.repository / f".ce/orchestration/batches/batch-{batch}.result.json").read_text())

    def phases(self, batch: int) -> dict[str, dict]:
        return {entry["phase"]: entry for entry in self.result(batch)["results"]}

    def statuses(self, batch: int) -> dict[str, str]:
        return {key: entry["status"] for key, entry in self.phases(batch).items()}

    def attempts(self, batch: int) -> dict[str, int]:
        return {key: entry["attempts"] for key, entry in self.phases(batch).items()}

    def status(self, batch: int) -> dict:
        """batch_status --json: where it stands now."""
        return json.loads(self.run("batch_status", "--batch", str(batch), "--json").stdout)

    def wait_for_beat(self, batch: int, key: str) -> None:
        """Until phase `key` of the batch's first execute run, which is run 2, beats."""
        beat = self.repository / f".ce/orchestration/tasks/batch-{batch}/task-{key}.hb"

        def beats() -> bool:
            if not beat.exists():
                return False
            spec = json.loads(beat.with_suffix(".json").read_text())
            return spec["run"] == 2 and json.loads(beat.read_text())["token"] == spec["token"]

        self.installation.wait(beats, 60, f"phase {key} of batch {batch} beats")

    def reported(self, batch: int, run: int) -> bool:
        """Whether this run has ended and its report is kept."""
        return (self.repository / f".ce/orchestration/completed-batches/batch-{batch}/run-{run}/batch-{batch}.result.json").exists()

    def shell(self, line: str) -> str:
        """What a shell line prints in the repository of the sample project."""
        done = subprocess.run(["bash", "-euc", line], cwd=self.repository, capture_output=True, text=True, timeout=60 * PATIENCE)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def commit(self, name: str, content: str = "yes\n") -> None:
        """What a person does on main of the sample project's repository."""
        (self.repository / name).write_text(content)
        self.shell(f"git add {name} && git -c user.name=Ada -c user.email=ada@example.org commit -qm 'Add {name}'")

    def everything(self) -> dict[str, str]:
        """All that a dry run may not change: the rows, and every file of the repository, .git and .ce included."""
        found = {"rows": self.installation.manage("dumpdata", "--all", "--exclude", "django_q").stdout}
        for path in sorted(self.repository.rglob("*")):
            if path.is_file():
                found[str(path.relative_to(self.repository))] = hashlib.sha256(path.read_bytes()).hexdigest()
        return found
