"""The command `ce`: the same words and the same JSON on the installation's machine and against a server."""

import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from batches.models import OnConflict, Scheduling
from ce_web.command_line import main
from ce_web.command_line.connections import Refused, Server, connect, keep
from ce_web.command_line.main import ON_CONFLICT, SCHEDULING, SHELLS, ce
from ce_web.command_line.terminal import visible
from tests.batches import builders
from tests.commands.driver import Driver, phase, plan
from tests.installation import ROOT, free_port, wait_for
from tests.patience import PATIENCE

MAKE_TOKEN = """
from batches.accounts import api_tokens; from batches.accounts.actor import Actor; from django.contrib.auth import get_user_model
print(api_tokens.make_token(name="ce", days=7, actor=Actor.person(get_user_model().objects.get(username="admin")))[1])
"""


class Terminal:
    """Runs `ce` as a person's shell does; with a server, nothing of the installation is known to it but address and token."""

    def __init__(self, driver: Driver, folder: Path, **server: str) -> None:
        self.driver, self.folder = driver, folder
        known = ("PATH", "LANG") if server else tuple(driver.installation.environment)
        self.environment = {name: value for name, value in driver.installation.environment.items() if name in known}
        self.environment |= {"HOME": str(folder), "PYTHONPATH": str(ROOT), **server}

    def __call__(self, *arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, "-m", "ce_web.command_line", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200 * PATIENCE,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str, code: int = 0) -> dict:
        return json.loads(self(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def server(served: Driver) -> Iterator[dict[str, str]]:
    """The web server of the installation, and a token of its administrator."""
    port = free_port()
    web = subprocess.Popen(
        [sys.executable, str(ROOT / "manage.py"), "up", "--no-cluster", "--port", str(port)],
        env=served.installation.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        token = served.installation.shell(MAKE_TOKEN).splitlines()[-1]
        there = {"CE_SERVER": f"http://127.0.0.1:{port}", "CE_TOKEN": token}
        wait_for(lambda: _answers(there), 60, "the server answers")
        yield there
    finally:
        web.terminate()
        web.wait(30 * PATIENCE)


def _answers(there: dict[str, str]) -> bool:
    try:
        return bool(Server(there["CE_SERVER"], there["CE_TOKEN"]).call("GET", "projects/"))
    except Refused:
        return False


@pytest.fixture(params=["here", "server"])
def terminal(request, tmp_path: Path) -> Terminal:
    """`ce` on the machine of an installation that nobody has started, and against a server."""
    if request.param == "here":
        return Terminal(request.getfixturevalue("alone"), tmp_path)
    return Terminal(request.getfixturevalue("served"), tmp_path, **request.getfixturevalue("server"))


@pytest.mark.engine
def test_a_batch_is_made_executed_read_reviewed_and_merged_from_a_terminal(terminal: Terminal):
    title = f"Terminal {terminal.folder.name}"
    path = terminal.folder / "plan.md"
    path.write_text(plan(title, phase("1", "echo said one"), phase("2", "test -e ../no-such-file", after="Phase 1")))
    generated = terminal("batch-gen-prp", str(path)).stdout
    number = generated.split()[1]
    assert generated.splitlines()[:3] == [f"Batch {number} Generated:", f"  Stage 1: PRP-{number}.1.1", f"  Stage 2: PRP-{number}.2.1"]

    done = terminal("batch-exe-prp", "--batch", number, code=1)
    assert "failed, 1 of 2 phases done" in done.stdout and "[stage 2] Phase 2: failed - " in done.stderr
    shown = terminal.json("status", number)
    assert shown == terminal.driver.status(int(number)) and [one["status"] for one in shown["results"]] == ["success", "failed"]
    assert terminal("status", number).stdout == done.stdout
    assert terminal("status", number, "--follow", code=1).stdout == done.stdout
    assert "said one" in terminal("logs", number, "1", "--follow").stdout
    assert [one["phase"] for one in terminal.json("diff", number)["phases"]] == ["1", "2"]
    assert "+++ b/made/1.txt" in terminal("diff", number, "1").stdout

    assert terminal("exe", number, "--resume", "--dry-run").stdout == "Would try again: 2\nNothing was changed.\n"
    assert terminal.json("exe", number, "--phase", "2", "--dry-run")["phases"] == ["2"]
    assert "does not wait for the machine" in terminal("exe", number, "--try-now", code=1).stderr
    failed = terminal("batch-exe-prp", "--batch", number, "--retry-phase", "2", code=1)
    assert "2 attempts" in failed.stdout
    assert terminal.json("retry", number, "2", "--detach")["state"] == "running"
    assert not terminal.json("status", number, "--follow", code=1)["results"][0]["reason"]
    assert "Verdict: " in terminal("review", number, "--before", code=1).stdout  # nothing verifies what these phases do
    assert terminal("list", "--search", title).stdout.splitlines()[1].startswith(number)
    assert terminal("trends").stdout.startswith("Runs ") and terminal.json("trends")["filters"]
    assert "phases 2" in terminal("merge", number, "--dry-run").stdout
    merged = terminal.json("merge", number)
    assert terminal.driver.shell(f"git rev-parse {merged['base_branch']}").strip() == merged["commit"]
    assert terminal.json("verify", number, code=1)["document"]["counts"]["agrees"]  # not all: phase 2 failed before its gates

    assert f"Archived batch {number}: lists hide it" in terminal("archive", number).stdout
    assert "is archived, so nothing starts there" in terminal("exe", number, code=1).stderr
    assert terminal.json("archive", number, "--undo")["archived"] is False
    assert "Name one" in terminal("archive", code=2).stderr


@pytest.mark.engine
def test_context_is_decided_and_what_the_base_brought_in_is_judged_before_the_merge(served: Driver, server: dict[str, str], tmp_path: Path):
    terminal = Terminal(served, tmp_path, **server)
    path = tmp_path / "plan.md"
    path.write_text(plan("Base moves", phase("7", "echo said seven")))
    number = terminal("plan", str(path)).stdout.split()[1]
    done = terminal("exe", number).stdout
    assert f"  ce merge {number} " in done
    assert "accepted as it is, by admin" in terminal("accept", number, "7", "Read it").stdout  # its gate is `true`
    for verb in (("stop", number, "7"), ("answer", number, "7", "Yes")):
        assert "7" in terminal(*verb, code=1).stderr
    terminal("context", number)
    assert f"it is on ce/batch-{number} now" in terminal("context", number, "--accept").stdout
    assert "There is nothing to decide" in terminal("context", number, "--reject", code=1).stderr

    served.shell("git commit -q --allow-empty -m 'Meanwhile'")
    assert f"ce merge {number} --bring-in" in terminal("merge", number, code=1).stderr
    assert f"ce merge {number} --judge" in terminal("merge", number, "--bring-in").stdout
    assert f"ce merge {number} --judge" in terminal("merge", number, code=1).stderr
    terminal("merge", number, "--judge")
    commit = terminal.json("merge", number)["commit"]
    assert f"is at {commit[:12]} since then" in terminal("status", number).stdout


@pytest.mark.engine
def test_what_is_refused_is_a_sentence_and_exit_code_1_as_text_and_as_json(terminal: Terminal):
    assert terminal("status", "9999", code=1).stderr.startswith("ce: Not found.")
    assert terminal.json("status", "9999", code=1)["error"].startswith("Not found.")
    (terminal.folder / "bad.md").write_text("# Bad\n\n## Phases\n\n### Phase 1: One\n\n**Goal**: x\n")
    refused = terminal("plan", "bad.md", code=1)
    assert "bad.md:5: " in refused.stderr and "no batch was made" in refused.stderr
    assert "There is no project 'none'" in terminal("plan", "bad.md", "--project", "none", code=1).stderr
    (terminal.folder / "both.md").write_text(plan("One file", phase("1", "true"), phase("2", "true").replace("made/2", "made/1")))
    assert "Conflict: made/1.txt: phases 1, 2, in the same stage" in terminal("plan", "both.md").stderr


def test_the_choices_that_are_offered_are_those_that_there_are():
    assert list(OnConflict) == list(ON_CONFLICT) and list(Scheduling) == list(SCHEDULING)


def test_wrong_use_is_told_with_exit_code_2():
    wrong = (("status",), ("status", "1", "--batch", "2"), ("plan", "no-such-file.md"), ("merge", "1", "--judge", "--no-ff"))
    for arguments in (*wrong, ("exe", "1", "--stage", "1", "--resume"), ("exe", "1", "--on-conflict", "x")):
        done = CliRunner().invoke(ce, arguments, env={"CE_SERVER": "http://127.0.0.1:9", "CE_TOKEN": "x"})
        assert done.exit_code == 2 and "Error: " in done.output, (arguments, done.output)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:9", "http://127.0.0.1:9 does not answer: "),
        ("ftp://x", "ftp://x is not an address of a server; it begins with https:// or http://."),
    ],
)
def test_a_server_that_is_none_is_told_in_a_sentence(address: str, said: str):
    done = CliRunner().invoke(ce, ["--server", address, "status", "1"], env={"CE_TOKEN": "x", "XDG_CONFIG_HOME": "/nonexistent"})
    assert done.exit_code == 1 and f"ce: {said}" in done.output


def test_a_login_is_kept_for_this_user_alone_and_a_token_goes_to_no_other_server(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("CE_SERVER", "CE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    path = keep("http://127.0.0.1:9", "ce_secret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert connect("", "") == Server("http://127.0.0.1:9", "ce_secret")
    with pytest.raises(Refused, match=r"^http://127\.0\.0\.1:10 asks for a token: set CE_TOKEN, or run ce login"):
        connect("http://127.0.0.1:10", "")
    for address in ("http://ce.example.org", "HTTP://10.1.2.3:8000", "http://127.0.0.1.example.org", "http://localhost@example.org"):
        asked = CliRunner().invoke(ce, ["login", address], input="ce_secret\n")
        assert asked.exit_code == 1 and "without encryption" in asked.output and "Token" not in asked.output
        with pytest.raises(Refused, match="without encryption"):
            connect(address, "ce_secret")
    keep("http://ce.example.org", "ce_secret", plain_http=True)
    assert connect("", "") == Server("http://ce.example.org", "ce_secret")
    with pytest.raises(Refused, match="without encryption"):
        connect("http://other.example.org", "ce_secret")
    assert connect("http://[::1]:9", "x") and connect("http://localhost:9", "x") and connect("https://ce.example.org", "x")
    path.write_text("{")
    with pytest.raises(Refused, match="cannot be read"):
        connect("", "")


@pytest.mark.django_db
def test_a_page_of_the_list_has_its_place_and_beyond_the_end_is_the_last_one(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(main, "PAGE", 2)
    monkeypatch.setattr(main, "LARGEST_PART", 3)
    numbers = sorted((builders.make_batch("1").number for _ in range(9)), reverse=True)
    for wanted, page in ((1, 1), (2, 2), (4, 4), (5, 5), (8, 5)):
        found = json.loads(CliRunner().invoke(ce, ["list", "--page", str(wanted), "--json"], catch_exceptions=False).output)
        assert [one["batch_id"] for one in found.pop("batches")] == numbers[2 * page - 2 : 2 * page]
        assert found == {"count": 9, "page": page, "pages": 5}


def test_what_an_agent_wrote_gives_no_command_to_the_terminal():
    hostile = "a\x1b]52;c;aGk=\x07\x9b2J\rb\tc\n"
    assert visible(hostile) == "a\u241b]52;c;aGk=\u2407\ufffd2J\u240db\tc\n"
    controller, terminal = os.openpty()
    code = f"from ce_web.command_line import main, terminal; terminal.say({hostile!r}, nl=False); print(main._coloured({hostile!r}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, stdout=terminal, stderr=subprocess.PIPE, text=True)
    os.close(terminal)
    with open(controller, "rb") as file:
        printed = file.read1(10_000).decode()
    assert not done.stderr and printed.count("\u241b]52;c;aGk=\u2407") == 2 and "\x1b]" not in printed and "\x07" not in printed
    piped = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True)
    assert piped.stdout.count(b"\x1b]52") == 2, "a pipe gets it as it is: a diff can be applied"


def test_every_verb_says_what_it_does_and_shells_can_complete_them():
    shown = CliRunner().invoke(ce, ["--help"]).output
    for name, verb in ce.commands.items():
        assert verb.help and (verb.hidden or f"  {name}" in shown)
    for shell in SHELLS:
        assert "_CE_COMPLETE" in CliRunner().invoke(ce, ["completion", shell]).output
    asked = {**os.environ, "_CE_COMPLETE": "bash_complete", "COMP_WORDS": "ce sta", "COMP_CWORD": "1"}
    done = subprocess.run([sys.executable, "-m", "ce_web.command_line"], cwd=ROOT, env=asked, capture_output=True, text=True)
    assert done.stdout.strip() == "plain,status"


def test_help_and_completion_load_neither_django_nor_a_client_for_http():
    code = "import sys; from ce_web.command_line.main import ce; print(sorted({'django', 'httpx', 'rich'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "[]\n"
