"""Known ways out of a sandbox, tried by a step at each level that holds on this machine (SECURITY.md names each of them)."""

import ctypes
import os
import shlex
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from subagents.contract import ResultStatus
from subagents.landlock import OF_THE_USER
from tests.subagents.conftest import World, steps, user_git
from tests.subagents.test_sandbox import HERE

pytestmark = pytest.mark.process

TRACE = "import ctypes, sys; sys.exit(ctypes.CDLL(None).ptrace(16, {pid}, 0, 0) != 0)"
ABSTRACT = "import socket; socket.socket(socket.AF_UNIX).connect(chr(0) + '{name}')"
UNIX = "import os, socket; os.chdir('{folder}'); socket.socket(socket.AF_UNIX).connect('listens')"
SOCKET = "import socket; socket.socket({kind})"
# keyctl(2): KEYCTL_SEARCH and KEYCTL_READ from the keyring of the session, or of the user (-4)
KEYS = (
    "import ctypes, sys; call = ctypes.CDLL(None).syscall; key = call({keyctl}, 10, {ring}, b'user', b'{name}', 0); "
    "sys.exit(key < 0 or call({keyctl}, 11, key, ctypes.create_string_buffer(9), 9) < 0)"
)
# what -> a shell line that ends with 0 when it works. {outside} is a folder of the server's user, {pid} a process of theirs.
WAYS = {
    "read a file outside": "cat {outside}/canary",
    "list a folder outside": "ls {outside}",
    "write a file outside": "touch {outside}/new",
    "write over a file outside": "echo x >> {outside}/canary",
    "read by a symbolic link": "ln -s {outside}/canary link && cat link",
    "write by a symbolic link": "ln -s {outside} folder && touch folder/by-link",
    "read by a hard link": "ln {outside}/canary hard && cat hard",
    "read by the root of the first process": "cat /proc/1/root{outside}/canary",
    "read by the root of the parent": "cat /proc/$PPID/root{outside}/canary",
    "read by the folder of another process": "cat /proc/{pid}/cwd/canary",
    "write to /usr": "touch /usr/local/ce-way-out && rm /usr/local/ce-way-out",
    "write to /etc": "touch /etc/ce-way-out && rm /etc/ce-way-out",
    "read the passwords of the machine": "cat /etc/shadow",
    "read the environment of another process": "cat /proc/{pid}/environ | grep -q .",
    "read the memory of another process": "head -c 1 /proc/{pid}/mem >&- || dd if=/proc/{pid}/mem bs=1 count=1 skip=4194304",
    "trace another process": 'python -c "' + TRACE + '"',
    "read a key of the server's session": 'python -c "' + KEYS.replace("{ring}", "-3") + '"',
    "find a key of the server's user": 'python -c "' + KEYS.replace("{ring}", "-4").replace("key < 0 or", "key < 0 or 0 and") + '"',
    "change the limits of another process": "prlimit --pid {pid} --nofile=0",
    "mount a file system": "mkdir m && mount -t tmpfs none m",
    "mount in a namespace of its own": "mkdir n && unshare -rm sh -c 'mount --bind / n && cat n{outside}/canary'",
    "enter the namespaces of the first process": "nsenter -t 1 -m cat {outside}/canary",
    "change the root": "chroot / true",
    "make a device": "mknod device b 8 0",
    "read the memory of the kernel": "head -c 1 /dev/mem || head -c 1 /proc/kcore",
    "change a setting of the kernel": ": >> /proc/sys/kernel/core_pattern",
    "keep a capability": "! grep -q 'CapEff:[[:space:]]*0000000000000000' /proc/self/status",
    "gain rights by a program": "grep -q 'NoNewPrivs:[[:space:]]*0' /proc/self/status",
    "change the clock": "date -s @0",
    "change the name of the machine": "hostname ce-way-out",
    "connect to a port of this machine": "bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port}'",
    "connect to a Unix socket": 'python -c "' + UNIX + '"',
    "connect to an abstract Unix socket": 'python -c "' + ABSTRACT + '"',
    "open a raw socket": 'python -c "' + SOCKET.format(kind="socket.AF_INET, socket.SOCK_RAW, 1") + '"',
    "open a packet socket": 'python -c "' + SOCKET.format(kind="socket.AF_PACKET, socket.SOCK_RAW") + '"',
    "find the API key in its environment": "env | grep -i anthropic",
    "read the spec of its attempt": "cat $CE_ATTEMPT/spec.json",
    "write the result of its attempt": "touch $CE_ATTEMPT/exit.json",
    "write a hook into the repository": "touch {git}/hooks/post-commit",
    "change the configuration of the repository": "echo '[core]' >> {git}/config",
    "write a reference of the repository": "echo x > {git}/refs/heads/way-out",
    "remove objects of the repository": "rm -rf {git}/objects/*",
}
# Root as a user of its own cannot be kept from these without a process namespace, and the kernel has no rule for rights (docs/security.md).
ONLY_BWRAP = {
    "see another process": "test -e /proc/{pid}/status",
    "kill another process": "kill -0 {pid}",
    "change the rights of a file outside": "chmod 600 {outside}/canary",
    "change the time of a file outside": "touch -d @0 {outside}/canary",
}


