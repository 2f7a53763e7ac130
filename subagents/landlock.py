"""Landlock and a small seccomp filter by ctypes: the sandbox for hosts that forbid user namespaces.

Landlock restricts files. seccomp refuses sockets, because Landlock does not cover UDP and sockets with a path. Numbers and
shapes are those of linux/landlock.h, linux/seccomp.h and linux/audit.h.
"""

from __future__ import annotations

import ctypes
import os
import struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
RULE_PATH_BENEATH, RULE_NET_PORT = 1, 2
BIND_TCP, CONNECT_TCP = 1, 2
PORTS_ABI = 4  # the first that can restrict TCP to single ports (kernel 6.7)
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # the rights that a rule about a file, not a folder, may have
READ = EXECUTE | READ_FILE | READ_DIR
SCOPED = 3  # from ABI 6 on: no abstract sockets and no signals to the outside
LEAST_ABI = 3  # earlier ones cannot protect files outside from truncation (kernel 6.2)

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, PR_CAPBSET_DROP, SECCOMP_MODE_FILTER = 38, 22, 24, 2
CAPABILITY_VERSION_3 = 0x20080522
# SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO with EACCES, with EAFNOSUPPORT and with no error, SECCOMP_RET_USER_NOTIF
ALLOW, REFUSE, NO_SUCH_FAMILY, DO_NOTHING, ASK = 0x7FFF0000, 0x00050000 | 13, 0x00050000 | 97, 0x00050000, 0x7FC00000
SET_MODE_FILTER, NEW_LISTENER, WAIT_KILLABLE = 1, 8, 32
# BPF_LD|W|ABS, BPF_JMP|JEQ|K, BPF_JMP|JGE|K, BPF_JMP|JSET|K, BPF_RET|K, BPF_ALU|AND|K
LOAD, EQUAL, AT_LEAST, ANY_BIT, RETURN, AND = 0x20, 0x15, 0x35, 0x45, 0x06, 0x54
# AUDIT_ARCH, and the numbers of socket(2), connect(2), sendto(2), sendmsg(2), sendmmsg(2) and seccomp(2)
ARCHITECTURES = {"x86_64": (0xC000003E, 41, 42, 44, 46, 307, 317), "aarch64": (0xC00000B7, 198, 203, 206, 211, 269, 277)}
X32_BIT, IO_URING_SETUP = 0x40000000, 425
# The numbers of add_key(2), request_key(2) and keyctl(2), and of prlimit64(2)
OF_THE_USER = {"x86_64": ((248, 249, 250), 302), "aarch64": ((217, 218, 219), 261)}
AF_UNIX, AF_INET, AF_INET6, SOCK_STREAM, TYPE_BITS, IPPROTO_TCP, MSG_FASTOPEN = 1, 2, 10, 1, 0xF, 6, 0x20000000
CALL, ARCHITECTURE, ARGUMENTS = 0, 4, (16, 24, 32, 40)  # where the filter finds them; of an argument, the lower half


def enter(
    readable: Sequence[str], writable: Sequence[str], *, network: bool, port: int = 0, asked: Callable[[int], None] | None = None
) -> Callable[[], None]:
    """Prepare the rules; the returned function applies them to the calling process, permanently. Raises OSError.

    Paths that do not exist are left out. Without `network` no socket can be made; with it, none with a path. With a `port`
    instead, the process can reach that TCP port, on any address, since the kernel checks the number only. A kernel that
    cannot restrict ports gives the same access as `network`. With `asked` instead, which gets a descriptor in the child, whoever
    has that descriptor answers each socket(2) for a TCP stream (given_sockets.py).
    """
    library = ctypes.CDLL(None, use_errno=True)
    library.syscall.restype = ctypes.c_long
    abi = library.syscall(ctypes.c_long(CREATE_RULESET), None, ctypes.c_size_t(0), ctypes.c_uint(1))
    if abi < LEAST_ABI:
        raise OSError(38, f"the kernel has Landlock ABI {max(abi, 0)}; {LEAST_ABI} is needed (Linux 6.2)")
    if os.uname().machine not in ARCHITECTURES:
        raise OSError(38, f"no socket filter is available for {os.uname().machine}")
    every = (1 << {3: 15, 4: 15}.get(abi, 16)) - 1
    one_port = bool(port) and not network and abi >= PORTS_ABI
    attributes = struct.pack("=QQQ", every, BIND_TCP | CONNECT_TCP if one_port else 0, SCOPED)[: 24 if abi >= 6 else 16 if abi >= 4 else 8]
    ruleset = _checked(library.syscall(ctypes.c_long(CREATE_RULESET), attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint(0)))
    os.set_inheritable(ruleset, False)
    for paths, rights in ((readable, READ), (writable, every)):
        for path in paths:
            try:
                place = os.open(path, os.O_PATH | os.O_CLOEXEC)
            except FileNotFoundError:
                continue
            allowed = rights if os.path.isdir(path) else rights & OF_FILES & every
            rule = struct.pack("=Qi", allowed, place)
            _checked(
                library.syscall(ctypes.c_long(ADD_RULE), ctypes.c_int(ruleset), ctypes.c_int(RULE_PATH_BENEATH), rule, ctypes.c_uint(0))
            )
            os.close(place)
    if one_port:
        rule = struct.pack("=QQ", CONNECT_TCP, port)
        _checked(library.syscall(ctypes.c_long(ADD_RULE), ctypes.c_int(ruleset), ctypes.c_int(RULE_NET_PORT), rule, ctypes.c_uint(0)))
    if asked is not None:
        code = _filter(_ASKED, fast_open=False, connects="nothing")
    else:
        code = _filter(_TCP_ONLY, fast_open=False) if one_port else _filter(_NOT_UNIX if network or port else _NONE, fast_open=True)
    library.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]

    def restrict() -> None:
        for capability in range(64):
            library.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)  # refused after the last one, or without the right to: harmless
        header, none = struct.pack("=Ii", CAPABILITY_VERSION_3, 0), bytes(24)
        _checked(library.capset(header, none))
        _checked(library.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(library.syscall(ctypes.c_long(RESTRICT_SELF), ctypes.c_int(ruleset), ctypes.c_uint(0)))
        steps = ctypes.create_string_buffer(code, len(code))
        program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(steps)))
        if asked is None:
            _checked(library.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(program), 0, 0))
            return
        number, flags = ARCHITECTURES[os.uname().machine][-1], NEW_LISTENER | WAIT_KILLABLE
        asked(_checked(library.syscall(ctypes.c_long(number), ctypes.c_uint(SET_MODE_FILTER), ctypes.c_uint(flags), program)))

    return restrict


