"""Files that a person looks at before a change of them is merged into the base branch (docs/gates.md). Pure: texts in, values out.

They make programs outside the sandbox do something: an agent or an editor that opens the folder, continuous integration, git
hooks, an installer of packages. What a phase writes into them runs outside every sandbox once somebody uses the merged tree.
"""

from __future__ import annotations

from subagents.judges_files import covers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

USUAL = """\
.ce/prompts/
.ce/rules/
.claude/
CLAUDE.md
CLAUDE.local.md
AGENTS.md
AGENT.md
GEMINI.md
.mcp.json
.codex/
.cursor/
.cursorrules
.gemini/
.opencode/
opencode.json
.windsurf/
.windsurfrules
.clinerules
.roo/
.kiro/
.aider.conf.yml
/.github/copilot-instructions.md
/.github/instructions/
/.github/workflows/
/.github/actions/
/.forgejo/workflows/
/.gitea/workflows/
/.gitlab-ci.yml
/.gitlab-ci.yaml
/.circleci/
/.buildkite/
/.woodpecker/
/.woodpecker.y*ml
/.travis.yml
/.drone.yml
/appveyor.yml
/azure-pipelines.yml
/bitbucket-pipelines.yml
Jenkinsfile
.husky/
.githooks/
.pre-commit-config.yaml
.pre-commit-hooks.yaml
lefthook.y*ml
.overcommit.yml
.gitattributes
.gitmodules
.vscode/
.idea/
.devcontainer/
.devcontainer.json
*.code-workspace
.envrc
mise.toml
.mise.toml
package.json
package-lock.json
npm-shrinkwrap.json
pnpm-lock.yaml
pnpm-workspace.yaml
yarn.lock
bun.lock
bun.lockb
.npmrc
.yarnrc.yml
deno.json
deno.lock
pyproject.toml
setup.py
setup.cfg
requirements*.txt
uv.lock
poetry.lock
pdm.lock
pylock.toml
Pipfile
Pipfile.lock
Cargo.toml
Cargo.lock
go.mod
go.sum
Gemfile
Gemfile.lock
*.gemspec
composer.json
composer.lock
pom.xml
build.gradle
build.gradle.kts
gradle.lockfile
packages.lock.json
flake.nix
flake.lock
"""
MOST_PATTERNS, PATTERN_CHARACTERS = 500, 250


def usual_patterns() -> str:
    """What a new project protects, one pattern a line."""
    return USUAL.strip()


class ProtectedPaths:
    """A project's patterns. One without a slash before its end is found in any folder, any other from the top of the repository.

    `*` matches within one part of a path, `**` any number of parts; a folder covers all that is in it. Upper and lower case
    count as the same, because on many people's file systems they are.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._plain: dict[str, str] = {}  # most have no star, and there may be thousands of changed files
        self._globs: list[tuple[str, list[str]]] = []
        for pattern in patterns:
            wanted = pattern.casefold().rstrip("/")
            if any(letter in wanted for letter in "*?["):
                self._globs.append((pattern, wanted.lstrip("/").split("/") if "/" in wanted else ["**", wanted]))
            else:
                self._plain[wanted if wanted.startswith("/") or "/" not in wanted else f"/{wanted}"] = pattern

    def pattern_of(self, path: str) -> str:
        """A pattern that covers the path; "" for none."""
        parts = path.casefold().split("/")
        above = ""
        for part in parts:
            above = f"{above}/{part}"
            if found := self._plain.get(part) or self._plain.get(above):
                return found
        return next((pattern for pattern, wanted in self._globs if covers(wanted, parts)), "")


def fault_of_pattern(pattern: str) -> str:
    """Why a line cannot be a pattern; "" for one that can."""
    parts = pattern.strip("/").split("/")
    if pattern.startswith("!"):
        return "“!” takes nothing out again: remove the line that covers the file"
    if "\\" in pattern or not pattern.isprintable() or {"", ".", ".."} & set(parts):
        return "it is not a file, a folder or a glob inside the repository, such as .github/workflows/ or *.lock"
    return f"it has more than {PATTERN_CHARACTERS} characters" if len(pattern) > PATTERN_CHARACTERS else ""
