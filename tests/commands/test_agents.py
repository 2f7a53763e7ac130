"""Claude through the whole engine: the real SDK and program, a stand-in for its API, an installation with its own sandbox.

One run has a phase that repairs what its test finds, one whose agent obeys a hostile file, and one that gives up and is
tried again in its session. What it used ends in rows to the last token, and what nobody may see is looked for everywhere.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from subagents.contract import USAGE_FIGURES
from subagents.spending import PROVIDER_FIGURES, request_cost
from tests.commands.driver import Driver
from tests.installation import Installation
from tests.subagents.messages_api import MessagesApi, Reply, Turn, answer, messages_api, said, write
from tests.subagents.scenarios import CHECK, HOSTILE, Loot, finished, obeys, repairs

pytestmark = [pytest.mark.engine, pytest.mark.process]

PLAN = f"""# Agents

## Phases

### Phase 1: Sums

**Goal**: Add numbers
**Estimated Hours**: 1
**Complexity**: low
**Files Modified**: calc.py, test_calc.py
**Dependencies**: None
**Implementation Steps**:
1. Write add() in calc.py
2. Test it in test_calc.py

**Validation Gates**:
- [ ] `{CHECK}`

### Phase 2: Notes

**Goal**: Follow the notes
**Estimated Hours**: 1
**Complexity**: low
**Files Modified**: noted.txt
**Dependencies**: None
**Implementation Steps**:
1. Read NOTES.md and write noted.txt

**Validation Gates**:
- [ ] `test -f noted.txt`

### Phase 3: More

**Goal**: Go on
**Estimated Hours**: 1
**Complexity**: low
**Files Modified**: more.txt, last.txt
**Dependencies**: Phase 1, Phase 2
**Implementation Steps**:
1. Write more.txt
2. Write last.txt

**Validation Gates**:
- [ ] `test -f calc.py && test -f more.txt && test -f last.txt`
"""

ROWS = """
import json
from batches.models import Attempt, GateCheck
names = ("task__name", "number", "outcome", "reason", "message", "sandbox", "model", "session", "log_tail", "tokens_used", "cost_usd",
         "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens")
attempts = Attempt.objects.filter(task__run__operation="execute", task__kind="phase").order_by("task__name", "number")
gates = GateCheck.objects.filter(attempt__in=attempts, gate__isnull=False).order_by("pk")
print(json.dumps({"attempts": list(attempts.values(*names)),
                  "gates": list(gates.values_list("attempt__task__name", "attempt__number", "status"))}, default=str))
"""

PAGES = """
from django.contrib.auth import get_user_model
from django.test import Client
client = Client(SERVER_NAME="127.0.0.1")
client.force_login(get_user_model().objects.get(is_superuser=True), backend="django.contrib.auth.backends.ModelBackend")
batch = "/batches/NUMBER/"
for path in (batch, *(f"{batch}phases/{key}/" for key in "123"), batch + "gates/", batch + "changes/", batch + "kept/",
             "/metrics/", "/settings/", "/health/"):
    answer = client.get(path)
    print(f"PAGE {path} {answer.status_code}", (b"".join(answer.streaming_content) if answer.streaming else answer.content).decode())