# They change nothing of the machine where they work, and work wherever these tests run.
HARMLESS = (
    *("read a file", "list a", "write a file", "write over", "read by the folder", "read by a", "write by a", "read the environment"),
    *("find a key", "change the limits", "connect to", "read the spec", "see another", "kill another", "change the rights"),
    "change the time",
)


@contextmanager
def places(world: World, folder: Path) -> Iterator[dict[str, object]]:
    """What the ways lead to: a folder outside with a canary, a process, a port, two Unix sockets."""
    folder.mkdir()
    (folder / "canary").write_text("not for you\n")
    here = os.getcwd()
    with socket.create_server(("127.0.0.1", 0)) as port, socket.socket(socket.AF_UNIX) as plain, socket.socket(socket.AF_UNIX) as abstract:
        os.chdir(folder)  # the path may be too long for a socket
        plain.bind("listens")
        plain.listen()
        os.chdir(here)
        name = f"ce-way-out-{os.getpid()}"
        abstract.bind(f"\0{name}")
        abstract.listen()
        (add_key, _, keyctl), _ = OF_THE_USER[os.uname().machine]
        call = ctypes.CDLL(None).syscall
        call(keyctl, 1, None)  # a session of the test's own
        for ring in (-3, -4):
            call(add_key, b"user", name.encode(), b"not for you", 11, ring)
        sleeps = f"cd {shlex.quote(str(folder))}; exec sleep 300"
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", sleeps], {"PATH": os.environ["PATH"], "A": "b"})
        try:
            number = port.getsockname()[1]
            lead = {"outside": folder, "folder": folder, "pid": pid, "port": number, "name": name, "git": world.project / ".git"}
            yield lead | {"keyctl": keyctl}
        finally:
            os.kill(pid, 9)
            os.waitpid(pid, 0)


def open_ways(world: World, folder: Path, ways: dict[str, str], level: str) -> list[str]:
    """Which of the ways are open to a step at a level."""
    with places(world, folder) as lead:
        tried = {what: f"sh -c {shlex.quote(way.format(**lead))} >/dev/null 2>&1" for what, way in ways.items()}
        lines = [f"if {way}; then echo {shlex.quote(what)}; fi" for what, way in tried.items()]
        script = "{\n" + "\n".join(lines) + "\n} > said.txt\nrm -rf link folder hard m n device"
        spec = world.spec(steps=steps(script), sandbox=level)
        result = world.run(spec).result
    assert result is not None and result.status == ResultStatus.SUCCESS, result
    return user_git(world.project, "show", f"{spec.attempt_ref}:said.txt").split("\n")


@pytest.mark.parametrize("level", HERE)
def test_no_known_way_out_is_open(world: World, tmp_path: Path, level: str) -> None:
    ways = WAYS | (ONLY_BWRAP if level == "bwrap" else {})
    assert open_ways(world, tmp_path / "outside", ways, level) == [""]
    assert (tmp_path / "outside/canary").read_text() == "not for you\n"
    assert user_git(world.project, "fsck", "--no-dangling") == ""


def test_without_a_sandbox_ways_are_open_so_that_their_being_closed_says_something(world: World, tmp_path: Path) -> None:
    ways = {what: way for what, way in (WAYS | ONLY_BWRAP).items() if what.startswith(HARMLESS)}
    assert len(ways) > 16
    assert open_ways(world, tmp_path / "outside", ways, "rlimit") == list(ways)
