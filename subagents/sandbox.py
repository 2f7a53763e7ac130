"""Where the commands of a plan and of agents run: bubblewrap, else Landlock, else resource limits (docs/security.md).

A level counts only when it was seen to hold on this machine: `probe` tries to write outside, to read a canary, to reach
a listener and to outlive its parent. `confine` is the one way by which commands are put into a level.
"""

from __future__ import annotations

import os
import select
import sys
import time

if __name__ == "__main__":  # a probe in a process of its own, see find_level
    sys.path.append(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from subagents.built_environment import ProjectEnvironment
from subagents.environment import NAMED_BY_GO, allowed, for_commands
from subagents.own_git import object_folders
from subagents.processes import SIGKILL, ProgramMissing, run, stream
from subagents.record import record, replace
from subagents.redaction import Redacted

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from subagents.contract import TaskSpec

LEVELS = ("bwrap", "landlock", "rlimit")  # the strongest first
ISOLATING = frozenset({"bwrap", "landlock"})
NETWORKS = ("none", "steps", "all")  # whose commands reach the network: nobody's, the steps', also the gates'
BWRAP = next((place for place in ("/usr/bin/bwrap", "/bin/bwrap", "/usr/local/bin/bwrap") if os.access(place, os.X_OK)), "")
PROBE_SECONDS = 10.0
PROBE_PREFIX = "sandbox-"
DEATH_SECONDS = 5.0
OWN_USERS = 2_000_000_000
TEMPORARY_BYTES = 512 * 1024 * 1024  # /tmp and /dev/shm inside bwrap are memory; TMPDIR is on the disk

# What programs need of /etc. Nothing else of it is shown: no shadow, no keys, no credentials of services.
ETC = (
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "passwd", "group", "nsswitch.conf", "hosts", "host.conf"),
    *("resolv.conf", "services", "protocols", "localtime", "timezone", "mime.types", "os-release", "debian_version", "terminfo"),
    *("ssl/certs", "ssl/openssl.cnf", "ca-certificates", "ca-certificates.conf", "pki/tls/certs", "pki/ca-trust", "fonts"),
)
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


@record
class SandboxPolicy:
    """What commands may reach: paths to read and run, paths to write, the network. Limits of 0 are none.

    `owner` is the user that root's commands become at bwrap; 0: one of this process's own. `port` is one of loopback that
    may be reached without the network where the network is no own one (landlock). `proxy` is the socket of the network proxy,
    which is then the only way out, whatever `network` says ("": none).
    """

    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    network: bool = False
    address_bytes: int = 0
    file_bytes: int = 0
    processes: int = 0
    owner: int = 0
    port: int = 0
    proxy: str = ""


def policy_for(
    spec: TaskSpec, checkout: str, *, network: bool, readable: Sequence[str] = (), writable: Sequence[str] = (), own: str = ""
) -> SandboxPolicy:
    """The policy of one attempt's commands: its checkout, its own HOME and TMPDIR, the tools, and what the project declares.

    HOME and TMPDIR lie in the folder `own` ("": the attempt's directory). Where the project allows some hosts only, `network`
    is the network proxy, which is started.

    Of the project's repository only the objects can be read, for the agent's own `git status`. Raises GitError, OSError.
    """
    from subagents import network_access
    from subagents.open_repository import attached_repository

    asked = spec.policy
    objects = object_folders(attached_repository(spec.repository).common_dir)
    built = ProjectEnvironment.of(spec)
    shown = (*tools(), *objects, *([built.folder] if built.folder else ()))
    shown += (*(os.path.join(place, "bin") for place in dict.fromkeys((spec.attempt_dir, own or spec.attempt_dir))),)
    shown += (*(str(path) for path in asked.get("paths", ())), *readable)
    folders = (checkout, *(os.path.join(own or spec.attempt_dir, name) for name in ("tmp", "home")))
    limits = {name: int(asked.get(name, 0)) for name in ("address_bytes", "file_bytes", "processes")}
    proxy = network_access.proxy_socket(spec) if network else ""
    return SandboxPolicy(shown, (*folders, *writable), network and not proxy, **limits, proxy=proxy)


def command_environment(spec: TaskSpec, checkout: str, own: str = "") -> dict[str, str]:
    """The environment variables of commands in `checkout`, with those of the project's environment; `own` as for `run_commands`."""
    found = for_commands(spec.attempt_dir, checkout, own)
    return found | ProjectEnvironment.of(spec).variables_for(checkout, found["PATH"])


