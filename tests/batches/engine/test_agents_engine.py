"""Agents through the whole engine: what they use ends in rows, and all of a run are told the same first."""

import json
import shlex
import sys
from pathlib import Path

import pytest

from batches.core.engine.execute_options import ExecuteOptions
from batches.core.review.types import ReviewTiming
from batches.engine.execution_plan import plan_execution
from batches.engine.preflight import preflight_checks
from batches.engine.task_specs import _options, claude_options, instructions_of
from batches.integrations.api_keys import ENTER
from batches.review.begin_review import review
from subagents.contract import Role
from tests.batches.world import ACTOR, World, phase, plan

pytestmark = pytest.mark.process

USAGE = {"input_tokens": 10, "output_tokens": 20, "cache_read_tokens": 3000, "cache_write_tokens": 0}
AGENT = f"""
import json, re, sys
prompt = sys.stdin.read()
if "Review one phase of a plan, after" in prompt:
    seen = [part for part in ("+done", "- passed: `test -f part-1.txt`") if part in prompt]
    print(json.dumps({{"summary": "Seen: " + ", ".join(seen), "findings": [], "opinions": []}}))
    sys.exit()
key = re.search(r"Write the file part-(\\w+)\\.txt", prompt)[1]
open(f"part-{{key}}.txt", "w").write("done\\n")
open(f"prompt-{{key}}.md", "w").write(prompt)
print(json.dumps({{"model": "x-1", "usage": {json.dumps(USAGE)}, "cost_usd": 0.5}}))
"""


def with_agent(world: World, tmp_path: Path, settings) -> None:
    settings.CE_ALLOW_UNSANDBOXED = True
    program = tmp_path / "agent.py"
    program.write_text(AGENT)
    world.project.backend, world.project.agent_command = "command", shlex.join([sys.executable, str(program)])
    world.project.save()


PROSE = "\n".join(["1. Write the file part-{key}.txt", "", "**Validation Gates**:"])


def prose(key: str, needs: str = "None") -> str:
    """A phase whose only step is a sentence."""
    text = phase(key, gates=(f"`test -f part-{key}.txt`",), needs=needs)
    return text.replace("**Validation Gates**:", PROSE.format(key=key))


def test_any_command_can_carry_out_prose_and_its_figures_end_in_rows(world: World, tmp_path: Path, settings, admin_client) -> None:
    batch = world.generated(plan(prose("1"), prose("2"), prose("3", needs="Phase 1")))
    with_agent(world, tmp_path, settings)
    run = world.finish(world.execute(batch))
    assert run.state == "succeeded", run.report
    attempts = [world.attempts(run, name)[0] for name in ("1", "2")]
    for attempt in attempts:
        assert {name: getattr(attempt, name) for name in USAGE} == USAGE
        assert (attempt.tokens_used, float(attempt.cost_usd)) == (3030, 0.5)
        assert attempt.prompt.sha256 == attempt.result.data["prompt_sha256"] != ""
        assert "Write the file part-" in attempt.prompt.text
    page = admin_client.get(f"/batches/{batch.number}/phases/1/?tab=prompt").text
    assert attempts[0].prompt.sha256 in page and "Write the file part-1.txt" in page
    assert attempts[0].prompt.sha256[:7] in admin_client.get(f"/batches/{batch.number}/phases/1/?tab=attempts").text
    context = Path(attempts[0].spec["context_file"]).read_text()
    assert attempts[0].spec["context_file"] == attempts[1].spec["context_file"]
    prompts = [world.git("show", f"{batch.branch}:prompt-{key}.md") for key in ("1", "2")]
    assert context.startswith("# The repository") and all(prompt.startswith(context.rstrip()) for prompt in prompts)
    later = world.git("show", f"{batch.branch}:prompt-3.md")
    assert "part-1.txt" in later.partition("files of the repository")[2].partition("</section>")[0], "the next stage sees what is there"
    place = later.partition("## Its place in the plan")[2].partition("## Steps")[0]
    assert "which this phase depends on" in place and "Files that it changed: part-1.txt, prompt-1.md" in place
    assert "Commits: " in place and "<prp>" in later


