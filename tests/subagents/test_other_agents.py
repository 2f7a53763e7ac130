"""Codex CLI, Gemini CLI, opencode and aider by the recipes of the settings.

What they printed when they really ran is kept in `recorded/`, and read here whenever tests run. Where they are installed (CE_OTHER_AGENTS
names their folders; `make other-agents` installs them and runs this), they are started in the sandbox against a stand-in of their API.
"""

import json
import os
import shlex
from pathlib import Path
from typing import Any

import pytest

from subagents import launcher
from subagents.agent_recipes import RECIPES, Recipe, recipe_of
from subagents.backends.command import _objects, _use_of
from subagents.backends.streams.told import aider_requests, limit_of, session_of
from subagents.contract import Failure, StepPlan, TaskResult, TaskSpec
from tests.subagents.conftest import World
from tests.subagents.other_apis import OtherApis, other_apis
from tests.subagents.test_sandbox import HERE

RECORDED = Path(__file__).parent / "recorded"
GATEWAY = 'mkdir -p ~/.gemini && echo \'{"security": {"auth": {"selectedType": "gemini-api-key"}}}\' >~/.gemini/settings.json && exec "$@"'
# (tokens, cost in US dollars, whether it names a session) of the recorded work.
FIGURES: dict[str, tuple[int, float | None, bool]] = {
    "codex": (2_460, None, True),
    "gemini": (2_460, None, True),
    "opencode": (1_460, 0.0008, True),
    "aider": (920, None, False),
}


def recorded(name: str, what: str) -> str:
    return (RECORDED / f"{name}-{what}.txt").read_text()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_and_session_of_a_recorded_run_are_read(name: str) -> None:
    text = recorded(name, "done")
    objects = list(_objects(text))
    used = _use_of(objects or aider_requests(text), "m-1")
    tokens, cost, has_session = FIGURES[name]
    assert used["tokens_used"] == tokens and used["cost_usd"] == (None if cost is None else pytest.approx(cost))
    assert bool(session_of(objects)) == has_session
    assert limit_of(objects, text) == "", "nothing of it is a limit"


@pytest.mark.parametrize("name", [path.name.removesuffix("-limited.txt") for path in sorted(RECORDED.glob("*-limited.txt"))])
def test_used_up_limit_of_a_recorded_run_is_told_in_the_agents_words(name: str) -> None:
    text = recorded(name, "limited")
    said = limit_of(list(_objects(text)), text)
    assert any(word in said for word in ("usage limit", "quota", "rate limit")), said


def test_aider_says_its_cost_and_what_the_cache_had() -> None:
    line = "Tokens: 12k sent, 1.5k cache write, 3k cache hit, 250 received. Cost: $0.02 message, $0.05 session.\n"
    used = _use_of(aider_requests(line), "sonnet")
    assert used["usage"]["input_tokens"] == 7_500 and used["usage"]["cache_read_tokens"] == 3_000
    assert used["usage"]["cache_write_tokens"] == 1_500 and used["usage"]["output_tokens"] == 250
    assert used["cost_usd"] == 0.02


def test_talk_of_a_limit_is_no_limit() -> None:
    assert limit_of([{"type": "item.completed", "item": {"type": "agent_message", "text": "I added a rate limit."}}], "") == ""
    assert limit_of([{"type": "error", "message": "no such file"}], "rate limit") == ""


def installed() -> dict[str, tuple[str, str]]:
    """{name of a recipe: (its program, the folder that it needs)} of those that CE_OTHER_AGENTS has."""
    found = {}
    for folder in filter(None, os.environ.get("CE_OTHER_AGENTS", "").split(":")):
        for recipe in RECIPES:
            for place in ("node_modules/.bin", "bin"):
                program = os.path.join(folder, place, recipe.command.split()[0])
                if os.access(program, os.X_OK):
                    found[recipe.name] = (program, folder)
    return found


