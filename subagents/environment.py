"""The environment of programs that a plan names: an allow-list, and python where a plan expects it."""

from __future__ import annotations

import os
import re
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

ALLOWED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM")

# How this machine reaches a network: proxies, and the certificates of whoever stands in between.
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
WAY_OUT = (
    *_PROXIES,
    *(name.lower() for name in _PROXIES),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "PIP_CERT"),
)


# What the dynamic loader and the C library read (ld.so(8), their list for programs with more rights than their caller): they tell
# every program which code to load, and so bwrap and setpriv, which start outside of the sandbox or with more rights in it.
_LOADS_CODE = re.compile(r"LD_\w+|GCONV_PATH|LOCPATH|NLSPATH|GLIBC_TUNABLES")
# What CE Web sets for every command.
_SET_BY_US = frozenset({"HOME", "TMPDIR", "PATH", "CE_ATTEMPT", "GIT_CONFIG_NOSYSTEM", "GIT_CEILING_DIRECTORIES"})


def why_reserved(name: str) -> str:
    """Why a project cannot give its commands a variable of this name, in words that follow on it; "" when it can."""
    if _LOADS_CODE.fullmatch(name):
        return "would load code into the programs that make the sandbox; set it in the command itself"
    return "is set by CE Web; choose another name" if name in _SET_BY_US else ""


def for_sandbox(variables: Mapping[str, str]) -> dict[str, str]:
    """Those of a project's variables that may be set where the sandbox is made: what was stored is not trusted either."""
    return {name: value for name, value in variables.items() if not _LOADS_CODE.fullmatch(name)}


def allowed() -> dict[str, str]:
    """The variables of ours that every program we start gets: no database, no secret key."""
    return {name: os.environ[name] for name in ALLOWED if name in os.environ}


def way_out() -> dict[str, str]:
    """The variables that a command needs to reach the network from this machine; for those that may use it."""
    return {name: os.environ[name] for name in WAY_OUT if name in os.environ}


def site_packages() -> list[str]:
    """Where the packages of the interpreter that runs CE Web lie: we are started without them (python -I -S)."""
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    roots = (os.path.dirname(os.path.dirname(sys.executable)), sys.prefix)
    places = [os.path.join(root, "lib", version, "site-packages") for root in dict.fromkeys(roots)]
    return [place for place in places if os.path.isdir(place)]


# An editor, a pager or a question would wait for a person who is not there: an error at once is better.
UNATTENDED = {
    "GIT_EDITOR": "false",
    "GIT_SEQUENCE_EDITOR": "false",
    "EDITOR": "false",
    "VISUAL": "false",
    # vim goes on to read the error output where the input is empty, and on a pipe waits there for ever. What `-c` says is done before.
    "VIMINIT": "if resolve('/proc/self/fd/0') == '/dev/null' | execute 'autocmd VimEnter * cquit' | endif",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "CI": "1",
    "DEBIAN_FRONTEND": "noninteractive",
}
NAMED_BY_GO = "-test.v"  # in GOFLAGS of gates: `go test` names each test; go's other commands pass over it


def for_commands(attempt_dir: str, checkout: str, own: str = "") -> dict[str, str]:
    """For the commands of steps and gates: the one place where a project's own environment is put together.

    `python` is the interpreter from which CE Web's virtual environment was made, without CE Web's packages. It finds only
    those in LENT, and the project's own come first. These tools, HOME and TMPDIR lie in the folder `own` ("": the attempt's
    directory).
    """
    tools = _tools(own or attempt_dir)
    ours = {os.path.realpath(os.path.dirname(sys.executable)), os.path.dirname(sys.executable)}
    places = [place for place in os.environ.get("PATH", os.defpath).split(os.pathsep) if place and place not in ours]
    return {
        **allowed(),
        **UNATTENDED,
        "PATH": os.pathsep.join([tools, *places]),
        "PYTHONUSERBASE": tools,
        "CE_ATTEMPT": attempt_dir,
        # A folder of its own: in a shared one, tools that tidy up (pytest keeps three runs) would wait for one another.
        "TMPDIR": _folder(own or attempt_dir, "tmp"),
        "HOME": _folder(own or attempt_dir, "home"),  # for caches; nothing of the server's user is in it
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CEILING_DIRECTORIES": os.path.dirname(checkout),
        # Byte code is trusted by whole seconds of the source's time: a file edited by the next step may keep the old code.
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _folder(attempt_dir: str, name: str) -> str:
    folder = os.path.join(attempt_dir, name)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    return folder


# Packages of ours that a run of tests needs: commands find them where the project has none of that name.
LENT = ("pytest", "_pytest", "pluggy", "iniconfig", "packaging", "pygments", "coverage")
# Started as programs, because `python -m` looks for modules in the working folder first.
STARTED = {
    "pytest": "from pytest import console_main; sys.exit(console_main())",
    "coverage": "from coverage.cmdline import main; sys.exit(main())",
}
TOLD_BY_PYTHON = "CE_IMPORTED_ELSEWHERE"  # for gates: a file, the checkout, and names of its packages (own_code.py)
LENDER = """import importlib.machinery
import os
import sys


class Lender:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is None and name in {names!r}:
            return importlib.machinery.PathFinder.find_spec(name, {places!r})


class Watcher:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if path is None and name in OWN:
            spec = importlib.machinery.PathFinder.find_spec(name)
            places = [spec.origin] if spec and spec.origin else [*(spec and spec.submodule_search_locations or ())]
            if places and not any(os.path.realpath(place).startswith(CHECKOUT + os.sep) for place in places):
                with open(FILE, "a") as file:
                    print(name, "is", places[0], file=file)


sys.meta_path.append(Lender)
FILE, CHECKOUT, *OWN = os.environ.get({told!r}, "\\n").split("\\n")
if OWN:
    sys.meta_path.insert(0, Watcher)
"""


def _tools(attempt_dir: str) -> str:
    """A folder with python, pytest, coverage and ruff for the attempt's commands; it can be read only where they run."""
    folder = os.path.join(attempt_dir, "bin")
    if os.path.exists(os.path.join(folder, "python")):
        return folder
    os.makedirs(folder, exist_ok=True)
    interpreter, server = os.path.realpath(sys.executable), os.path.dirname(sys.executable)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    site = os.path.join(folder, "lib", version, "site-packages")
    os.makedirs(site, exist_ok=True)
    _write(os.path.join(site, "ce_lender.py"), LENDER.format(names=LENT, places=site_packages(), told=TOLD_BY_PYTHON))
    _write(os.path.join(site, "ce_lender.pth"), "import ce_lender\n")
    quoted = "'" + interpreter.replace("'", "'\\''") + "'"
    for name in ("python3", version):
        _write(os.path.join(folder, name), f'#!/bin/sh\nexec {quoted} "$@"\n', 0o755)
    for name, start in STARTED.items():
        _write(os.path.join(folder, name), f"#!/bin/sh\nexec {quoted} -c 'import sys; del sys.path[0]; {start}' \"$@\"\n", 0o755)
    ruff = os.path.join(server, "ruff")
    if os.path.exists(ruff) and not os.path.lexists(os.path.join(folder, "ruff")):
        os.symlink(ruff, os.path.join(folder, "ruff"))
    _write(os.path.join(folder, "python"), f'#!/bin/sh\nexec {quoted} "$@"\n', 0o755)  # the last: it says that all is there
    return folder


def _write(path: str, text: str, mode: int = 0o644) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.write(descriptor, text.encode())
    os.close(descriptor)
