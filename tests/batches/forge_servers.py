"""Local servers that speak as much of the code hosts' REST schemas as is used, over real sockets.

Each refuses what the real one would refuse: a member that the schema does not know, one that it requires and that is missing, a second
open pull request of the same branches.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.git_server import TOKEN
from tests.local_server import LocalServer, serving

Answer = tuple[int, dict[str, str], object]


@dataclass
class Asked:
    """One request that came."""

    method: str
    path: str
    query: dict[str, str]
    body: dict
    headers: dict[str, str]


@dataclass
class ForgeServer:
    """The repository ada/shop: what is in it, what came, and what to do with the next requests instead of answering them."""

    token: str = TOKEN
    pulls: list[dict] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    instead: list[Callable[["ForgeServer", Asked], Answer | None]] = field(default_factory=list)
    hang: threading.Event = field(default_factory=threading.Event)
    url: str = ""

    kind = ""

    @contextmanager
    def serve(self) -> Iterator["ForgeServer"]:
        """Answer until the block ends."""
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def _any(self) -> None:
                parts = urlsplit(self.path)
                body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
                asked = Asked(self.command, unquote(parts.path), dict(parse_qsl(parts.query)), body, dict(self.headers))
                status, headers, data = outer.answer(asked)
                payload = b"" if data is None else json.dumps(data).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", "Content-Length": str(len(payload)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(payload)

            do_GET = do_POST = do_PATCH = do_PUT = _any

            def log_message(self, *_: object) -> None:
                pass

        server = LocalServer(Handler)
        with serving(server):
            self.url = server.url
            try:
                yield self
            finally:
                self.hang.set()

    @property
    def address(self) -> str:
        return f"{self.url}/ada/shop"

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        if not self.knows(asked):
            return 401, {}, {"message": f"Bad credentials {self.sent(asked)}"}
        if self.instead and (said := self.instead.pop(0)(self, asked)) is not None:
            return said
        for method, pattern, name in self.routes():
            if method == asked.method and (found := re.fullmatch(pattern, asked.path)):
                return getattr(self, name)(asked, *found.groups())
        return 404, {}, {"message": "Not Found"}

    def count(self, method: str, ending: str) -> int:
        return sum(one.method == method and one.path.endswith(ending) for one in self.asked)

    # What differs

    def routes(self) -> list[tuple[str, str, str]]:
        raise NotImplementedError

    def sent(self, asked: Asked) -> str:
        raise NotImplementedError

    def knows(self, asked: Asked) -> bool:
        return self.sent(asked) == self.token


class GitHubServer(ForgeServer):
    """GitHub Enterprise: the API is below /api/v3."""

    kind = "github"
    API = "/api/v3/repos/ada/shop"

    def routes(self) -> list[tuple[str, str, str]]:
        return [
            ("GET", f"{self.API}/pulls", "list_pulls"),
            ("POST", f"{self.API}/pulls", "create_pull"),
            ("GET", rf"{self.API}/pulls/(\d+)", "get_pull"),
            ("PATCH", rf"{self.API}/pulls/(\d+)", "update_pull"),
        ]

    def sent(self, asked: Asked) -> str:
        return asked.headers.get("Authorization", "").removeprefix("Bearer ")

    def list_pulls(self, asked: Asked) -> Answer:
        wanted = asked.query.get("state", "open")
        head, base = asked.query.get("head", "").removeprefix("ada:"), asked.query.get("base")
        found = [one for one in self.pulls if one["state"] == wanted and one["head"]["ref"] == head and one["base"]["ref"] == base]
        return 200, {}, found

    def create_pull(self, asked: Asked) -> Answer:
        known = {"title", "head", "head_repo", "base", "body", "maintainer_can_modify", "draft", "issue"}
        if set(asked.body) - known or not {"head", "base", "title"} <= set(asked.body):
            return 422, {}, {"message": "Invalid request."}
        if any(one["state"] == "open" and one["head"]["ref"] == asked.body["head"] for one in self.pulls):
            said = f"A pull request already exists for ada:{asked.body['head']}."
            return 422, {}, {"message": "Validation Failed", "errors": [{"resource": "PullRequest", "code": "custom", "message": said}]}
        return 201, {}, self.made(asked.body)

    def made(self, body: dict) -> dict:
        number = len(self.pulls) + 1
        pull = {
            "id": 1000 + number,
            "number": number,
            "state": "open",
            "title": body["title"],
            "body": body.get("body"),
            "html_url": f"https://github.example.org/ada/shop/pull/{number}",
            "head": {"ref": body["head"], "sha": "a" * 40, "label": f"ada:{body['head']}"},
            "base": {"ref": body["base"], "sha": "b" * 40},
            "merged": False,
            "merged_at": None,
            "merge_commit_sha": "c" * 40,  # GitHub names a test merge here while the request is open
        }
        self.pulls.append(pull)
        return pull

    def get_pull(self, asked: Asked, number: str) -> Answer:
        return 200, {}, self.pulls[int(number) - 1]

    def update_pull(self, asked: Asked, number: str) -> Answer:
        if set(asked.body) - {"title", "body", "state", "base", "maintainer_can_modify"}:
            return 422, {}, {"message": "Invalid request."}
        self.pulls[int(number) - 1] |= asked.body
        return 200, {}, self.pulls[int(number) - 1]

    def merge(self, number: int, commit: str) -> None:
        """Somebody merges it there."""
        self.pulls[number - 1] |= {"state": "closed", "merged": True, "merged_at": "2026-11-28T01:00:00Z", "merge_commit_sha": commit}

    def close(self, number: int) -> None:
        """Somebody closes it there."""
        self.pulls[number - 1] |= {"state": "closed"}

    def text_of(self, number: int) -> tuple[str, str]:
        """(title, body) of a pull request."""
        return self.pulls[number - 1]["title"], self.pulls[number - 1]["body"]


class GitLabServer(ForgeServer):
    """GitLab: a project is one part of the path, and a pull request is a merge request."""

    kind = "gitlab"
    API = "/api/v4/projects/ada/shop"  # unquoted; it comes as ada%2Fshop

    def routes(self) -> list[tuple[str, str, str]]:
        return [
            ("GET", f"{self.API}/merge_requests", "list_pulls"),
            ("POST", f"{self.API}/merge_requests", "create_pull"),
            ("GET", rf"{self.API}/merge_requests/(\d+)", "get_pull"),
            ("PUT", rf"{self.API}/merge_requests/(\d+)", "update_pull"),
        ]

    def sent(self, asked: Asked) -> str:
        return asked.headers.get("PRIVATE-TOKEN", asked.headers.get("Private-Token", ""))

    def list_pulls(self, asked: Asked) -> Answer:
        wanted = {name: asked.query[name] for name in ("state", "source_branch", "target_branch")}
        return 200, {}, [one for one in self.pulls if wanted.items() <= one.items()]

    def create_pull(self, asked: Asked) -> Answer:
        required = {"source_branch", "target_branch", "title"}
        if not required <= set(asked.body):
            return 400, {}, {"error": f"{', '.join(sorted(required - set(asked.body)))} is missing"}
        for one in self.pulls:
            if one["state"] == "opened" and one["source_branch"] == asked.body["source_branch"]:
                return 409, {}, {"message": [f"Another open merge request already exists for this source branch: !{one['iid']}"]}
        return 201, {}, self.made({"head": asked.body["source_branch"], "base": asked.body["target_branch"], **asked.body})

    def made(self, body: dict) -> dict:
        number = len(self.pulls) + 1
        pull = {
            "id": 1000 + number,
            "iid": number,
            "project_id": 3,
            "state": "opened",
            "title": body["title"],
            "description": body.get("description", ""),
            "source_branch": body["head"],
            "target_branch": body["base"],
            "web_url": f"https://gitlab.example.org/ada/shop/-/merge_requests/{number}",
            "sha": "a" * 40,
            "merge_commit_sha": None,
            "squash_commit_sha": None,
        }
        self.pulls.append(pull)
        return pull

    def get_pull(self, asked: Asked, number: str) -> Answer:
        return 200, {}, self.pulls[int(number) - 1]

    def update_pull(self, asked: Asked, number: str) -> Answer:
        if not {"title", "description", "state_event", "labels", "target_branch"} & set(asked.body):
            return 400, {}, {"error": "title, description, … are missing, at least one parameter must be provided"}
        self.pulls[int(number) - 1] |= asked.body
        return 200, {}, self.pulls[int(number) - 1]

    def merge(self, number: int, commit: str) -> None:
        """Somebody merges it there."""
        self.pulls[number - 1] |= {"state": "merged", "merge_commit_sha": commit}

    def close(self, number: int) -> None:
        """Somebody closes it there."""
        self.pulls[number - 1] |= {"state": "closed"}

    def text_of(self, number: int) -> tuple[str, str]:
        """(title, body) of a merge request."""
        return self.pulls[number - 1]["title"], self.pulls[number - 1]["description"]


class GiteaServer(GitHubServer):
    """Gitea and Forgejo: much as GitHub, but the list knows no branches, and a second request is a conflict."""

    kind = "gitea"
    API = "/api/v1/repos/ada/shop"

    def sent(self, asked: Asked) -> str:
        return asked.headers.get("Authorization", "").removeprefix("token ")

    def list_pulls(self, asked: Asked) -> Answer:
        limit, page = int(asked.query.get("limit", "30")), int(asked.query.get("page", "1"))
        found = [one for one in reversed(self.pulls) if one["state"] == asked.query.get("state", "open")]
        return 200, {}, found[(page - 1) * limit : page * limit]

    def create_pull(self, asked: Asked) -> Answer:
        known = {"title", "head", "base", "body", "assignee", "assignees", "labels", "milestone", "due_date", "reviewers", "team_reviewers"}
        if set(asked.body) - known or not {"head", "base", "title"} <= set(asked.body):
            return 422, {}, {"message": "Invalid", "url": "https://gitea.example.org/api/swagger"}
        for one in self.pulls:
            if (one["state"], one["head"]["ref"], one["base"]["ref"]) == ("open", asked.body["head"], asked.body["base"]):
                return 409, {}, {"message": f"pull request already exists for these targets [id: {one['id']}, issue_id: 7]"}
        return 201, {}, self.made(asked.body)

    def made(self, body: dict) -> dict:
        pull = super().made(body)
        pull |= {"html_url": f"https://gitea.example.org/ada/shop/pulls/{pull['number']}", "merge_commit_sha": None}
        return pull


def as_usual(_server: ForgeServer, _asked: Asked) -> None:
    return None


def hangs(server: ForgeServer, _asked: Asked) -> Answer:
    server.hang.wait(60)
    return 200, {}, {}


def answers(status: int, body: object = None, **headers: str) -> Callable[..., Answer]:
    """Another answer; headers with _ for -."""
    return lambda *_: (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)


def created_and_lost(server: ForgeServer, asked: Asked) -> Answer:
    """The server opens it, and the answer is lost on its way."""
    assert asked.method == "POST"
    for method, pattern, name in server.routes():
        if method == "POST" and (found := re.fullmatch(pattern, asked.path)):
            getattr(server, name)(asked, *found.groups())
    return 502, {}, {"lost": True}


def limited_until(seconds: float) -> Callable[..., Answer]:
    """As GitHub says that there were too many requests: 403, nothing remaining, and the second of the reset."""
    reset = str(int(time.time() + seconds))
    return answers(403, {"message": "API rate limit exceeded"}, X_RateLimit_Remaining="0", X_RateLimit_Reset=reset)