# Which sockets may be made: BPF steps (code, value, label if it is so, label if not; "": the next step), and labels.
Step = tuple[int, int, str, str] | str
_NONE: list[Step] = [(LOAD, ARGUMENTS[0], "", ""), (AT_LEAST, 1, "refuse", "allow")]
_NOT_UNIX: list[Step] = [(LOAD, ARGUMENTS[0], "", ""), (EQUAL, AF_UNIX, "refuse", "allow")]
# Landlock's rule of ports is for plain TCP: not for MPTCP, SCTP or SMC, which are streams too.
_TCP_ONLY: list[Step] = [
    (LOAD, ARGUMENTS[0], "", ""),
    (EQUAL, AF_INET, "kind", ""),
    (EQUAL, AF_INET6, "kind", "refuse"),
    "kind",
    (LOAD, ARGUMENTS[1], "", ""),
    (AND, TYPE_BITS, "", ""),
    (EQUAL, SOCK_STREAM, "", "refuse"),
    (LOAD, ARGUMENTS[2], "", ""),
    (EQUAL, 0, "allow", ""),
    (EQUAL, IPPROTO_TCP, "allow", "refuse"),
]
# Whoever has the descriptor is asked about each of them, and there is no IPv6: programs take the other then.
_ASKED: list[Step] = [
    (LOAD, ARGUMENTS[0], "", ""),
    (EQUAL, AF_INET6, "no family", ""),
    (EQUAL, AF_INET, "", "refuse"),
    *_TCP_ONLY[_TCP_ONLY.index("kind") + 1 : -2],
    (EQUAL, 0, "ask", ""),
    (EQUAL, IPPROTO_TCP, "ask", "refuse"),
]


def _filter(sockets: Sequence[Step], *, fast_open: bool, connects: str = "allow") -> bytes:
    """The BPF program: it refuses foreign system call tables, io_uring (which makes sockets too) and socket(2) except `sockets`;
    without `fast_open` also sending that connects (TCP Fast Open), about which the kernel does not ask Landlock. `connects` is the
    label for connect(2). Of what the server's user owns it refuses, too, the kernel's keys and the limits of other processes."""
    architecture, socket, connect, sendto, sendmsg, sendmmsg, _ = ARCHITECTURES[os.uname().machine]
    keys, prlimit = OF_THE_USER[os.uname().machine]
    return _assembled(
        [
            (LOAD, ARCHITECTURE, "", ""),
            (EQUAL, architecture, "", "refuse"),
            (LOAD, CALL, "", ""),
            (AT_LEAST, X32_BIT, "refuse", ""),
            *((EQUAL, number, "refuse", "") for number in (IO_URING_SETUP, *keys)),
            (EQUAL, prlimit, "whose", ""),
            *(() if fast_open else ((EQUAL, sendto, "fourth", ""), (EQUAL, sendmmsg, "fourth", ""), (EQUAL, sendmsg, "third", ""))),
            (EQUAL, connect, connects, ""),
            (EQUAL, socket, "", "allow"),
            *sockets,
            "whose",
            (LOAD, ARGUMENTS[0], "", ""),
            (EQUAL, 0, "allow", "refuse"),
            "third",
            (LOAD, ARGUMENTS[2], "", ""),
            (ANY_BIT, MSG_FASTOPEN, "refuse", "allow"),
            "fourth",
            (LOAD, ARGUMENTS[3], "", ""),
            (ANY_BIT, MSG_FASTOPEN, "refuse", "allow"),
            "allow",
            (RETURN, ALLOW, "", ""),
            "nothing",
            (RETURN, DO_NOTHING, "", ""),
            "ask",
            (RETURN, ASK, "", ""),
            "no family",
            (RETURN, NO_SUCH_FAMILY, "", ""),
            "refuse",
            (RETURN, REFUSE, "", ""),
        ]
    )


def _assembled(steps: Sequence[Step]) -> bytes:
    """BPF instructions, with labels as distances; they lead forwards only."""
    places: dict[str, int] = {}
    for step in steps:
        if isinstance(step, str):
            places[step] = sum(not isinstance(other, str) for other in steps[: steps.index(step)])
    plain = [step for step in steps if not isinstance(step, str)]
    rows = []
    for place, (code, value, *labels) in enumerate(plain, start=1):
        rows.append(struct.pack("=HBBI", code, *(places[label] - place if label else 0 for label in labels), value))
    return b"".join(rows)


def _checked(answer: int) -> int:
    if answer < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return answer
