"""A local server that speaks as much of Linear's GraphQL schema as is used, over real sockets."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler

from tests.local_server import LocalServer, serving

TOKEN = "lin_api_of_a_test"
Answer = tuple[int, dict[str, str], object]


@dataclass
class LinearServer:
    """Teams and issues, the requests that came, and what to do with the next one instead of answering it."""

    issues: dict[str, dict] = field(default_factory=dict)
    asked: list[tuple[str, dict]] = field(default_factory=list)
    instead: list[Callable[["LinearServer", str, dict], Answer | None]] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def serve(self) -> Iterator[str]:
        """Answer until the block ends; yields the address."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, headers, data = outer.answer(self.headers.get("Authorization", ""), body["query"], body["variables"])
                payload = json.dumps(data).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(payload)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            def log_message(self, *_: object) -> None:
                pass

        server = LocalServer(Handler)
        with serving(server):
            try:
                yield f"{server.url}/graphql"
            finally:
                self.hang.set()

    def answer(self, token: str, query: str, variables: dict) -> Answer:
        name = query.split("(")[0].split()[-1]
        self.asked.append((name, variables))
        if token != TOKEN:
            return 401, {}, {"errors": [{"message": f"bad token {token}", "extensions": {"code": "AUTHENTICATION_ERROR"}}]}
        if self.instead and (said := self.instead.pop(0)(self, name, variables)) is not None:
            return said
        return 200, {}, {"data": getattr(self, f"_{name.lower()}")(variables)}

    def _team(self, variables: dict) -> dict:
        return {"teams": {"nodes": [{"id": "team-1", "key": "ENG"}] if variables["key"] == "ENG" else []}}

    def _issue(self, variables: dict) -> dict:
        found = self.issues.get(variables["id"])
        return {"issues": {"nodes": [found] if found else []}}

    def _read(self, variables: dict) -> dict:
        found = next((one for one in self.issues.values() if one["identifier"] == variables["id"]), None)
        return {"issue": found and {"comments": {"nodes": []}, **found}}

    def _create(self, variables: dict) -> dict:
        return {"issueCreate": {"success": True, "issue": self.made(variables)}}

    def made(self, variables: dict) -> dict:
        """Keep the issue; an id that there is already is a mistake of whoever asks."""
        wanted = variables["input"]
        assert wanted["id"] not in self.issues, "created twice"
        assert wanted["teamId"] == "team-1"
        number = len(self.issues) + 1
        issue = {"id": wanted["id"], "identifier": f"ENG-{number}", "url": f"https://linear.app/test/issue/ENG-{number}", **wanted}
        self.issues[wanted["id"]] = issue
        return issue

    def count(self, name: str) -> int:
        return sum(asked == name for asked, _ in self.asked)


def as_usual(_server: LinearServer, _name: str, _variables: dict) -> None:
    return None


def limited(seconds: float) -> Callable[..., Answer]:
    """As Linear says that there were too many requests: status 400, and when the limit is reset, in milliseconds since 1970."""

    def answer(*_: object) -> Answer:
        headers = {"X-RateLimit-Requests-Remaining": "0", "X-RateLimit-Requests-Reset": str(int((time.time() + seconds) * 1000))}
        return 400, headers, {"errors": [{"message": "Rate limit exceeded", "extensions": {"code": "RATELIMITED"}}]}

    return answer


def refused(*_: object) -> Answer:
    return 200, {}, {"errors": [{"message": "Internal", "extensions": {"userPresentableMessage": "The team is archived."}}]}


def hangs(server: LinearServer, *_: object) -> Answer:
    server.hang.wait(60)
    return 200, {}, {}


def created_and_lost(server: LinearServer, _name: str, variables: dict) -> Answer:
    """Linear creates the issue, and the answer is lost on its way."""
    server.made(variables)
    return 502, {}, {"lost": True}
