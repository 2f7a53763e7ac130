"""How known agents are started by the backend `command`: as presets for a project's settings. Pure.

Each was started in the sandbox against a stand-in of its API (tests/subagents/test_other_agents.py); the version says which one.
"""

from __future__ import annotations

from subagents.record import record


@record
class Recipe:
    """An agent: its command, the one that continues a session ("": it cannot), what it needs, and the version that was tried."""

    name: str
    label: str
    command: str
    resume: str
    needs: str
    version: str


RECIPES = (
    Recipe(
        "codex",
        "Codex CLI",
        "codex exec --json --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -m {model} -",
        "codex exec resume --json --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox -m {model} {session} -",
        "a secret CODEX_API_KEY for agents, or a script that copies auth.json",
        "0.171.0",
    ),
    Recipe(
        "gemini",
        "Gemini CLI",
        "gemini --approval-mode yolo --skip-trust --output-format stream-json -m {model}",
        "",
        "a secret GEMINI_API_KEY for agents",
        "0.61.0",
    ),
    Recipe(
        "opencode",
        "opencode",
        'opencode run --format json --auto -m {model} "Carry out what the attached file says." --file {prompt_file}',
        "",
        "the key of its provider, such as ANTHROPIC_API_KEY, as a secret for agents",
        "1.18.33",
    ),
    Recipe(
        "aider",
        "aider",
        "aider --model {model} --message-file {prompt_file} --yes-always --no-auto-commits --no-gitignore --no-check-update "
        "--no-show-release-notes --no-show-model-warnings --analytics-disable --no-stream --no-pretty --map-tokens 0 "
        "--chat-history-file /dev/null --input-history-file /dev/null",
        "",
        "the key of its provider, such as OPENAI_API_KEY, as a secret for agents",
        "0.86.2",
    ),
)


def recipe_of(name: str) -> Recipe | None:
    return next((recipe for recipe in RECIPES if recipe.name == name), None)