def for_stand_in(recipe: Recipe, words: str, program: str, api: OtherApis) -> tuple[list[str], dict[str, str]]:
    """(the recipe's command with the agent's base URL set to the stand-in, the secrets for the agent)."""
    argv = [program, *shlex.split(words)[1:]]
    match recipe.name:
        case "codex":
            provider = f'model_providers.ce={{name="ce",base_url="{api.address}/v1",env_key="CODEX_API_KEY",wire_api="responses"}}'
            return [*argv[:-1], "-c", 'model_provider="ce"', "-c", provider, argv[-1]], {"CODEX_API_KEY": "fake-of-a-test"}
        case "gemini":
            secrets = {"GEMINI_API_KEY": "fake-of-a-test", "GOOGLE_GEMINI_BASE_URL": api.address}
            return ["/bin/sh", "-c", GATEWAY, "sh", *argv], secrets
        case "opencode":
            settings = {"provider": {"anthropic": {"options": {"baseURL": f"{api.address}/v1"}}}, "autoupdate": False, "share": "disabled"}
            return argv, {"ANTHROPIC_API_KEY": "fake-of-a-test", "OPENCODE_CONFIG_CONTENT": json.dumps(settings)}
    return argv, {"OPENAI_API_KEY": "fake-of-a-test", "OPENAI_API_BASE": f"{api.address}/v1"}


MODELS = {"codex": "gpt-5", "gemini": "gemini-2.5-pro", "opencode": "anthropic/claude-haiku-4-5", "aider": "openai/gpt-test"}


def carried_out(world: World, name: str, api: OtherApis, **changes: Any) -> tuple[TaskSpec, TaskResult]:
    recipe = recipe_of(name)
    assert recipe is not None
    program, folder = installed()[name]
    command, secrets = for_stand_in(recipe, recipe.command, program, api)
    options = {"command": command}
    if recipe.resume:
        options["resume_command"] = for_stand_in(recipe, recipe.resume, program, api)[0]
    values = {
        "backend": "command",
        "model": MODELS[name],
        "sandbox": HERE[0],
        "steps": (StepPlan(1, "Write made.txt with the text made"),),
        "options": options,
        "policy": {"paths": [folder]},
        "timeout_seconds": 240.0,
    }
    spec = world.spec(**{**values, **changes})
    launcher.launch(spec.attempt_dir, "", [{"name": key, "value": value, "uses": ["agent"]} for key, value in secrets.items()])
    result = world.ended(spec, 260).result
    assert result is not None, Path(spec.attempt_dir, "wrapper.err").read_text()
    return spec, result


if installed():

    @pytest.mark.process
    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("name", installed())
    def test_agent_really_works_in_the_sandbox_by_its_recipe(world: World, name: str) -> None:
        with other_apis() as api:
            spec, result = carried_out(world, name, api)
            assert (result.failure_reason, result.errors) == ("", ()), result
            assert result.files_created == ("made.txt",), "and nothing of the agent's own"
            tokens, cost, has_session = FIGURES[name]
            assert result.tokens_used == tokens and result.cost_usd == (None if cost is None else pytest.approx(cost))
            assert bool(result.session) == has_session
            kinds = {entry["kind"] for entry in world.transcript(spec)}
            assert "message" in kinds and (name == "aider" or {"tool call", "result"} <= kinds)
            recipe = recipe_of(name)
            if recipe is not None and recipe.resume:
                before = len(api.asked)
                resumed = {"session": result.session, "payload": {"resume": {"attempt_dir": spec.attempt_dir}}}
                _, again = carried_out(world, name, api, **resumed)
                assert (again.failure_reason, again.errors) == ("", ()) and again.session == result.session
                assert any("made > made.txt" in json.dumps(body) for _, body in api.asked[before:]), "it knows what it did"

    @pytest.mark.process
    @pytest.mark.timeout(600)
    @pytest.mark.parametrize("name", [name for name in installed() if (RECORDED / f"{name}-limited.txt").exists()])
    def test_agent_whose_provider_refuses_is_rate_limited(world: World, name: str) -> None:
        with other_apis() as api:
            api.limited = True
            _, result = carried_out(world, name, api)
        assert result.failure_reason == Failure.RATE_LIMITED, result.errors
