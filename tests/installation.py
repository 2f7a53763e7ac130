"""A whole installation in a scratch directory, as real processes: what the engine, browser and chaos tests drive.

It has a data directory, a port and a database of its own: SQLite in the data directory or, when DATABASE_URL names
a PostgreSQL server, a new database there.
"""

import atexit
import contextlib
import functools
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tests.patience import PATIENCE

ROOT = Path(__file__).resolve().parent.parent


def wait_for(condition: Callable[[], object], seconds: float, what: str) -> object:
    """Ask `condition` until it is true and return what it gave; AssertionError, naming `what`, when patience ends."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        if found := condition():
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds * PATIENCE:g} s: {what}")
        time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Installation:
    """See the module; every method waits until what it promises is so.

    It begins with the tables made, copied from a template, unless it is to begin `empty`.
    """

    def __init__(self, directory: Path, *, empty: bool = False, **environment: str) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.data.mkdir(parents=True)
        self.port = free_port()
        self.marker = f"CE_TEST_INSTALLATION={uuid.uuid4().hex}"
        self.log_path = directory / "up.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.sign_in_link = ""
        self.password = ""
        self._server = _postgresql_server()
        self._database = f"ce_test_{uuid.uuid4().hex[:12]}" if self._server else ""
        if self._server:
            template = "template1" if empty else _template_database(self._server)
            _execute(self._server, f'CREATE DATABASE "{self._database}" TEMPLATE "{template}"')
        elif not empty:
            shutil.copy(_template_file(), self.data / "db.sqlite3")
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("CE_", "DJANGO_", "PYTEST_", "COV_"))},
            "CE_DATA_DIR": str(self.data),
            "CE_HOST": f"test-{uuid.uuid4().hex[:8]}",
            "DATABASE_URL": self.database_url,
            "PYTHONUNBUFFERED": "1",
            "CE_FREE_SPACE_MB": "0",  # a machine that is nearly full is no reason to test nothing
            self.marker.partition("=")[0]: self.marker.partition("=")[2],
            **environment,
        }

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def host(self) -> str:
        return self.environment["CE_HOST"]

    @property
    def database_url(self) -> str:
        if not self._server:
            return f"sqlite:///{self.data / 'db.sqlite3'}"
        return urlunsplit(urlsplit(self._server)._replace(path=f"/{self._database}"))

    @property
    def repository(self) -> Path:
        """The sample project's repository."""
        return self.data / "sample-project"

    @property
    def log(self) -> str:
        """What `manage.py up` and its children have printed so far."""
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def manage(self, *arguments: str, check: bool = True, timeout: float = 200, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `manage.py` with `arguments`; AssertionError with all it printed when `check` and it failed."""
        done = subprocess.run(
            [sys.executable, str(ROOT / "manage.py"), *arguments],
            cwd=self.directory,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout * PATIENCE,
        )
        if check and done.returncode:
            raise AssertionError(f"manage.py {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done

    def shell(self, code: str) -> str:
        """What Python `code` prints inside the installation, with Django set up; the last line break removed."""
        return self.manage("shell", "--no-imports", "-c", code).stdout.removesuffix("\n")

    def bootstrap(self, *arguments: str) -> str:
        """Run the first-run command and keep what it tells; returns all it printed."""
        printed = self.manage("bootstrap", "--port", str(self.port), *arguments).stdout
        if link := re.search(r"http://\S+/sign-in/\S+", printed):
            self.sign_in_link = link.group()
        if password := re.search(r"password (\S+)", printed):
            self.password = password.group(1)
        return printed

    def start(self, *arguments: str, seconds: float = 30) -> None:
        """`manage.py up`, until the site answers and the ticker has ticked."""
        self.launch(*arguments)
        if "--no-web" not in arguments:
            self.wait(self.answers, seconds, "the site answers")
        if "--no-cluster" not in arguments:
            self.wait_for_ticker(seconds)

    def launch(self, *arguments: str) -> None:
        """`manage.py up`, without waiting for anything."""
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(ROOT / "manage.py"), "up", "--port", str(self.port), *arguments],
                cwd=self.directory,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, number: int = signal.SIGINT, seconds: float = 25) -> int:
        """Send `number` to `manage.py up` and wait for its end; returns its exit status."""
        assert self.process is not None
        self.process.send_signal(number)
        status = self.process.wait(seconds * PATIENCE)
        self.process = None
        return status

    def answers(self) -> bool:
        """Whether the web server answers anything at all."""
        try:
            with urllib.request.urlopen(f"{self.url}/sign-in/", timeout=2):
                return True
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False

    def wait_for_ticker(self, seconds: float = 15) -> None:
        """Until the ticker has touched its mark after now."""
        mark, now = self.data / "ticker.alive", time.time()
        self.wait(lambda: mark.exists() and mark.stat().st_mtime > now, seconds, "the ticker ticks")

    def wait(self, condition: Callable[[], object], seconds: float, what: str) -> object:
        """wait_for, with the log of this installation in the failure."""
        try:
            return wait_for(condition, seconds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log[-6000:]}") from None

    def processes(self) -> dict[int, str]:
        """All processes of this installation, agents too: {process id: command line}. Found by their environment."""
        found = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):
                    if self.marker.encode() in (entry / "environ").read_bytes().split(b"\0"):
                        found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        return found

    def supervised(self, name: str) -> list[int]:
        """Process ids under `manage.py up`, parents first: "cluster" (parent, sentinel, children) or "web"."""
        words = {"cluster": ("ce_web.manage cluster", "manage.py cluster"), "web": ("gunicorn",)}[name]
        return sorted(pid for pid, line in self.processes().items() if any(one in line for one in words))

    def kill_everything(self) -> None:
        """SIGKILL to every process of this installation, again and again until none is left."""

        def none_left() -> bool:
            left = self.processes()
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not left

        wait_for(none_left, 20, "every process of the installation is gone")
        if self.process is not None:
            self.process.kill()  # a dying process has no environment to be found by, and is not ours to forget before its end
            self.process.wait(20 * PATIENCE)
            self.process = None

    def remove(self) -> None:
        """End everything and drop the database; the files belong to the test's own directory."""
        self.kill_everything()
        if self._server:
            _execute(self._server, f'DROP DATABASE IF EXISTS "{self._database}" WITH (FORCE)')


def _postgresql_server() -> str:
    url = os.environ.get("DATABASE_URL", "")
    return urlunsplit(urlsplit(url)._replace(path="/postgres")) if url.startswith(("postgres:", "postgresql:")) else ""


@functools.cache
def _template_file() -> Path:
    """A SQLite database with all tables and nothing in them, made once for each process of the tests."""
    folder = Path(tempfile.mkdtemp(prefix="ce-test-template-"))
    atexit.register(shutil.rmtree, folder)
    _migrate(folder, f"sqlite:///{folder / 'db.sqlite3'}")
    return folder / "db.sqlite3"


@functools.cache
def _template_database(server: str) -> str:
    """The same on PostgreSQL; returns its name."""
    name = f"ce_test_template_{uuid.uuid4().hex[:12]}"
    _execute(server, f'CREATE DATABASE "{name}"')
    atexit.register(_execute, server, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    with tempfile.TemporaryDirectory(prefix="ce-test-template-") as folder:
        _migrate(Path(folder), urlunsplit(urlsplit(server)._replace(path=f"/{name}")))
    return name


def _migrate(data: Path, database_url: str) -> None:
    environment = {**os.environ, "CE_DATA_DIR": str(data), "DATABASE_URL": database_url}
    subprocess.run([sys.executable, str(ROOT / "manage.py"), "migrate", "-v", "0"], env=environment, check=True, timeout=300 * PATIENCE)


def _execute(server: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)
