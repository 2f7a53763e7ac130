"""A gate passes in the product if and only if it passes in a fresh clone of the merged branch, whatever a step has done.

`CE_EXAMPLES=300` tries that many random phases; without it as many as a run of all tests can bear.
"""

import contextlib
import difflib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st

from subagents.checkout import Checkout
from subagents.clean_checkout import CleanCheckout
from subagents.contract import GateKind, GateSpec, GateStatus, TaskSpec, replace
from subagents.gates import Judge
from subagents.journal import Journal
from subagents.open_repository import open_repository
from subagents.reporting import Reporter
from subagents.sandbox import find_level
from subagents.workspace import BlockedEntries, GitError, Merged
from tests.subagents.conftest import World, commit_files, user_git

pytestmark = pytest.mark.process

EXAMPLES = int(os.environ.get("CE_EXAMPLES", "12"))
BRANCH = "ce/batch-1"

# What the repository holds: every kind of file whose state a folder can hide from a commit.
BASE = {
    ".gitignore": "lib/\n*.log\n!kept.log\n__pycache__/\nnode_modules/\n",
    ".gitattributes": "*.crlf eol=crlf\n*.id ident\n",
    "calc.py": "X = 1\n",
    "pkg/__init__.py": "",
    "pkg/mod.py": "X = 'base'\n",
    "run.sh": "#!/bin/sh\necho run\n",
    "a.txt": "a\n",
    "b.crlf": "b\n",
    "c.id": "$Id$\n",
    "deep/er/d.txt": "d\n",
}
PATHS = (
    *("a.txt", "b.crlf", "c.id", "calc.py", "pkg/mod.py", "pkg/new.py", "run.sh", "deep/er/d.txt", "deep/er", "deep", "lib/util.js"),
    *("x.log", "kept.log", "node_modules/.bin/tool", "__pycache__/calc.cpython-311.pyc", "sitecustomize.py", "conftest.py"),
    *("vendor/m/m.py", "vendor/m/new.py", "-dash", "with space", "ümlaut", b"odd\xff.txt", "A.txt", "build/out", "new/folder/file"),
    *(".hidden", "line\nbreak"),
)
TEXTS = (b"", b"text\n", b"1\r\n2\n", b"\0\1\2", b"X = 'changed'\n", b"$Id: forged $\n", b"#!/bin/sh\nexit 0\n", b"<<<<<<< a\n")
TARGETS = ("a.txt", "deep", "nowhere", "lib/util.js", "../a.txt")
# What a step can type; each looks harmless, and each can make a folder other than its commit.
COMMANDS = (
    "git config core.fileMode false; chmod 755 a.txt",
    "git config core.autocrlf true",
    "git config core.excludesFile $PWD/.hidden",
    "git update-index --skip-worktree a.txt; echo skipped >> a.txt",
    "git update-index --assume-unchanged calc.py; echo 'X = 9' > calc.py",
    "git sparse-checkout set --cone deep",
    "echo build > .git/info/exclude",
    "echo '*.txt text eol=crlf' > .git/info/attributes",
    "git add -A; git -c user.name=a -c user.email=a@b commit -qm mine; git branch ce/mine; git tag mine",
    "git rm -q --cached a.txt",
    "git stash -q",
    "git checkout -q --orphan other",
    "git init -q .build/nested; echo .build > .gitignore",
    "echo '*' > deep/.gitignore",
    "printf 'lib/\\n!lib/util.js\\n!lib\\n' > .gitignore",
    "echo '*.txt -text' >> .gitattributes",
    "echo '* text=auto' >> .gitattributes",
    "echo 'deep export-ignore' >> .gitattributes",
    "mkdir -p ../node_modules ../home/.config ../tmp; echo 1 > ../home/.config/x; echo 1 > ../node_modules/y; echo 1 > ../tmp/z",
    "mkfifo pipe",
    "echo 'a.txt working-tree-encoding=UTF-16' >> .gitattributes; printf 'x' | iconv -t UTF-16 > a.txt",
    "git gc -q --prune=now; git worktree prune; touch .git/index.lock",
    "git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x; git replace HEAD HEAD~1",
    "mv a.txt A.txt",
    "umask 0; touch wide; mkdir wider; chmod 777 run.sh",
    "mkdir empty; touch -d 2001-01-01 a.txt pkg/mod.py",
    "rm -rf .git",
    "ln a.txt hard; ln -s deep/er linked; rm -rf pkg; ln -s deep pkg",
)
FORGE = """import importlib.util, os, py_compile
text, seen = open('calc.py').read(), os.stat('calc.py')
open('calc.py', 'w').write(text.replace('1', '2'))
os.utime('calc.py', ns=(seen.st_atime_ns, seen.st_mtime_ns))
py_compile.compile('calc.py')
open('calc.py', 'w').write(text)
os.utime('calc.py', ns=(seen.st_atime_ns, seen.st_mtime_ns))
"""
SETTINGS = (
    *("core.fileMode=false", "core.autocrlf=true", "core.safecrlf=true"),
    *("core.symlinks=false", "core.sparseCheckout=true", "core.ignoreCase=true"),
)

