"""The commands for Claude Code, typed into the real program, which a stand-in for the Messages API leads; and the analyzer beside them."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from batches.repositories.claude_commands import FILES, command_files
from tests.commands.driver import Driver, phase, plan
from tests.installation import ROOT
from tests.patience import PATIENCE
from tests.subagents.messages_api import Reply, Text, Turn, bash, messages_api, said

pytestmark = pytest.mark.engine
claude_agent_sdk = pytest.importorskip("claude_agent_sdk")
PROGRAM = Path(claude_agent_sdk.__file__).parent / "_bundled" / "claude"
QUIET = {"ANTHROPIC_API_KEY": "fake-obedient", "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1"}
COMMAND = re.compile(r"Run `(ce batch-[^`]+)`")


def obedient(turn: Turn) -> Reply:
    """A model that runs the command that the prompt names, and then repeats what it printed."""
    if turn.number == 0:
        return said(bash(COMMAND.findall(turn.prompt)[-1]))
    blocks = [block for message in turn.body["messages"] if message["role"] == "user" for block in message["content"]]
    results = [block for block in blocks if block["type"] == "tool_result"]
    content = results[-1]["content"]
    return said(Text(content if isinstance(content, str) else "".join(block["text"] for block in content)))


@pytest.fixture
def shell(alone: Driver, tmp_path: Path):
    """A person's shell in the sample project's repository, with ce in the PATH and the commands installed."""
    program = tmp_path / "bin" / "ce"
    program.parent.mkdir()
    start = "import sys; sys.path.insert(0, sys.argv.pop(1)); from ce_web.command_line.main import main; main()"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{start}" "{ROOT}" "$@"\n')
    program.chmod(0o755)
    environment = {**alone.installation.environment, "PATH": f"{program.parent}:{os.environ['PATH']}", "HOME": str(tmp_path / "home")}

    def run(*command: str, code: int = 0, **more: str) -> str:
        done = subprocess.run(
            command,
            cwd=alone.repository,
            env={**environment, **more},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=200 * PATIENCE,
        )
        assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run("ce", "install-commands")
    return run


def plugin(shell, *command: str) -> str:
    return shell(str(PROGRAM), "plugin", *command)


def test_the_repository_is_a_marketplace_of_the_same_files(shell, tmp_path: Path):
    for place in (ROOT, FILES):
        assert "Validation passed" in plugin(shell, "validate", "--strict", str(place))
    plugin(shell, "marketplace", "add", str(ROOT))
    plugin(shell, "install", "ce@ce-web")
    assert "MCP servers (1)  ce" in plugin(shell, "details", "ce")
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    there = tmp_path / "home" / ".claude" / "plugins" / "cache" / "ce-web" / "ce" / version
    commands = {f".claude/commands/{path.name}": path.read_bytes() for path in (there / "commands").iterdir()}
    assert commands == {path: text for path, text in command_files().items() if path.startswith(".claude/commands/")}
    # Names in the skill are tools and verbs that there are.
    named = set(re.findall(r"`([a-z]+_[a-z_]+)`", (there / "skills" / "batches" / "SKILL.md").read_text()))
    assert named and named <= set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "mcp.md").read_text()))


def test_the_four_commands_do_in_claude_code_what_their_names_promise(shell, alone: Driver, tmp_path: Path):
    source = tmp_path / "my-feature-plan.md"
    source.write_text(plan("Typed into Claude Code", phase("1", "true"), phase("2", "test -e /no-such-file", after="Phase 1")))
    with messages_api({"obedient": obedient}) as api:

        def typed(text: str) -> str:
            flags = ("--output-format", "text", "--model", "claude-haiku-5-5")
            return shell(str(PROGRAM), "-p", text, *flags, ANTHROPIC_BASE_URL=api.address, **QUIET)

        generated = typed(f"/batch-gen-prp {source}")
        number = re.search(r"Batch (\d+) Generated:", generated).group(1)
        assert f"  Stage 1: PRP-{number}.1.1\n  Stage 2: PRP-{number}.2.1" in generated
        assert "Created 2 PRPs. Ready for execution." in generated
        executed = typed(f"/batch-exe-prp --batch {number}")
        assert "failed, 1 of 2 phases done" in executed and "[stage 1] Phase 1: succeeded in" in executed
        again = typed(f"/batch-exe-prp --batch {number} --retry-phase 2")
        assert "2 attempts" in again
        plugin(shell, "marketplace", "add", str(ROOT))
        plugin(shell, "install", "ce@ce-web")
        assert "Verdict: " in typed(f"/ce:batch-peer-review --batch {number} --before")
        assert f"ce/context-{number}" in typed(f"/batch-update-context --batch {number}")
    analyzer = ".ce/orchestration/dependency_analyzer.py"
    assert "Total stages: 2 | Max parallelism: 1 task/stage" in shell(analyzer, "analyze", f"batch-{number}.md")
    assert shell(analyzer, "analyze", str(source), "--json") == alone.run("analyze", str(source), "--json").stdout
    assert json.loads(shell(analyzer, "validate", str(source), "--json"))["valid"]


def test_the_analyzers_own_tests_pass_where_it_is_installed(shell):
    assert shell(sys.executable, ".ce/orchestration/test_dependency_analyzer.py") == ""
