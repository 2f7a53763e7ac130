"""Which files a project protects: patterns in, the one that covers a path out."""

import pytest

from subagents.protected_paths import ProtectedPaths, fault_of_pattern, usual_patterns

USUAL = ProtectedPaths(usual_patterns().split("\n"))


@pytest.mark.parametrize(
    ("path", "pattern"),
    [
        (".claude/settings.json", ".claude/"),
        ("packages/web/.claude/commands/x.md", ".claude/"),
        (".claude", ".claude/"),  # a link in its place
        ("Claude.md", "CLAUDE.md"),  # the same file on macOS and Windows
        ("docs/AGENTS.md", "AGENTS.md"),
        (".cursor/rules/a.mdc", ".cursor/"),
        (".github/workflows/ci.yml", "/.github/workflows/"),
        (".github/workflows", "/.github/workflows/"),
        (".gitlab-ci.yml", "/.gitlab-ci.yml"),
        (".husky/_/husky.sh", ".husky/"),
        (".pre-commit-config.yaml", ".pre-commit-config.yaml"),
        (".vscode/tasks.json", ".vscode/"),
        ("a/b.code-workspace", "*.code-workspace"),
        (".devcontainer/devcontainer.json", ".devcontainer/"),
        ("web/package.json", "package.json"),
        ("requirements/dev.txt", ""),
        ("requirements-dev.txt", "requirements*.txt"),
        ("Cargo.lock", "Cargo.lock"),
        ("vendor/.github/workflows/ci.yml", ""),  # nobody runs those
        ("src/claude.py", ""),
        ("docs/package.json.md", ""),
        ("README.md", ""),
    ],
)
def test_what_makes_others_run_something_is_protected_and_work_is_not(path: str, pattern: str) -> None:
    assert USUAL.pattern_of(path) == pattern


def test_a_pattern_with_a_slash_is_seen_from_the_top_and_stars_match_parts() -> None:
    own = ProtectedPaths(["deploy/*.yml", "a/**/secret", "k8s/"])
    assert own.pattern_of("deploy/live.yml") and not own.pattern_of("x/deploy/live.yml") and not own.pattern_of("deploy/x/live.yml")
    assert own.pattern_of("a/b/c/secret/key") and own.pattern_of("any/k8s/live.yml") and not own.pattern_of("k8s.md")


def test_no_pattern_protects_nothing() -> None:
    assert ProtectedPaths([]).pattern_of("CLAUDE.md") == ""


@pytest.mark.parametrize("pattern", ["!keep.md", "../x", "/", "a//b", "a\\b", "a\x1bb", "./x", "x" * 251])
def test_a_line_that_covers_nothing_or_something_else_is_refused_in_words(pattern: str) -> None:
    assert fault_of_pattern(pattern)


def test_the_usual_patterns_can_be_entered_in_the_form() -> None:
    assert [line for line in usual_patterns().split("\n") if fault_of_pattern(line)] == []