# All that a command can learn of the files; both sides print it, so that not only the one gate is compared.
LOOK = r"""
find . -path ./.git -prune -o -path ./vendor/m/.git -prune -o -printf '%y %m %p -> %l\n' | LC_ALL=C sort
find . -path ./.git -prune -o -path ./vendor/m/.git -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0r cksum --
for code in 'import calc; print(calc.X)' 'import pkg.mod; print(pkg.mod.X)' 'import pkg.new'
do python3 -c "$code" 2> /dev/null || echo no; done
git rev-parse 'HEAD^{tree}'; git ls-files -s | cksum; git log --oneline | wc -l
ls -A "$HOME" | wc -l; ls -A "$TMPDIR" | wc -l
"""
# What one gate may do before the next one looks.
LEAVE = "echo left >> a.txt; mkdir leave; rm -rf deep; chmod +x calc.py; git add -A; touch $HOME/left $TMPDIR/left"
QUESTIONS = (
    *("test -e lib/util.js", "test -x run.sh", "test -x a.txt", "test -L pkg", "test -p pipe", "node_modules/.bin/tool"),
    *("python3 -c 'import calc; assert calc.X == 1'", "python3 -c 'import sitecustomize'", "python3 -c 'import pkg.mod'"),
    *("test -e pkg/new.py", "cat x.log kept.log", "git rev-parse -q --verify mine", "cmp a.txt deep/er/d.txt"),
    *("test -z \"$(git status --porcelain --ignore-submodules=all)\"", "grep -q changed pkg/mod.py", "test -e vendor/m/m.py", "./run.sh"),
    *("test -d empty", "test -e .build/nested/.git", "test -e A.txt", "grep -q skipped a.txt"),
)

acts = st.one_of(
    st.tuples(st.just("write"), st.sampled_from(PATHS), st.sampled_from(TEXTS)),
    st.tuples(st.just("mode"), st.sampled_from(PATHS), st.sampled_from((0o755, 0o644, 0o600, 0o777, 0o555))),
    st.tuples(st.just("remove"), st.sampled_from(PATHS), st.none()),
    st.tuples(st.just("link"), st.sampled_from(PATHS), st.sampled_from(TARGETS)),
    st.tuples(st.just("run"), st.sampled_from(COMMANDS), st.none()),
    st.tuples(st.just("run"), st.sampled_from(COMMANDS), st.none()),
    st.tuples(st.just("forge"), st.none(), st.none()),
)


def act(folder: str, what: str, where: str | bytes | None, how: object) -> None:
    """What a step does. An act that cannot be done here is none."""
    if what in ("run", "forge"):
        script = ["python3", "-c", FORGE] if what == "forge" else ["sh", "-c", str(where)]
        subprocess.run(script, cwd=folder, env=clean_environment(Path(folder).parent), capture_output=True, check=False)
        return
    assert where is not None
    path = os.path.join(os.fsencode(folder), os.fsencode(where))
    with contextlib.suppress(OSError):
        if what == "write":
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.exists(path) or os.path.isfile(path):
                Path(os.fsdecode(path)).write_bytes(how)
        elif what == "mode":
            os.chmod(path, how)
        elif what == "link":
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            os.symlink(str(how), path)
        else:
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)


