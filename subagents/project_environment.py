"""The environment of a project: what its commands need besides the commit, such as `.venv` or `node_modules`.

A project's set-up command builds it once for each content of the files that it depends on. It is then shown to steps and
gates at the same paths, by links that no commit can contain. docs/environment.md describes the settings.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import fnmatch
import json
import os
import re
import sys
import time

from subagents.built_environment import NOTHING, READY, EnvironmentSettings, ProjectEnvironment, note_as_built
from subagents.checkout import Checkout
from subagents.credentials import secrets_for
from subagents.files import MACHINE_ERRORS, SubagentError, sha256_hex, write_atomic
from subagents.folders import remove
from subagents.machine_faults import filled_by, full
from subagents.record import replace
from subagents.sandbox import ISOLATING

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter
    from subagents.workspace import Repository

FORMAT = "2"  # raised when an environment that an older version built must be built again
MOST_LINKS = 2_000
SETUP_SECONDS = 1_800.0
BROUGHT_BYTES = 50_000_000
MOST_BUILDS = 100  # of one environment, of which each was changed by somebody
WAIT_SECONDS = 0.2
OUTPUT_BYTES = 16_000
PROGRAM_FOLDERS = (".venv/bin", "venv/bin", "node_modules/.bin", "vendor/bin")
# The files that a set-up usually reads, by name in any folder. A project can name others.
INPUTS = (
    *("requirements*.txt", "constraints*.txt", "pyproject.toml", "setup.py", "setup.cfg"),
    *("uv.lock", "poetry.lock", "Pipfile", "Pipfile.lock"),
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "pnpm-workspace.yaml", "yarn.lock", ".npmrc"),
    *("Cargo.toml", "Cargo.lock", "rust-toolchain", "rust-toolchain.toml", "go.mod", "go.sum", "go.work", "Gemfile", "Gemfile.lock"),
    *("composer.json", "composer.lock", ".python-version", ".nvmrc", ".node-version", ".ruby-version", ".tool-versions"),
)
# What a set-up compiles into the environment where the project is of a language that loads such parts: a package that is installed in
# place, an addon of node. They must be built from the sources that are judged.
COMPILED = (
    *("*.c", "*.h", "*.cc", "*.cpp", "*.cxx", "*.hh", "*.hpp", "*.hxx", "*.m", "*.mm", "*.s", "*.S", "*.f", "*.f90"),
    *("*.pyx", "*.pxd", "*.pxi", "*.rs", "meson.build", "CMakeLists.txt", "*.cmake", "binding.gyp", "build.rs", "extconf.rb"),
)
LOADS_COMPILED = frozenset({"pyproject.toml", "setup.py", "setup.cfg", "package.json", "Gemfile"})


class SetupFailed(SubagentError):
    """The set-up command did not build the environment; the message says how it ended and what it printed last."""


def environment_for(spec: TaskSpec, repository: Repository, commit: str, reporter: Reporter) -> ProjectEnvironment:
    """The project's environment for the files of `commit`, built when no attempt on this host has built it yet.

    Raises SetupFailed, GitError, OSError, MachineFault.
    """
    settings = EnvironmentSettings.of(spec.environment)
    if settings.is_empty:
        return NOTHING
    key = _id(settings, repository, commit, spec.repository)
    first = os.path.join(settings.folder, key[:24])
    for folder in (os.path.dirname(settings.folder), settings.folder):  # the mode is that of the last folder only
        os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(f"{first}.lock", "w") as lock:
        _wait_for(lock.fileno(), reporter)
        for number in range(1, MOST_BUILDS + 1):
            folder = first if number == 1 else f"{first}-{number}"
            built = _read(folder, key)
            if built is None:
                _build(spec, settings, repository, commit, folder, key, reporter)
                built = _read(folder, key)
            if built is None:
                raise SetupFailed(f"the environment in {folder} was built and cannot be read")
            built.hold()
            if not (changed := built.changed_since_built(spec.sandbox)):
                return built
            # Others may be at work with it: it stays, and is built anew beside it.
            reporter.note("warning", "setup", f"{folder} is not as it was built, and is built again: {changed}", environment=key)
    raise SetupFailed(f"all {MOST_BUILDS} builds of the environment {first} were changed afterwards; stop what runs, and delete them")


def built_before(folder: str, key: str, level: str) -> ProjectEnvironment | None:
    """The environment with this id among those in `folder`, None when it is not there any more as it was built; nothing is built.

    `level` is the sandbox that its commands will have.
    """
    first = os.path.join(folder, key[:24])
    for number in range(1, MOST_BUILDS + 1) if folder else ():
        built = _read(first if number == 1 else f"{first}-{number}", key)
        if built is not None and not built.changed_since_built(level):
            return built
    return None


def _wait_for(lock: int, reporter: Reporter) -> None:
    told = False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
        if not told:
            reporter.progress(0, "Waiting for the set-up that another attempt runs", "setup")
            told = True
        time.sleep(WAIT_SECONDS)
        reporter.alive()


def _id(settings: EnvironmentSettings, repository: Repository, commit: str, user_folder: str) -> str:
    """What an environment depends on, as one hash: the settings, the interpreter, and the content of the input files."""
    rows = [row.partition(b"\t") for row in repository.git("ls-tree", "-r", "-z", "--end-of-options", commit).out.split(b"\0")]
    loads = any(os.path.basename(os.fsdecode(name)) in LOADS_COMPILED for _, _, name in rows)
    wanted = settings.inputs or (*INPUTS, *(COMPILED if loads else ()))
    files = []
    for meta, _, name in rows:
        path = os.fsdecode(name)
        if path and any(fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(os.path.basename(path), glob) for glob in wanted):
            files.append([path, meta.decode("ascii")])
    brought = [[path, _digest(_own_file(user_folder, path))] for path in settings.bring_along]
    secrets = [list(pair) for pair in settings.secrets]
    parts = [FORMAT, settings.setup, settings.network, settings.path, settings.variables, list(sys.version_info[:3]), files, brought]
    parts += [secrets] if secrets else []
    return sha256_hex(json.dumps(parts).encode("utf-8", "surrogatepass"))


def _own_file(folder: str, path: str) -> str:
    """The place of a file that is to be brought along. Raises SetupFailed where a link leads to another place.

    The link could be anybody's who commits, and lead to whatever the server's user may read.
    """
    place = os.path.join(os.path.realpath(folder), os.path.normpath(path))
    if os.path.realpath(place) != place:
        raise SetupFailed(f"{path} is to be brought along, but a link leads from there to another place: name the file itself")
    return place


def _digest(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return sha256_hex(file.read(BROUGHT_BYTES))
    except OSError as error:
        if error.errno in MACHINE_ERRORS:
            raise
        raise SetupFailed(f"{path} is to be brought along, but cannot be read: {error.strerror}") from None


def _read(folder: str, key: str) -> ProjectEnvironment | None:
    try:
        with open(os.path.join(folder, READY), encoding="utf-8") as file:
            found = ProjectEnvironment.from_json(json.load(file))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if found.id == key else None


def _build(
    spec: TaskSpec, settings: EnvironmentSettings, repository: Repository, commit: str, folder: str, key: str, reporter: Reporter
) -> None:
    """Run the set-up on a clean checkout of `commit`, and note what it left there. Raises SetupFailed, GitError, OSError."""
    reporter.progress(0, "Setting up the project's environment", "setup")
    reporter.note("info", "setup", settings.setup or "nothing to run; files are brought along", environment=key)
    if os.path.lexists(folder):
        remove(folder)  # what a set-up that failed or was killed has left
    checkout = os.path.join(folder, "checkout")
    for name in ("checkout", "tmp", "home"):
        os.makedirs(os.path.join(folder, name), mode=0o755)
    made = Checkout(repository, checkout, os.path.join(folder, "index"), "")
    made.create(commit)
    tracked = made.files()
    for path in settings.bring_along:
        _bring(_own_file(spec.repository, path), os.path.join(checkout, path))
    if settings.setup:
        _run(spec, settings, folder, checkout, reporter)
    for left in (os.path.join(checkout, ".git"), os.path.join(folder, "tmp"), os.path.join(folder, "bin")):
        if os.path.lexists(left):
            remove(left)
    _take_over(folder, writable=spec.sandbox in ISOLATING)
    links = _left(checkout, tracked)
    programs = [place for name in (*settings.path, *PROGRAM_FOLDERS) if os.path.isdir(place := os.path.join(checkout, name))]
    in_place = _installed_in_place(checkout, links)
    built = ProjectEnvironment(key, folder, tuple(links), tuple(dict.fromkeys(programs)), in_place, settings.variables)
    note_as_built(folder)
    write_atomic(os.path.join(folder, READY), json.dumps(built.to_json()).encode())


def _bring(source: str, target: str) -> None:
    """Copy a file of the user's folder, or a folder of files, to be read only. Raises SetupFailed, OSError."""
    if os.path.isdir(source):
        raise SetupFailed(f"{source} is a folder; name the files that are to be brought along")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if not os.path.lexists(target):
        import shutil  # here: every attempt imports this module, and it brings the compressors

        shutil.copyfile(source, target)
        os.chmod(target, 0o444)