def run_commands(
    spec: TaskSpec,
    argv: Sequence[str],
    checkout: str,
    on_output: Callable[[bytes], None],
    *,
    gates: bool = False,
    own: str = "",
    extra: Mapping[str, str] | None = None,
    seconds: float | None = None,
) -> tuple[int, bool]:
    """Run a command of a step, or with `gates` of a gate, in the attempt's sandbox; (exit code, timed out) as `stream` has them.

    HOME and TMPDIR lie in the folder `own` ("": the attempt's directory).

    bwrap tells of a death by signal as a shell does; SIGKILL, which is how the kernel answers a lack of memory, is
    told as -9 at every level. Raises FileNotFoundError when the checkout is gone.
    """
    from subagents.network_access import variables as network_variables

    network = spec.policy.get("network") in (("all",) if gates else ("steps", "all"))
    environment = {**(network_variables(spec) if network else {}), **command_environment(spec, checkout, own), **(extra or {})}
    policy = policy_for(spec, checkout, network=network, own=own)
    level = spec.sandbox or "rlimit"
    if gates:  # beside what the project says itself
        environment["GOFLAGS"] = f"{environment.get('GOFLAGS', '')} {NAMED_BY_GO}".strip()
    inner, prepare = confine(level, policy, argv, checkout)
    clean = Redacted(on_output)
    exit_code, timed_out = stream(inner, environment, checkout, clean.add, seconds=seconds, prepare=prepare)
    clean.end()
    return (-SIGKILL if level == "bwrap" and exit_code == 128 + SIGKILL else exit_code), timed_out


def confine(level: str, policy: SandboxPolicy, argv: Sequence[str], directory: str) -> tuple[list[str], Callable[[], None]]:
    """(argv, what the child does before it becomes that program) to run `argv` in `directory` at `level`.

    Raises ValueError for an unknown level, OSError when Landlock refuses.
    """
    limit = _limits(policy)
    if level == "bwrap" and policy.proxy:
        from subagents.network_access import PORT
        from subagents.network_inside import HERE, LINK_FD
        from subagents.unix_sockets import connect_to

        def link() -> None:
            limit()
            os.dup2(connect_to(policy.proxy).detach(), LINK_FD)

        shown = replace(policy, readable=(*policy.readable, HERE))
        return [*_bwrap(shown, directory), *_inside(policy), sys.executable, "-I", "-S", HERE, str(PORT), *argv], link
    if level == "bwrap":
        return [*_bwrap(policy, directory), *_inside(policy), *argv], limit
    if level == "landlock":
        from subagents.landlock import enter

        read, write = _landlock_paths(policy)
        asked = _pass_to(policy.proxy) if policy.proxy else None
        restrict = enter(read, write, network=policy.network, port=policy.port, asked=asked)

        def prepare() -> None:
            limit()
            restrict()

        return list(argv), prepare
    if level == "rlimit" and policy.proxy:
        raise ValueError("at the sandbox level rlimit there is no network proxy")
    if level == "rlimit":
        return list(argv), limit
    raise ValueError(f"there is no sandbox level {level!r}; there are {', '.join(LEVELS)}")


def _pass_to(proxy: str) -> Callable[[int], None]:
    """Passes the descriptor of a filter to the network proxy, in the child. The connection is made before, for inside there is none."""
    import socket

    from subagents.unix_sockets import connect_to

    link = connect_to(proxy)

    def asked(descriptor: int) -> None:
        socket.send_fds(link, [b"sockets"], [descriptor])
        os.close(descriptor)

    return asked


def tools() -> tuple[str, ...]:
    """What Python and the tools installed beside it need of places other than /usr; only programs and libraries."""
    own = os.path.dirname(os.path.abspath(__file__))
    prefixes = {os.path.dirname(os.path.dirname(path)) for path in (sys.executable, os.path.realpath(sys.executable))}
    parts = ("bin", "lib", "lib64", "include", "share", "pyvenv.cfg")
    found = [os.path.join(prefix, part) for prefix in sorted(prefixes) for part in parts if not _under(prefix, "/usr") and prefix != "/"]
    return (os.path.join(own, "syntax.py"), *(path for path in found if os.path.exists(path)))