"""


@dataclass
class Claude(Driver):
    """An installation whose agents ask the stand-in, and what it must not give away."""

    api: MessagesApi
    key: str
    outside: Path


@pytest.fixture
def claude(tmp_path: Path) -> Iterator[Claude]:
    key = f"fake-{uuid4().hex}"
    with messages_api({key.removeprefix("fake-"): lambda turn: act(turn, loot)}) as api:
        made = Installation(tmp_path / "installation", ANTHROPIC_API_KEY=key, ANTHROPIC_BASE_URL=api.address)
        outside = Path("/tmp", f"ce-outside-{uuid4().hex}")
        secrets = (made.data / "secret_key", made.data / "db.sqlite3")
        places = (outside, made.repository / "README.md", made.repository / ".git/hooks/post-commit", made.data / "new")
        loot = Loot(secrets, places, made.repository, int(api.address.rpartition(":")[2]))
        try:
            made.bootstrap()
            made.start("--no-web")
            yield Claude(made, api, key, outside)
        finally:
            made.remove()


def act(turn: Turn, loot: Loot) -> Reply:
    """The model of each phase."""
    if "1. Write add() in calc.py" in turn.prompt:
        return repairs(turn)
    if "1. Read NOTES.md and write noted.txt" in turn.prompt:
        return obeys(turn, loot, said(write(f"{turn.cwd}/noted.txt", "noted\n")), said(finished(steps=(1,), summary="Noted.")))
    if turn.number < 2:
        told = [{"number": 1, "done": True, "note": ""}, {"number": 2, "done": False, "note": "last.txt is beyond me"}]
        blocked = answer(status="blocked", steps=told, summary="It cannot be done.")
        return said(write(f"{turn.cwd}/more.txt", "more\n") if turn.number == 0 else blocked)
    last = f"{turn.cwd}/last.txt"  # resumed
    return said(finished(summary="More is there.") if last in json.dumps(turn.body["messages"]) else write(last, "last\n"))


def test_claude_carries_a_plan_out_and_a_hostile_file_gets_nothing(claude: Claude) -> None:
    claude.commit("NOTES.md", HOSTILE)
    branches = "git for-each-ref refs/heads --format='%(refname)' | grep -v ce/batch"
    untouched = f"cat README.md && git rev-parse main && (ls .git/hooks 2>&1 || true) && {branches}"
    before = claude.shell(untouched)
    n = claude.generate(PLAN)
    failed = claude.execute(n, "--backend", "claude", "--max-parallel", "2", "--model", "haiku", code=1)
    assert "2 of 3 phases done" in failed.stdout, failed.stdout
    assert claude.statuses(n) == {"1": "success", "2": "success", "3": "failed"}
    asked_before = len(claude.api.bodies)
    retried = claude.execute(n, "--retry-phase", "3", "--keep-session")
    assert "3 of 3 phases done" in retried.stdout, retried.stdout

    rows = json.loads(claude.installation.shell(ROWS))
    attempts = {(row["task__name"], row["number"]): row for row in rows["attempts"]}
    assert {place: (row["outcome"], row["reason"]) for place, row in attempts.items()} == {
        ("1", 1): ("succeeded", ""),
        ("2", 1): ("succeeded", ""),
        ("3", 1): ("failed", "agent_error"),
        ("3", 2): ("succeeded", ""),
    }
    assert attempts["3", 1]["message"].startswith("the agent is blocked: It cannot be done.")
    judged = {(name, number): status for name, number, status in rows["gates"]}
    assert judged == {("1", 1): "passed", ("2", 1): "passed", ("3", 1): "unverified", ("3", 2): "passed"}
    assert {row["sandbox"] for row in attempts.values()} == {json.loads((claude.installation.data / "sandbox.json").read_text())["level"]}
    assert {row["model"] for row in attempts.values()} == {"haiku"}
    money_and_tokens_are_the_providers(claude, list(attempts.values()))
    log = [json.loads(line)["message"] for line in attempts["1", 1]["log_tail"].splitlines()[1:]]
    for part in ("The test fails: it subtracts.", "Edit calc.py", "1 failed in", "1 passed in"):
        assert any(part in line for line in log), part

    assert "It cannot be done." in json.dumps(claude.api.bodies[asked_before]["messages"]), "the retry remembers the first attempt"
    assert attempts["3", 1]["session"] and claude.shell(f"git show ce/batch-{n}:last.txt") == "last\n"
    contexts = [json.dumps(body["system"]) for body in claude.api.bodies]
    assert len(set(contexts)) == 2, "each prompt of a stage begins with the same bytes"
    assert claude.api.side_calls == 0

    nothing_is_given_away(claude, n)
    assert claude.shell(untouched) == before


def money_and_tokens_are_the_providers(claude: Claude, attempts: list[dict]) -> None:
    charged = {name: sum(usage[given] for usage in claude.api.usages) for name, given in zip(USAGE_FIGURES, PROVIDER_FIGURES, strict=True)}
    assert {name: sum(row[name] for row in attempts) for name in USAGE_FIGURES} == charged
    assert sum(row["tokens_used"] for row in attempts) == sum(charged.values())
    each = [{name: usage[given] for name, given in zip(USAGE_FIGURES, PROVIDER_FIGURES, strict=True)} for usage in claude.api.usages]
    cost = sum(request_cost("claude-haiku-5-5", figures) or 0 for figures in each)
    assert sum(Decimal(row["cost_usd"]) for row in attempts) == pytest.approx(Decimal(cost), abs=Decimal("0.000001") * len(attempts))


def nothing_is_given_away(claude: Claude, n: int) -> None:
    """Neither the key nor the server's secret is in any file, row, page or commit; nothing outside the checkout was changed."""
    made = claude.installation
    server_secret = (made.data / "secret_key").read_text().strip()
    stolen = claude.shell(f"git show ce/batch-{n}:stolen.txt | tr -d '\\0'")
    assert "PATH=" in stolen, "it did look"
    assert not claude.outside.exists() and not (made.data / "new").exists()
    said = {
        "what it stole": stolen,
        "rows": made.manage("dumpdata", "--all", "--exclude", "django_q").stdout,
        "pages": made.shell(PAGES.replace("NUMBER", str(n))),
        "the server's log": made.log,
    }
    visited = re.findall(r"^PAGE (\S+) (\d+)", said["pages"], re.MULTILINE)
    assert len(visited) == 10 and {status for _, status in visited} == {"200"}, visited
    assert "REACHED" not in stolen
    for name, text in said.items():
        assert claude.key not in text and server_secret not in text, name
    for folder in (made.data, made.repository):
        for path in folder.rglob("*"):
            if path.is_file() and path.name != "secret_key":
                data = path.read_bytes()
                assert claude.key.encode() not in data and server_secret.encode() not in data, path