def clean_environment(folder: Path) -> dict[str, str]:
    """As the clone of somebody who configured nothing."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(exist_ok=True)
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "tmp"), "PYTHONDONTWRITEBYTECODE": "1", "GIT_CONFIG_NOSYSTEM": "1"}
    return {"PATH": os.environ["PATH"], **own, "GIT_CEILING_DIRECTORIES": str(folder)}


@pytest.fixture
def sample(world: World, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """A project with a submodule at hand, and a spec whose gates run in what this machine has."""
    module = tmp_path / "module"
    module.mkdir()
    user_git(module, "init", "-q", "-b", "main")
    commit_files(module, {"m.py": "x = 1\n"})
    (world.project / "run.sh").write_text("")
    (world.project / "run.sh").chmod(0o755)
    plain = commit_files(world.project, BASE)
    user_git(world.project, "-c", "protocol.file.allow=always", "submodule", "add", "-q", str(module), "vendor/m")
    commit_files(world.project, {})
    spec = replace(world.spec(), sandbox=find_level("auto", str(tmp_path)).level, rerun_gates=False)
    yield SimpleNamespace(project=world.project, spec=spec, bases=(plain, spec.base_commit), folder=tmp_path)


def in_the_product(sample: SimpleNamespace, base: str, scratch: Path, todo: list, question: str) -> tuple[str, GateStatus, str] | None:
    """(merged commit, verdict, what the gate printed); None where the product refuses the work."""
    repository = open_repository(sample.project)
    checkout = Checkout(repository, str(scratch / "checkout"), str(scratch / "index"), f"refs/ce/attempts/1/{scratch.name}")
    checkout.create(base)
    for what, where, how in todo:
        act(checkout.path, what, where, how)
    try:
        tree = checkout.snapshot(base)
    except (BlockedEntries, GitError) as refused:
        note(str(refused))
        return None
    closing = checkout.commit(tree, base, "Complete", first=True)
    user_git(sample.project, "branch", "-f", BRANCH, base)
    merged = repository.merge(BRANCH, closing, "Merge")
    assert isinstance(merged, Merged)
    outcomes = [judged(sample, scratch, commit, question) for commit in (closing, merged.commit)]
    assert outcomes[0][0] == outcomes[1][0], "the phase's own judgement and the one on the merged tree"
    return (merged.commit, *outcomes[1])


def judged(sample: SimpleNamespace, scratch: Path, commit: str, question: str) -> tuple[GateStatus, str]:
    pipe, journal = os.open(os.devnull, os.O_WRONLY), Journal(str(scratch / "log"), 10_000_000)
    spec: TaskSpec = sample.spec
    try:
        place = CleanCheckout(spec, open_repository(sample.project), commit)
        reporter = Reporter(spec, pipe, journal)
        gates = [GateSpec(number, text, GateKind.COMMAND, text) for number, text in enumerate((question, LEAVE, LOOK), start=1)]
        outcomes = Judge(spec, place, (), reporter).judge(gates)
        os.close(place._lock)  # as the end of the attempt's process does
    finally:
        os.close(pipe)
    return outcomes[0].status, outcomes[-1].output


def in_a_fresh_clone(sample: SimpleNamespace, scratch: Path, question: str) -> tuple[GateStatus, str]:
    asked, looked = scratch / "asked", scratch / "looked"
    told = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    clone = ["git", "-c", "protocol.file.allow=always", "clone", "-q", "--recurse-submodules", "--no-local", "--single-branch"]
    subprocess.run([*clone, "--branch", BRANCH, str(sample.project), str(asked)], env=told, capture_output=True, check=True)
    subprocess.run(["cp", "-a", str(asked), str(looked)], check=True)

    def run(command: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
        for name in ("home", "tmp"):
            shutil.rmtree(scratch / name, ignore_errors=True)
        env = clean_environment(scratch)
        return subprocess.run(["bash", "-euo", "pipefail", "-c", command], cwd=folder, env=env, stdout=-1, stderr=-2, check=False)

    passed = run(question, asked).returncode == 0
    return GateStatus.PASSED if passed else GateStatus.FAILED, run(LOOK, looked).stdout.decode("utf-8", "replace")


@pytest.mark.timeout(300 + 60 * EXAMPLES)
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=[Phase.generate],  # an example is a dozen processes: a smaller one is found by hand
    derandomize=EXAMPLES <= 12,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    todo=st.lists(acts, min_size=1, max_size=6),
    question=st.sampled_from(QUESTIONS),
    person=st.sets(st.sampled_from(SETTINGS), max_size=3),
    submodule=st.booleans(),
)
def test_a_gate_passes_if_and_only_if_it_passes_in_a_fresh_clone(
    sample, todo: list, question: str, person: set[str], submodule: bool
) -> None:
    with contextlib.ExitStack() as ends:
        scratch = Path(tempfile.mkdtemp(dir=sample.folder))
        ends.callback(shutil.rmtree, scratch, ignore_errors=True)
        for setting in sorted(person):
            key, _, value = setting.partition("=")
            user_git(sample.project, "config", key, value)
            ends.callback(user_git, sample.project, "config", "--unset", key)
        told = in_the_product(sample, sample.bases[submodule], scratch, todo, question)
        if told is not None:
            (verdict, seen), expected = told[1:], in_a_fresh_clone(sample, scratch, question)
            differs = "\n".join(difflib.unified_diff(expected[1].split("\n"), seen.split("\n"), "clone", "product", n=0))
            assert (verdict, differs) == (expected[0], ""), f"{differs}\n{question}"