def _under(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _inside(policy: SandboxPolicy) -> list[str]:
    """What runs first inside: the last rights are laid down, the processes are counted where only the attempt's own are seen.

    Root becomes a user of the attempt's own. A user namespace would leave it the kernel's uid 0, which owns /proc/sys and
    /dev/null: seen to work on a machine like yours.
    """
    if not os.getuid():
        owner = policy.owner or own_user()
        return ["/usr/bin/setpriv", f"--reuid={owner}", f"--regid={owner}", "--clear-groups", "--inh-caps=-all", "--"]
    return ["/usr/bin/prlimit", f"--nproc={policy.processes}", "--"] if policy.processes else []


def own_user() -> int:
    """A number that no account has (systemd's UIDS-GIDS.md leaves these free); "nobody" where a container has none to give."""
    with open("/proc/self/uid_map", "rb") as file:
        whole = file.read().split() == [b"0", b"0", b"4294967295"]
    return OWN_USERS + os.getpid() if whole else 65534


def hand_over(level: str, folders: Sequence[str]) -> None:
    """Give folders to whom commands at `level` run as, before the first command does. Raises OSError."""
    if level == "bwrap" and not os.getuid():
        _hand_over(folders, own_user())


def _hand_over(folders: Sequence[str], user: int) -> None:
    """Give folders, made by root, to the attempt's user, before anything of the attempt has run in them. Raises OSError.

    A folder that is that user's is so as a whole: it was given away before.
    """
    for folder in folders:
        if os.lstat(folder).st_uid == user:
            continue
        for place, names, files in os.walk(folder):
            for name in (*names, *files):
                os.lchown(os.path.join(place, name), user, user)
        os.lchown(folder, user, user)


def _bwrap(policy: SandboxPolicy, directory: str) -> list[str]:
    """bwrap's own arguments. Root mounts without a user namespace, so that any path can be shown, and keeps what it
    takes to enter the sandbox and to become its user: setpriv gives that up (docs/security.md, Root)."""
    made = [BWRAP or "bwrap", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try", "--die-with-parent"]
    made += ["--cap-drop", "ALL"]
    if os.getuid():
        made.append("--unshare-user")
    else:
        made += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_DAC_READ_SEARCH"]
        _hand_over(policy.writable, policy.owner or own_user())
    made += ["--ro-bind", "/usr", "/usr"]
    if not policy.network:
        made.append("--unshare-net")
    for name in ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"):
        if os.path.islink(name):
            made += ["--symlink", os.readlink(name), name]
        elif os.path.isdir(name):
            made += ["--ro-bind", name, name]
    folders: dict[str, None] = {}  # bwrap itself would make them for root alone
    for name in ETC:
        folders |= dict.fromkeys(_above(f"/etc/{name}"))
    for folder in folders:
        made += ["--perms", "0755", "--dir", folder]
    for name in ETC:
        made += ["--ro-bind-try", os.path.realpath(f"/etc/{name}"), f"/etc/{name}"]
    size = ["--perms", "1777", "--size", str(TEMPORARY_BYTES), "--tmpfs"]
    made += ["--proc", "/proc", "--dev", "/dev", *size, "/dev/shm", *size, "/tmp", *size, "/run", "--symlink", "../tmp", "/var/tmp"]  # noqa: S108 -- places inside the sandbox, empty and its own
    binds = [("--ro-bind-try", path) for path in policy.readable] + [("--bind", path) for path in policy.writable]
    shown: set[str] = set()
    for option, path in sorted(binds, key=lambda bind: (bind[1].count("/"), bind[0])):  # a folder before what lies in it
        above = _above(path)
        if path in shown:
            continue
        if shown.isdisjoint(above):
            for folder in above:
                if folder not in folders:
                    folders[folder] = None
                    made += ["--perms", "0755", "--dir", folder]
        made += [option, path, path]
        shown.add(path)
    return [*made, "--chdir", directory, "--"]


def _above(path: str) -> list[str]:
    """The folders that a path lies in, the uppermost first, without the root."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[:depth]) for depth in range(1, len(parts) + 1)]


def _landlock_paths(policy: SandboxPolicy) -> tuple[list[str], list[str]]:
    system = [path for path in ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/proc") if os.path.exists(path)]
    read = [*system, *(f"/etc/{name}" for name in ETC), *policy.readable]
    return read, [*(f"/dev/{name}" for name in DEVICES), *policy.writable]


def _limits(policy: SandboxPolicy) -> Callable[[], None]:
    """Sets the limits that hold at every level, in the child: no core files, size of a file, address space, no keys of ours."""
    import resource  # before the fork

    from subagents.keyring import leave_keyring

    wanted = [(resource.RLIMIT_FSIZE, policy.file_bytes), (resource.RLIMIT_AS, policy.address_bytes)]
    if not os.getuid():  # anybody else has other processes, which would be counted too: see _inside
        wanted.append((resource.RLIMIT_NPROC, policy.processes))

    leave = leave_keyring()

    def prepare() -> None:
        leave()
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for kind, value in wanted:
            if value:
                hard = resource.getrlimit(kind)[1]
                value = value if hard == resource.RLIM_INFINITY else min(value, hard)
                resource.setrlimit(kind, (value, value))

    return prepare


# What commands see that is not the project's


# Prints, a line each, where the interpreter finds the packages that it was told of.
_FOUND = """import importlib.util, sys
for name in sys.argv[1:]:
    spec = importlib.util.find_spec(name)
    print(spec.origin if spec else "")
"""


def seen_by_commands(packages: Mapping[str, str]) -> tuple[str, ...]:
    """Those of the server's packages {name: its file} that commands of projects import from the very same place.

    There are some where CE Web is installed without a virtual environment. Raises ProgramMissing.
    """
    environment = {**allowed(), "PYTHONUSERBASE": os.devnull}
    found = run([os.path.realpath(sys.executable), "-P", "-c", _FOUND, *packages], environment, seconds=PROBE_SECONDS).out
    rows = zip(packages.items(), found.decode("utf-8", "surrogateescape").split("\n"), strict=False)
    return tuple(name for (name, ours), theirs in rows if theirs and os.path.realpath(theirs) == os.path.realpath(ours))


# Which level holds here


@record
class FoundLevel:
    """The level to use, and for each stronger one why it is not: {level: reason}. `seconds` is what finding out took."""

    level: str
    refused: dict[str, str]
    seconds: float


class SandboxUnavailable(Exception):
    """The level that was asked for does not hold on this machine. The message says why and what can be done."""


def find_level(asked: str, folder: str) -> FoundLevel:
    """The first level that holds ("auto"), or the one that is asked for, tried in a folder made under `folder`.

    Raises SandboxUnavailable when an explicit level does not hold.
    """
    began = time.monotonic()
    _remove_left_over(folder)
    refused: dict[str, str] = {}
    for level in LEVELS if asked == "auto" else (asked,):
        reason = why_refused(level, folder)
        if not reason:
            return FoundLevel(level, refused, time.monotonic() - began)
        refused[level] = reason
    raise SandboxUnavailable(f"CE_SANDBOX={asked} does not hold on this machine: {refused[asked]}. Use CE_SANDBOX=auto or fix that.")


def _remove_left_over(folder: str) -> None:
    """Remove the folders of tries that were killed before they could: none takes longer than its limit for all its parts."""
    import shutil

    for entry in os.scandir(folder):
        tried = entry.name.startswith(PROBE_PREFIX) and entry.is_dir(follow_symlinks=False)
        if tried and time.time() - entry.stat(follow_symlinks=False).st_mtime > 6 * PROBE_SECONDS:
            shutil.rmtree(entry.path, ignore_errors=True)


def why_refused(level: str, folder: str) -> str:
    """`probe` in a process without threads: it forks, and a death signal is tied to the thread that started a child."""
    if level == "rlimit":
        return ""
    if level == "bwrap" and not BWRAP:
        return "bubblewrap is not installed (Debian and Ubuntu: apt install bubblewrap)"
    try:
        answer = run([sys.executable, "-I", "-S", os.path.abspath(__file__), level, folder], allowed(), seconds=3 * PROBE_SECONDS)
    except ProgramMissing as error:
        return str(error)
    if answer.exit_code or answer.timed_out:
        return f"it cannot be tried: {answer.err.decode(errors='replace').strip()[-300:] or 'no answer'}"
    return answer.out.decode(errors="replace").strip()


def probe(level: str, folder: str) -> str:
    """Why `level` does not hold on this machine, or "" when it was seen to. `folder` may be written to; nothing is left there."""
    import shutil
    import tempfile

    place = ""
    try:
        place = tempfile.mkdtemp(prefix=PROBE_PREFIX, dir=folder)
        return _escapes(level, place) or _outlives(level, place)
    except OSError as error:
        return f"it cannot be tried: {error}"
    finally:
        if place:
            shutil.rmtree(place, ignore_errors=True)


# In the sandbox. Prints what it could do, as JSON; "inside" is what it must be able to do.
_ATTEMPT = """
import json, os, socket, sys
inside, outside, port = sys.argv[1:]
def can(act):
    try:
        act()
        return True
    except OSError:
        return False
def reach(family, address, folder="/"):
    os.chdir(folder)
    with socket.socket(family) as s:
        s.settimeout(2)
        s.connect(address)
def status(name):
    return next(line.split()[1] for line in open("/proc/self/status") if line.startswith(name))
print(json.dumps({
    "inside": can(lambda: open(inside + "/new", "w").close()),
    "write outside": can(lambda: open(outside + "/new", "w").close()),
    "cut a file outside": can(lambda: os.truncate(outside + "/canary", 1)),
    "remove outside": can(lambda: os.unlink(outside + "/victim")),
    "read a canary": can(lambda: open(outside + "/canary").close()),
    "change the kernel's settings": can(lambda: open("/proc/sys/kernel/core_pattern", "a").close()),
    "change a device": can(lambda: os.chmod("/dev/null", os.stat("/dev/null").st_mode & 0o777)),
    "connect to a port": can(lambda: reach(socket.AF_INET, ("127.0.0.1", int(port)))),
    "connect to a socket": can(lambda: reach(socket.AF_UNIX, "socket", outside)),
    "use capabilities": int(status("CapEff"), 16) != 0,
}))
"""


def _escapes(level: str, place: str) -> str:
    """Let a program try what it must not be able to; what it could, in words, or ""."""
    import json
    import socket

    inside, outside = os.path.join(place, "inside"), os.path.join(place, "outside")
    os.mkdir(inside)
    os.mkdir(outside)
    os.chmod(place, 0o755)  # noqa: S103 -- commands run as another user and must get in; the data directory above is 0700
    for name in ("canary", "victim"):
        with open(os.path.join(outside, name), "w") as file:
            file.write("not for you")
    said = b""

    def keep(data: bytes) -> None:
        nonlocal said
        said += data

    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as listener:
        descriptor = os.open(outside, os.O_PATH | os.O_CLOEXEC)
        listener.bind(f"/proc/self/fd/{descriptor}/socket")  # however long the path is
        os.close(descriptor)
        listener.listen()
        script = [sys.executable, "-I", "-S", "-c", _ATTEMPT, inside, outside, str(port.getsockname()[1])]
        argv, prepare = confine(level, SandboxPolicy(tools(), (inside,)), script, inside)
        exit_code, timed_out = stream(argv, {"PATH": os.defpath}, inside, keep, seconds=PROBE_SECONDS, prepare=prepare)
    try:
        could = json.loads(said.splitlines()[-1])
    except (IndexError, ValueError):
        how = "did not end" if timed_out else f"ended with exit code {exit_code}"
        return f"a program in it {how}: {said.decode(errors='replace').strip()[-300:]}"
    if not could.pop("inside"):
        return "a program in it cannot write where it should"
    if level == "landlock":
        could.pop("change a device")  # Landlock knows nothing of rights and times of files: SECURITY.md says so
    done = [what for what, happened in could.items() if happened]
    return f"a program in it could {', '.join(done)}" if done else ""


def _outlives(level: str, place: str) -> str:
    """Kill what started a program; why something of it lives on, or "". In bwrap a daemon has to die as well."""
    inside = os.path.join(place, "inside")
    daemon = "os.fork() or (os.setsid(), os.fork() and os._exit(0));" if level == "bwrap" else ""
    script = f"import os, time; {daemon} print('up', flush=True); time.sleep(60)"
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.set_inheritable(write_end, True)  # whoever lives holds it open
            argv, prepare = confine(level, SandboxPolicy(tools(), (inside,)), [sys.executable, "-I", "-S", "-c", script], inside)
            stream(argv, {"PATH": os.defpath}, inside, lambda data: _tell(write_end, data), prepare=prepare)
        finally:
            os._exit(0)
    os.close(write_end)
    try:
        begun = bool(select.select([read_end], [], [], PROBE_SECONDS)[0]) and bool(os.read(read_end, 100))
        os.kill(pid, SIGKILL)
        os.waitpid(pid, 0)
        deadline = time.monotonic() + DEATH_SECONDS
        while begun and time.monotonic() < deadline:
            if select.select([read_end], [], [], 0.05)[0] and not os.read(read_end, 100):
                return ""
        return "a program in it lives on when its parent is killed" if begun else "a program in it did not start"
    finally:
        os.close(read_end)


def _tell(pipe: int, data: bytes) -> None:
    os.write(pipe, data)


if __name__ == "__main__":
    os.write(1, probe(sys.argv[1], sys.argv[2]).encode())