def _run(spec: TaskSpec, settings: EnvironmentSettings, folder: str, checkout: str, reporter: Reporter) -> None:
    from subagents.backends.steps import shell_command
    from subagents.gates import Capture
    from subagents.sandbox import run_commands

    capture = Capture()

    def keep(data: bytes) -> None:
        capture.add(data)
        reporter.output(data, 0)
        reporter.alive()

    own = replace(spec, policy={**spec.policy, "network": "all" if settings.network else "none"}, environment={})
    variables = {name: value.replace("{environment}", folder) for name, value in settings.variables} | secrets_for("setup")
    script = shell_command(settings.setup, spec.attempt_dir, "setup")
    exit_code, timed_out = run_commands(own, script, checkout, keep, gates=True, own=folder, extra=variables, seconds=SETUP_SECONDS)
    reporter.end_output(0)
    if exit_code and (fault := full((folder,))) and not filled_by((folder,)):
        raise fault
    if exit_code or timed_out:
        how = f"did not end within {SETUP_SECONDS:g} s" if timed_out else f"ended with exit code {exit_code}"
        raise SetupFailed(f"the project's set-up command {how}:\n{capture.text()[-OUTPUT_BYTES:]}")


def _take_over(folder: str, *, writable: bool) -> None:
    """Make what the set-up wrote ours and readable for every attempt, whose commands may run as other users.

    Not `writable`: nothing is added or removed by accident where commands have our own rights. Tools that would keep a cache
    there find out as they do in the sandbox.
    """
    for place, names, files in os.walk(folder):
        for name in (*names, *files):
            path = os.path.join(place, name)
            if os.path.islink(path):
                continue
            if not os.getuid():
                os.lchown(path, 0, 0)
            mode = os.stat(path).st_mode & 0o7777
            is_folder = os.path.isdir(path)
            mode |= 0o555 if is_folder or mode & 0o100 else 0o444
            os.chmod(path, mode & ~0o222 if is_folder and not writable else mode)


