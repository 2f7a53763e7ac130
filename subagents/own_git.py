"""What git is given in place of a project's configuration: a common directory of ours (docs/decisions/our-own-git.md).

git reads configuration, hooks, attributes and excludes from its common directory. Ours has a configuration that we wrote
and links to the project's objects and references: nothing that a repository or a person configures is in force for our
git, and no program that such a configuration names can run. What is written lands in the project's repository itself.
"""

from __future__ import annotations

import contextlib
import os
import stat

from subagents.files import sha256_hex, write_atomic

LINKED = ("objects", "refs", "packed-refs", "logs", "shallow")
CONFIG_BYTES = 1 << 20
MOST_BORROWED = 50

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_folders: list[str] = []  # the last one counts
_temporary: set[str] = set()  # those in the machine's temporary folder, where others make some, too


def keep_in(folder: str) -> None:
    """Where this process keeps our common directories; a process that was not told has a temporary folder of its own."""
    _folders.append(folder)


def own_common_dir(common_dir: str) -> str:
    """The common directory of ours for the project's `common_dir`; made when it is not there. Raises OSError."""
    place = os.path.join(_folder(), sha256_hex(os.fsencode(os.path.realpath(common_dir)))[:24])
    config = configuration(is_sha256(common_dir), rights=_rights(common_dir)).encode()
    path = os.path.join(place, "config")
    with contextlib.suppress(OSError), open(path, "rb") as file:
        if file.read(len(config) + 1) == config:
            return place
    if os.path.isdir(place):  # the project's repository was made anew, or we are a newer version
        write_atomic(path, config, durable=False, mode=0o600)
        return place
    draft = f"{place}.{os.getpid()}.{os.urandom(4).hex()}"
    for folder in (draft, os.path.join(draft, "info")):
        os.mkdir(folder, 0o700)
    for name in LINKED:
        os.symlink(os.path.join(os.path.realpath(common_dir), name), os.path.join(draft, name))
    for name, text in (("config", config), ("info/exclude", b"/.ce/orchestration/\n")):
        with open(os.path.join(draft, name), "xb") as written:
            written.write(text)
    try:
        os.rename(draft, place)
    except OSError:
        import shutil  # here: an attempt hardly ever needs it

        shutil.rmtree(draft, ignore_errors=True)
        if not os.path.isdir(place):
            raise
    return place


def configuration(sha256: bool, *, bare: bool = False, rights: str = "") -> str:
    """The configuration of a git directory of ours: nothing but what it takes to read the objects.

    `rights`, such as "0644", are those of the files that git writes, whatever this process's umask is.
    """
    shared = f"\tsharedRepository = {rights}\n" if rights else ""
    extension = "[extensions]\n\tobjectFormat = sha256\n" if sha256 else ""
    return f"[core]\n\trepositoryformatversion = {int(sha256)}\n\tbare = {str(bare).lower()}\n{shared}{extension}"


def _rights(common_dir: str) -> str:
    """Who may read and write what git adds to a project's repository: those who may do so with what is there."""
    try:
        return f"0{0o600 | os.stat(os.path.join(common_dir, 'objects')).st_mode & 0o066:o}"
    except OSError:
        return ""


def is_sha256(common_dir: str) -> bool:
    """Whether the project's objects are named by SHA-256."""
    return extension_of(common_dir, "objectformat") == "sha256"


def extension_of(common_dir: str, name: str) -> str:
    """The value of a repository's `extensions.<name>` in lower case, "" without one; read as text, since git allows no include there."""
    try:
        with open(os.path.join(common_dir, "config"), encoding="utf-8", errors="replace") as file:
            text = file.read(CONFIG_BYTES).lower()
    except OSError:
        return ""
    if name not in text:
        return ""
    section = ""
    for line in text.split("\n"):
        line = line.strip()
        if line.startswith("["):
            section, _, line = line.partition("]")
        key, _, value = line.partition("=")
        if section.strip("[ ") == "extensions" and key.strip() == name:
            return value.split("#")[0].split(";")[0].strip().strip('"')
    return ""


def object_folders(common_dir: str) -> tuple[str, ...]:
    """The folder of a repository's objects, and those that it borrows from (git clone --shared, --reference), and so on."""
    found: list[str] = []
    waiting = [os.path.join(os.path.realpath(common_dir), "objects")]
    while waiting and len(found) < MOST_BORROWED:
        folder = waiting.pop(0)
        if folder in found:
            continue
        found.append(folder)
        borrowed = os.path.join(folder, "info/alternates")
        with contextlib.suppress(OSError), open(borrowed, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.rstrip("\n") for line in file]
            waiting += [os.path.normpath(os.path.join(folder, _unquoted(line))) for line in lines if line and not line.startswith("#")]
    return tuple(found)


def alternates(folders: Sequence[str]) -> str:
    """The text of objects/info/alternates for these folders; git reads a line that begins with a quote with the escapes of C."""
    escapes = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})
    odd = {folder for folder in folders if folder[:1] in ('"', "#") or "\n" in folder}
    return "".join((f'"{folder.translate(escapes)}"' if folder in odd else folder) + "\n" for folder in folders)


def _unquoted(line: str) -> str:
    """A line of that file as the path that it means."""
    if not line.startswith('"'):
        return line
    data = os.fsencode(line[1:-1]).decode("unicode_escape").encode("latin-1")
    return data.decode("utf-8", "surrogateescape")


def _folder() -> str:
    if not _folders or (_folders[-1] in _temporary and not _is_ours(_folders[-1])):
        import atexit
        import shutil
        import tempfile

        made = tempfile.mkdtemp(prefix="ce-web-git-")
        _temporary.add(made)
        _folders.append(made)
        atexit.register(_remove_if_ours, made, shutil.rmtree)
    os.makedirs(_folders[-1], mode=0o700, exist_ok=True)
    return _folders[-1]


def _is_ours(folder: str) -> bool:
    """Whether a temporary folder is still the one that we made.

    A machine tidies up its temporary folder, and then anybody can make one of that name: git would read their configuration.
    """
    try:
        found = os.lstat(folder)
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _remove_if_ours(folder: str, remove: Callable[..., None]) -> None:
    if _is_ours(folder):
        remove(folder, ignore_errors=True)
