"""What of a repository is the user's own, byte for byte, and what CE Web has put there beside it."""

import hashlib
import subprocess
from pathlib import Path


def git(repository: Path, *arguments: str) -> str:
    """What git prints in the repository; --no-optional-locks, so that looking changes no index."""
    done = subprocess.run(["git", "--no-optional-locks", "-C", str(repository), *arguments], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"git {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done.stdout.strip()


def users_own(repository: Path) -> dict[str, str]:
    """The user's branches, HEAD, index and working tree."""
    own = {"HEAD": (repository / ".git/HEAD").read_text(), "index": _digest(repository / ".git/index")}
    for row in git(repository, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads", "refs/tags").split("\n"):
        name, _, commit = row.partition(" ")
        if not name.startswith("refs/heads/ce/"):
            own[name] = commit
    for path in sorted(repository.rglob("*")):
        place = path.relative_to(repository)
        if path.is_file() and place.parts[0] not in (".git", ".ce"):
            own[f"file {place}"] = _digest(path)
    return own


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_four_operations(repository: Path, n: int, *, accepted: bool) -> None:
    """What generate, both reviews, execute and update context of the sample plan leave in the repository."""
    branch, context = f"ce/batch-{n}", f"ce/context-{n}"
    files = set(git(repository, "ls-tree", "-r", "--name-only", branch).split("\n"))
    prps = [f"PRPs/feature-requests/PRP-{n}.{place}-" for place in ("1.1", "2.1", "2.2", "3.1")]
    assert [sum(name.startswith(prp) for name in files) for prp in prps] == [1, 1, 1, 1]
    assert {"textstats/frequency.py", "textstats/readability.py", f"PRPs/reviews/batch-{n}-review.md"} <= files
    subjects = git(repository, "log", "--format=%s", branch).split("\n")
    for words in ("Generate - ", "Complete - "):
        assert sum(f": {words}" in subject and subject.startswith(f"PRP-{n}.") for subject in subjects) == 4, words
    assert sum(f": Merge phase {key} - " in subject for key in ("1", "2a", "2b", "3") for subject in subjects) >= 4, "executed"
    assert f"PRP-{n}.2.1: Complete - Word frequencies" in subjects
    assert sum(subject.startswith(f"PRP-{n}: Review - ") for subject in subjects) == 2
    review = git(repository, "show", f"{branch}:PRPs/reviews/batch-{n}-review.md")
    assert review.startswith(f"# Review of batch {n}") and "**Verdict**" in review

    proposed = set(git(repository, "diff", "--name-only", f"{branch}^1" if accepted else branch, context).split("\n"))
    memories = {f".serena/memories/ce-batch-{n}.md", f".serena/memories/ce-batch-{n}-drift.md"}
    assert {"CLAUDE.md", *memories} <= proposed
    assert sum(name.startswith("PRPs/feature-requests/") for name in proposed) == 4
    assert f"<!-- CE Web batch {n}: begin -->" in git(repository, "show", f"{context}:CLAUDE.md")
    (first,) = [name for name in proposed if name.startswith(prps[0])]
    front = git(repository, "show", f"{context}:{first}").split("---")[1]
    assert 'status: "executed"' in front and "evidence: " in front
    assert ({"CLAUDE.md", *memories} <= files) is accepted

    archive = repository / f".ce/orchestration/completed-batches/batch-{n}"
    assert sorted(path.name for path in archive.iterdir()) == [f"run-{number}" for number in range(1, 6)]
    assert all((archive / f"run-{number}/batch-{n}.result.json").is_file() for number in range(1, 6))
    assert (repository / f".ce/orchestration/batches/batch-{n}.result.json").is_file()
    assert git(repository, "fsck", "--strict", "--no-dangling") == ""