def test_reviewer_after_execution_is_given_the_diff_and_what_the_gates_said(world: World, tmp_path: Path, settings) -> None:
    batch = world.generated(plan(prose("1")))
    with_agent(world, tmp_path, settings)
    world.finish(world.execute(batch))
    run = world.finish(review(batch=batch, actor=ACTOR, moment=ReviewTiming.AFTER))
    assert run.state == "succeeded", run.report
    semantic = world.attempts(run, "1")[0].result.data["report"]["semantic"]
    assert semantic["note"] == "Seen: +done, - passed: `test -f part-1.txt`"


def test_instructions_of_a_project_are_saved_and_told_and_one_too_long_is_refused(world: World, admin_client) -> None:
    page = f"/projects/{world.project.slug}/agents/"
    assert admin_client.post(page, {"instructions_executor": "  Write docstrings.\r\n"}).status_code == 302
    world.project.refresh_from_db()
    assert instructions_of(world.project, Role.EXECUTOR) == "Write docstrings."
    assert instructions_of(world.project, Role.REVIEWER) == instructions_of(world.project, Role.CONTEXT_UPDATER) == ""
    assert "Instructions of this project for the executor." in admin_client.get(f"/projects/{world.project.slug}/?tab=settings").text
    admin_client.post(page, {"effort": "low", "fallback_model": "Haiku"})
    world.project.refresh_from_db()
    assert claude_options(world.project)["fallback_model"] == "haiku" and claude_options(world.project)["effort"] == "low"
    assert 'value="haiku"' in admin_client.get(page).text, "the form shows what is set"
    assert "Unknown model" in admin_client.post(page, {"fallback_model": "gpt"}).text
    refused = admin_client.post(page, {"instructions_executor": "x" * 8_001})
    assert refused.status_code == 400 and "8,001 characters; at most 8,000" in refused.text


def test_environment_says_what_a_backend_lacks(world: World, settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CE_ALLOW_UNSANDBOXED = True
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    monkeypatch.delenv("CE_API_KEY_FILE", raising=False)

    def backend(name: str) -> tuple[str, str]:
        [found] = [check for check in preflight_checks(project=world.project, backend=name) if check.name == "Backend"]
        return found.state, found.text

    assert backend("command") == ("error", "no agent command is configured")
    assert backend("steps") == ("ok", "steps can do every step")
    assert backend("claude") == ("error", f"No key is set. {ENTER}")
    batch = world.generated(plan(prose("1")))
    note = plan_execution(batch=batch, options=ExecuteOptions(backend="claude")).notes[0]
    assert note == f"The backend claude cannot work yet. No key is set. {ENTER}"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "fake-key-of-a-test")
    assert backend("claude") == ("ok", "claude can do every step")


def test_recipe_fills_the_commands_in_and_saves_nothing_before_save(world: World, admin_client, settings) -> None:
    settings.CE_ALLOW_UNSANDBOXED = True
    page = f"/projects/{world.project.slug}/"
    fields = {"recipe": "codex", "name": "Shop", "base_branch": "main", "backend": "steps"}
    filled = admin_client.post(page, {**fields, "fill": "1"})
    assert filled.status_code == 200 and "codex exec resume --json" in filled.text and "It needs a secret CODEX_API_KEY" in filled.text
    world.project.refresh_from_db()
    assert world.project.agent_command == "" and world.project.backend == "steps"
    assert "Choose a recipe first." in admin_client.post(page, {**fields, "recipe": "", "fill": "1"}).text
    world.project.agent_command, world.project.agent_resume = "codex exec -", "codex exec resume {session} -"
    world.project.save()
    batch = world.generated(plan(prose("1")))
    run = world.execute(batch, backend="command")
    assert _options(run) == {"command": ["codex", "exec", "-"], "resume_command": ["codex", "exec", "resume", "{session}", "-"]}


def test_command_that_cannot_be_split_is_refused_with_the_reason(world: World, admin_client) -> None:
    answer = admin_client.post(f"/projects/{world.project.slug}/", {"agent_command": "codex 'exec"})
    assert "Not a valid command line: No closing quotation." in answer.content.decode()
