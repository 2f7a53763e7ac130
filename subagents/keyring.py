"""The kernel's keyring of a session, which is in no namespace.

Whoever starts a server may have keys there, such as tickets of Kerberos. Its processes have them too, and so had the commands of
attempts, whatever user and namespaces they ran in.
"""

from __future__ import annotations

import ctypes
import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

JOIN_SESSION_KEYRING = 1
KEYCTL = {"x86_64": 250, "ppc64le": 271, "s390x": 280}
KEYCTL_ELSEWHERE = 219  # aarch64, riscv64, loongarch64
NO_KEYS = (errno.ENOSYS, errno.EPERM, errno.EACCES)  # the kernel has none, or somebody forbids them: then also to what is started


def leave_keyring() -> Callable[[], None]:
    """What gives the calling process an empty keyring of its own; it raises OSError if the kernel has no room for one."""
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    number = ctypes.c_long(KEYCTL.get(os.uname().machine, KEYCTL_ELSEWHERE))

    def leave() -> None:
        if library.syscall(number, ctypes.c_long(JOIN_SESSION_KEYRING), None) < 0 and (fault := ctypes.get_errno()) not in NO_KEYS:
            raise OSError(fault, os.strerror(fault))

    return leave
