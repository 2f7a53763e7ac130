"""What a reviewer's agent is given to read: the phase's diff, and git."""

import pytest

from subagents.open_repository import attached_repository
from subagents.read_only_git import NotAsked, ask_git
from subagents.work_shown import ALL_CHARACTERS, FILE_CHARACTERS, diff_to_read
from tests.subagents.conftest import World, commit_files, user_git


def test_diff_shows_each_file_up_to_a_length_and_names_what_it_leaves_out(world: World) -> None:
    base = user_git(world.project, "rev-parse", "HEAD")
    long = "".join(f"line {number}\n" for number in range(FILE_CHARACTERS))
    commit_files(world.project, {"a-long.txt": long, "b.txt": "short\n", "yarn.lock": "made\n"})
    shown = diff_to_read(attached_repository(str(world.project)), base, user_git(world.project, "rev-parse", "HEAD"))
    assert "+short" in shown and shown.index("+short") < shown.index("+made"), "what a tool made comes last"
    assert "- a-long.txt: all but its first " in shown and len(shown) < FILE_CHARACTERS + 2_000


def test_diff_of_many_files_ends_with_their_names(world: World) -> None:
    base = user_git(world.project, "rev-parse", "HEAD")
    commit_files(world.project, {f"f{number:02}.txt": "x" * 79 + "\n" + "y\n" * 5_000 for number in range(12)})
    shown = diff_to_read(attached_repository(str(world.project)), base, user_git(world.project, "rev-parse", "HEAD"))
    assert len(shown) < ALL_CHARACTERS + 4_000
    assert all(f"f{number:02}.txt" in shown for number in range(12)), "none goes without a word"


def test_git_answers_questions_that_read(world: World) -> None:
    commit_files(world.project, {"src/app.py": "print('one')\n"})
    repository, commit = attached_repository(str(world.project)), user_git(world.project, "rev-parse", "HEAD")
    commit_files(world.project, {"src/app.py": "print('later')\n"})
    assert "print('one')" in ask_git(repository, commit, ["show", "HEAD"]), "HEAD is the commit under review"
    assert commit[:7] in ask_git(repository, commit, ["log", "-n1", "--oneline", "--", "src/app.py"])
    assert "print('one')" in ask_git(repository, commit, ["blame", "--", "src/app.py"])
    assert "+print('one')" in ask_git(repository, commit, ["diff", "HEAD~1", "HEAD"])
    assert "print('one')" in ask_git(repository, commit, ["show", f"{commit[:9]}:src/app.py"])
    assert "revision" in ask_git(repository, commit, ["show", "deadbeef"]), "what is wrong is said"


@pytest.mark.parametrize(
    "words",
    [["push"], ["log", "--output=/tmp/x"], ["diff", "--no-index", "/etc/passwd", "/dev/null"], ["show", "-O/etc/passwd"], ["diff"], []]
    + [["show", word] for word in (":README.md", "stash@{0}", "main", "HEAD@{1}", "refs/heads/main", ":/secret")],
)
def test_git_is_asked_nothing_else(world: World, words: list[str]) -> None:
    with pytest.raises(NotAsked):
        ask_git(attached_repository(str(world.project)), user_git(world.project, "rev-parse", "HEAD"), words)
