"""A git server over http for tests: git's own `git http-backend` on bare repositories, for whoever sends the token."""

import base64
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import urlsplit

from tests.local_server import LocalServer

TOKEN = "token-of-a-test-1234"


class GitServer(LocalServer):
    """Serves the repositories below `root`. `asked` are the paths that came, `users` who sent the right token."""

    def __init__(self, root: Path, token: str = TOKEN) -> None:
        self.root, self.token = root, token
        self.asked: list[str] = []
        self.users: list[str] = []
        self.redirect = ""
        self.hangs: threading.Event | None = None
        super().__init__(Handler)

    def bare(self, path: str) -> Path:
        """A new bare repository, such as ada/shop."""
        folder = self.root / f"{path}.git"
        subprocess.run(["git", "init", "-q", "--bare", "-b", "main", str(folder)], check=True)
        subprocess.run(["git", "-C", str(folder), "config", "http.receivepack", "true"], check=True)
        return folder


class Handler(BaseHTTPRequestHandler):
    server: GitServer

    def _user(self) -> str | None:
        kind, _, proof = self.headers.get("Authorization", "").partition(" ")
        user, _, token = base64.b64decode(proof).decode().partition(":") if kind == "Basic" else ("", "", "")
        return user if token == self.server.token else None

    def _answer(self) -> None:
        server, parts = self.server, urlsplit(self.path)
        server.asked.append(parts.path)
        data = self._body()
        if server.hangs is not None:
            server.hangs.wait(60)
        if server.redirect:
            return self._end(302, {"Location": server.redirect + self.path})
        user = self._user()
        if user is None:
            return self._end(401, {"WWW-Authenticate": 'Basic realm="git"'})
        server.users.append(user)
        environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
            "GIT_PROJECT_ROOT": str(server.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "REMOTE_USER": user,
            "REQUEST_METHOD": self.command,
            "PATH_INFO": parts.path,
            "QUERY_STRING": parts.query,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "CONTENT_LENGTH": str(len(data)),
        }
        made = subprocess.run(["git", "http-backend"], input=data, env=environment, capture_output=True, check=False).stdout
        head, _, body = made.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
        return self._end(int(fields.pop("Status", "200").split()[0]), fields, body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _end(self, status: int, fields: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**fields, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = _answer

    def log_message(self, *_: object) -> None:
        pass
