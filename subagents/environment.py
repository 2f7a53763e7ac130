"""The environment of programs that a plan names: an allow-list, and python where a plan expects it."""

from __future__ import annotations

import os
import sys

ALLOWED = ("PATH", "HOME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "USER", "LOGNAME", "SHELL", "TERM")


def allowed() -> dict[str, str]:
    """What anyone we start may know of our environment: no database, no secret key."""
    return {name: os.environ[name] for name in ALLOWED if name in os.environ}


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
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_PAGER": "cat",
    "PAGER": "cat",
    "CI": "1",
    "DEBIAN_FRONTEND": "noninteractive",
}


def for_commands(attempt_dir: str, checkout: str, own: str = "") -> dict[str, str]:
    """For the commands of steps and gates. `python` and the tools beside it are the interpreter's that runs CE Web.

    HOME and TMPDIR lie in the folder `own` ("": the attempt's directory).
    """
    tools = os.path.dirname(sys.executable)
    places = [tools, os.environ.get("PATH", os.defpath)]
    if not os.path.exists(os.path.join(tools, "python")):
        places.insert(0, _python_shim(attempt_dir))
    return {
        **allowed(),
        **UNATTENDED,
        "PATH": os.pathsep.join(places),
        "CE_ATTEMPT": attempt_dir,
        # Of its own: tools that tidy a shared folder (pytest keeps three runs there) would wait for everybody's.
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


def _python_shim(attempt_dir: str) -> str:
    folder = os.path.join(attempt_dir, "bin")
    script = os.path.join(folder, "python")
    if not os.path.exists(script):
        os.makedirs(folder, exist_ok=True)
        quoted = "'" + sys.executable.replace("'", "'\\''") + "'"
        descriptor = os.open(script, os.O_WRONLY | os.O_CREAT, 0o755)
        os.write(descriptor, f'#!/bin/sh\nexec {quoted} "$@"\n'.encode())
        os.close(descriptor)
    return folder