def _left(checkout: str, tracked: Sequence[str]) -> list[str]:
    """The paths, each as high up as possible, that are in a checkout and in no commit."""
    files, folders = set(tracked), set()
    for path in files:
        while path := os.path.dirname(path):
            folders.add(path)
    found: list[str] = []
    waiting = [""]
    while waiting:
        place = waiting.pop()
        for entry in sorted(os.scandir(os.path.join(checkout, place)), key=lambda entry: entry.name):
            path = os.path.join(place, entry.name)
            if path in folders and entry.is_dir(follow_symlinks=False):
                waiting.append(path)
            elif path not in files and path != ".git":
                found.append(path)
    if len(found) > MOST_LINKS:
        raise SetupFailed(f"the set-up left {len(found)} new files beside the project's own; {MOST_LINKS} are the most")
    return sorted(found)


_IN_PLACE = re.compile(r"\.(pth|egg-link)$|__editable__.*\.py$|^direct_url\.json$")


def _installed_in_place(checkout: str, links: Sequence[str]) -> tuple[str, ...]:
    """Folders of the checkout that packages installed in place (`pip install -e .`) lead to.

    Such a package would be imported from the environment's own checkout: other code than the one that is judged.
    """
    found: dict[str, None] = {}
    inside = re.compile(re.escape(checkout) + r"(?P<path>(?:/[^'\":,\n]+)?)")
    for link in links:
        for place, _folders, files in os.walk(os.path.join(checkout, link)):
            if not place.endswith(("site-packages", "dist-packages")):
                continue
            for name in files:
                if not _IN_PLACE.search(name):
                    continue
                with contextlib.suppress(OSError, UnicodeDecodeError), open(os.path.join(place, name), encoding="utf-8") as file:
                    for match in inside.finditer(file.read(1_000_000)):
                        path = match["path"].strip("/ ")
                        if path.startswith(tuple(links)):
                            continue
                        # a finder names the package itself; a .pth file the folder that it lies in
                        package = os.path.isfile(os.path.join(checkout, path, "__init__.py")) or path.endswith(".py")
                        found[(os.path.dirname(path) if package else path) or "."] = None
    return tuple(found)
