"""What is a fault of the machine, and what is not; full disks themselves are in tests/chaos/test_attacks.py."""

import contextlib
import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from subagents.machine_faults import MachineFault, fault_in, fault_of, filled_by, full, probe
from subagents.open_repository import open_repository
from subagents.processes import ProgramMissing, run, stream
from tests.installation import ROOT


@pytest.mark.parametrize(
    ("said", "number"),
    [
        ("error: file write error: No space left on device\nfatal: unable to write loose object", errno.ENOSPC),
        ("fatal: Unable to create '/srv/shop/.git/index.lock': No space left on device.\n\nAnother line", errno.ENOSPC),
        ("fatal: cannot create directory at 'src': Read-only file system", errno.EROFS),
        ("error: unable to create temporary file: Disk quota exceeded", errno.EDQUOT),
        ("fatal: mmap failed: Cannot allocate memory", errno.ENOMEM),
        ("fatal: Out of memory, malloc failed (tried to allocate 1 byte)", errno.ENOMEM),
        ("error: read error while indexing a.txt: Input/output error", errno.EIO),
        ("git: error while loading shared libraries: libz.so.1: cannot open shared object file: Error 24", errno.EMFILE),
        ("fatal: could not open '/srv/x' for reading: Too many open files in system", errno.ENFILE),
    ],
)
def test_what_git_says_of_the_machine_is_understood(said: str, number: int):
    fault = fault_in(said.encode(), 128)
    assert fault is not None and fault.number == number and os.strerror(number) in str(fault)


@pytest.mark.parametrize(
    "said",
    [
        "fatal: bad revision 'main'",
        "error: 'No space left on device' did not match any file(s) known to git",
        "fatal: cannot lock ref 'refs/heads/ce/batch-1': is at 1 but expected 2",
        "error: open(\"pipe\"): Permission denied",
    ],
)
def test_other_errors_of_git_are_not_the_machines(said: str, tmp_path: Path):
    assert fault_in(said.encode(), 128, [str(tmp_path)]) is None


def test_errors_of_the_system_are_told_from_those_of_the_work(tmp_path: Path):
    place = str(tmp_path / "not" / "there")
    fault = fault_of(OSError(errno.ENOSPC, "x"), (place,))
    assert isinstance(fault, MachineFault) and "MB free" in str(fault)
    assert fault_of(fault) is fault and fault_of(MemoryError()) is not None
    for number in (errno.ENOENT, errno.EACCES, errno.EEXIST, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EFBIG, errno.EAGAIN):
        assert fault_of(OSError(number, "x")) is None
    assert fault_of(ProgramMissing("git cannot be started: No such file or directory")) is None


def test_a_probe_leaves_nothing_and_says_nothing_where_writing_works(tmp_path: Path):
    assert probe((str(tmp_path), str(tmp_path / "gone"))) is None and full((str(tmp_path),)) is None
    assert list(tmp_path.iterdir()) == [] and not filled_by((str(tmp_path),))


@pytest.mark.parametrize("before", ["", "os.O_TMPFILE = os.O_DIRECTORY | os.O_WRONLY"], ids=["nameless files", "none of them"])
def test_a_probe_that_is_killed_while_it_writes_leaves_nothing(tmp_path: Path, before: str):
    """The folder may be a person's repository. Without nameless files EISDIR is the answer, as of an old file system."""
    killed = "os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)"
    code = f"import os, signal, sys\n{before}\n{killed}\nfrom subagents.machine_faults import probe\nprobe(sys.argv[1:])"
    assert subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == []


def test_too_many_open_files_and_processes_are_the_machines(project: Path, monkeypatch: pytest.MonkeyPatch):
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    repository = open_repository(project)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 1, limits[1]))
    opened = []
    with contextlib.suppress(OSError):
        while True:
            opened.append(os.dup(0))
    try:
        with pytest.raises(OSError) as met:
            repository.branches()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for descriptor in opened:
            os.close(descriptor)
    fault = fault_of(met.value)
    assert fault is not None and fault.number == errno.EMFILE and "Too many open files" in str(fault)

    def no_more(*_: object, **__: object) -> int:
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    for name, start in (("posix_spawnp", lambda: run(["true"], {})), ("fork", lambda: stream(["true"], {}, "/", lambda _: None))):
        with monkeypatch.context() as patched:
            patched.setattr(os, name, no_more)  # RLIMIT_NPROC does not bind root
            with pytest.raises(OSError) as met:
                start()
            assert fault_of(met.value) is not None
