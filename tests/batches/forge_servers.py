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
    ci: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)  # {commit: [(name, success|failure|pending, text)]}
    logs: dict[str, str] = field(default_factory=dict)  # {number of a job: what it printed}
    issues: dict[int, dict] = field(default_factory=dict)  # {number: {"title", "text", "said": [(who, text)]}}
    said: list[dict] = field(default_factory=list)  # {"who", "text", "path", "line", "writes"}

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
                payload = data.encode() if isinstance(data, str) else b"" if data is None else json.dumps(data).encode()
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
        if asked.path.startswith("/storage/"):  # signed by its address alone
            assert "sig" in asked.query and not self.sent(asked)
            return 200, {}, self.logs[asked.path.rpartition("/")[2]]
        if not self.knows(asked):
            return 401, {}, {"message": f"Bad credentials {self.sent(asked)}"}
        if self.instead and (said := self.instead.pop(0)(self, asked)) is not None:
            return said
        for method, pattern, name in self.routes():
            if method == asked.method and (found := re.fullmatch(pattern, asked.path)):
                return getattr(self, name)(asked, *found.groups())
        return 404, {}, {"message": "Not Found"}

    def say(self, number: int, who: str, text: str, *, path: str = "", line: int = 0, writes: bool = True) -> None:
        """Somebody comments, on a line or below."""
        self.said.append({"who": who, "text": text, "path": path, "line": line, "writes": writes})
        self.pulls[number - 1]["updated_at"] = f"2026-11-28T01:00:{len(self.said):02d}Z"

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
            ("GET", rf"{self.API}/commits/(\w+)/check-runs", "check_runs"),
            ("GET", rf"{self.API}/commits/(\w+)/status", "status"),
            ("GET", rf"{self.API}/check-runs/(\d+)/annotations", "annotations"),
            ("GET", rf"{self.API}/actions/jobs/(\d+)/logs", "job_log"),
            ("GET", rf"{self.API}/pulls/(\d+)/reviews", "reviews"),
            ("GET", rf"{self.API}/pulls/(\d+)/comments", "line_comments"),
            ("GET", rf"{self.API}/issues/(\d+)/comments", "issue_comments"),
            ("GET", rf"{self.API}/issues/(\d+)", "get_issue"),
        ]

    def sent(self, asked: Asked) -> str:
        return asked.headers.get("Authorization", "").removeprefix("Bearer ")

    def check_runs(self, asked: Asked, commit: str) -> Answer:
        rows = []
        for number, (name, outcome, text) in enumerate(self.ci.get(commit, [])):
            done = outcome != "pending"
            output = {"title": text, "summary": None, "text": None, "annotations_count": int(outcome == "failure")}
            about = {"id": number + 1, "name": name, "html_url": f"https://ci.example.org/{number}", "output": output}
            about["app"] = {"id": 15368, "slug": "github-actions", "name": "GitHub Actions"}
            rows.append({**about, "status": "completed" if done else "in_progress", "conclusion": outcome if done else None})
        return 200, {}, {"total_count": len(rows), "check_runs": rows}

    def job_log(self, asked: Asked, job: str) -> Answer:
        """GitHub keeps logs elsewhere."""
        if job not in self.logs:
            return 404, {}, {"message": "Not Found"}
        return 302, {"Location": f"{self.url}/storage/{job}?sig=abc"}, None

    def annotations(self, asked: Asked, number: str) -> Answer:
        return 200, {}, [{"path": "src/a.py", "start_line": 3, "annotation_level": "failure", "message": "undefined name"}]

    def status(self, asked: Asked, commit: str) -> Answer:
        return 200, {}, {"state": "pending", "sha": commit, "total_count": 0, "statuses": []}

    def _comment(self, number: int, one: dict) -> dict:
        association = "MEMBER" if one["writes"] else "NONE"
        about = {"id": number, "user": {"login": one["who"]}, "body": one["text"], "author_association": association}
        place = {"path": one["path"]} if one["path"] else {}
        return {**about, "html_url": f"https://github.example.org/ada/shop/pull/1#{number}", **place}

    def reviews(self, asked: Asked, number: str) -> Answer:
        base = {"id": 900, "user": {"login": "eve"}, "author_association": "MEMBER", "html_url": "https://github.example.org/r"}
        return 200, {}, [{**base, "state": "APPROVED", "body": "Nice."}, {**base, "id": 901, "state": "COMMENTED", "body": ""}]

    def line_comments(self, asked: Asked, number: str) -> Answer:
        rows = [(place, one) for place, one in enumerate(self.said) if one["path"]]
        return 200, {}, [self._comment(place, one) | {"line": one["line"], "original_line": one["line"]} for place, one in rows]

    def get_issue(self, asked: Asked, number: str) -> Answer:
        if int(number) not in self.issues:
            return 404, {}, {"message": "Not Found"}
        one = self.issues[int(number)]
        about = {"number": int(number), "title": one["title"], "body": one["text"], "state": "open"}
        return 200, {}, {**about, "comments": len(one["said"]), "html_url": f"https://github.example.org/ada/shop/issues/{number}"}

    def issue_comments(self, asked: Asked, number: str) -> Answer:
        if int(number) in self.issues:
            rows = enumerate(self.issues[int(number)]["said"])
            return 200, {}, [{"id": place, "user": {"login": who}, "body": text} for place, (who, text) in rows]
        return 200, {}, [self._comment(place, one) for place, one in enumerate(self.said) if not one["path"]]

    def list_pulls(self, asked: Asked) -> Answer:
        wanted = asked.query.get("state", "open")
        head, base = asked.query.get("head", ""), asked.query.get("base")
        found = [one for one in self.pulls if one["state"] == wanted and one["head"]["label"] == head and one["base"]["ref"] == base]
        return 200, {}, found

    def create_pull(self, asked: Asked) -> Answer:
        known = {"title", "head", "head_repo", "base", "body", "maintainer_can_modify", "draft", "issue"}
        if set(asked.body) - known or not {"head", "base", "title"} <= set(asked.body):
            return 422, {}, {"message": "Invalid request."}
        label = labelled(asked.body["head"])
        if any(one["state"] == "open" and one["head"]["label"] == label for one in self.pulls):
            said = f"A pull request already exists for {label}."
            return 422, {}, {"message": "Validation Failed", "errors": [{"resource": "PullRequest", "code": "custom", "message": said}]}
        return 201, {}, self.made(asked.body)

    def made(self, body: dict) -> dict:
        number = len(self.pulls) + 1
        owner, _, ref = labelled(body["head"]).partition(":")
        pull = {
            "id": 1000 + number,
            "number": number,
            "state": "open",
            "title": body["title"],
            "body": body.get("body"),
            "html_url": f"https://github.example.org/ada/shop/pull/{number}",
            "head": {"ref": ref, "sha": "a" * 40, "label": f"{owner}:{ref}", "repo": {"full_name": f"{owner}/shop"}},
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


def labelled(head: str) -> str:
    """OWNER:BRANCH of what a pull request is asked for."""
    return head if ":" in head else f"ada:{head}"


class GitLabServer(ForgeServer):
    """GitLab: a project is one part of the path, and a pull request is a merge request."""

    kind = "gitlab"
    API = "/api/v4/projects/ada/shop"  # unquoted; it comes as ada%2Fshop
    FORK = "/api/v4/projects/bot/shop"

    def routes(self) -> list[tuple[str, str, str]]:
        return [
            ("GET", f"{self.API}/merge_requests", "list_pulls"),
            ("POST", f"(?:{self.API}|{self.FORK})/merge_requests", "create_pull"),
            ("GET", f"{self.API}|{self.FORK}", "project"),
            ("GET", rf"{self.API}/merge_requests/(\d+)", "get_pull"),
            ("PUT", rf"{self.API}/merge_requests/(\d+)", "update_pull"),
            ("GET", rf"(?:{self.API}|{self.FORK})/repository/commits/(\w+)/statuses", "statuses"),
            ("GET", rf"{self.API}/merge_requests/(\d+)/notes", "notes"),
            ("GET", rf"{self.API}/jobs/(\d+)/trace", "trace"),
            ("GET", f"{self.API}/members/all", "members"),
            ("GET", rf"{self.API}/issues/(\d+)", "get_issue"),
            ("GET", rf"{self.API}/issues/(\d+)/notes", "issue_notes"),
        ]

    def sent(self, asked: Asked) -> str:
        return asked.headers.get("PRIVATE-TOKEN", asked.headers.get("Private-Token", ""))

    def project(self, asked: Asked) -> Answer:
        return 200, {}, {"id": 4 if asked.path == self.FORK else 3, "path_with_namespace": asked.path.partition("/projects/")[2]}

    def statuses(self, asked: Asked, commit: str) -> Answer:
        words = {"success": "success", "failure": "failed", "pending": "running"}
        common = {"sha": commit, "allow_failure": False}
        job = f"{self.url}/ada/shop/-/jobs"
        rows = [
            {**common, "id": number + 1, "target_url": f"{job}/{number + 1}", "name": name, "status": words[outcome], "description": text}
            for number, (name, outcome, text) in enumerate(self.ci.get(commit, []))
        ]
        return 200, {}, rows

    def trace(self, asked: Asked, job: str) -> Answer:
        return (200, {}, self.logs[job]) if job in self.logs else (404, {}, {"message": "404 Not found"})

    def notes(self, asked: Asked, number: str) -> Answer:
        rows = [{"id": 900, "body": "added 1 commit", "system": True, "author": {"id": 1, "username": "eve"}}]
        for place, one in enumerate(self.said):
            where = {"position": {"new_path": one["path"], "new_line": one["line"]}} if one["path"] else {}
            rows.append({"id": place, "body": one["text"], "system": False, "resolvable": True, "resolved": False, "type": None, **where})
            rows[-1]["author"] = {"id": 1, "username": one["who"]}
        return 200, {}, rows

    def get_issue(self, asked: Asked, number: str) -> Answer:
        if int(number) not in self.issues:
            return 404, {}, {"message": "404 Not found"}
        one = self.issues[int(number)]
        about = {"id": 77, "iid": int(number), "title": one["title"], "description": one["text"], "state": "opened"}
        return 200, {}, {**about, "user_notes_count": len(one["said"]), "web_url": f"https://gitlab.example.org/ada/shop/-/issues/{number}"}

    def issue_notes(self, asked: Asked, number: str) -> Answer:
        rows = [{"body": "changed the description", "system": True, "author": {"username": "eve"}}]
        rows += [{"body": text, "system": False, "author": {"username": who}} for who, text in self.issues[int(number)]["said"]]
        return 200, {}, rows

    def members(self, asked: Asked) -> Answer:
        return 200, {}, [{"username": one["who"], "access_level": 30 if one["writes"] else 10} for one in self.said]

    def list_pulls(self, asked: Asked) -> Answer:
        wanted = {name: asked.query[name] for name in ("state", "source_branch", "target_branch")}
        return 200, {}, [one for one in self.pulls if wanted.items() <= one.items()]

    def create_pull(self, asked: Asked) -> Answer:
        required = {"source_branch", "target_branch", "title"}
        if not required <= set(asked.body):
            return 400, {}, {"error": f"{', '.join(sorted(required - set(asked.body)))} is missing"}
        source = 4 if asked.path.startswith(self.FORK) else 3
        for one in self.pulls:
            if (one["state"], one["source_project_id"], one["source_branch"]) == ("opened", source, asked.body["source_branch"]):
                return 409, {}, {"message": [f"Another open merge request already exists for this source branch: !{one['iid']}"]}
        if asked.body.get("target_project_id", source) != 3:
            return 404, {}, {"message": "404 Project Not Found"}
        branches = {"head": asked.body["source_branch"], "base": asked.body["target_branch"]}
        return 201, {}, self.made({**branches, "source": source, **asked.body})

    def made(self, body: dict) -> dict:
        number = len(self.pulls) + 1
        pull = {
            "id": 1000 + number,
            "iid": number,
            "project_id": 3,
            "target_project_id": 3,
            "source_project_id": body.get("source", 3),
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

    def routes(self) -> list[tuple[str, str, str]]:
        more = [
            ("GET", rf"{self.API}/pulls/(\d+)/reviews/(\d+)/comments", "review_comments"),
            ("GET", rf"{self.API}/collaborators/([\w-]+)/permission", "permission"),
        ]
        return [*more, *(one for one in super().routes() if one[2] not in ("check_runs", "annotations", "line_comments"))]

    def sent(self, asked: Asked) -> str:
        return asked.headers.get("Authorization", "").removeprefix("token ")

    def status(self, asked: Asked, commit: str) -> Answer:
        rows = [
            {"id": number, "status": outcome, "context": name, "description": text, "target_url": "https://ci.example.org/1"}
            for number, (name, outcome, text) in enumerate(self.ci.get(commit, []))
        ]
        return 200, {}, {"state": "pending", "sha": commit, "total_count": len(rows), "statuses": rows or None}

    def reviews(self, asked: Asked, number: str) -> Answer:
        lines = sum(bool(one["path"]) for one in self.said)
        review = {"id": 901, "state": "COMMENT", "body": "", "user": {"login": "eve"}, "dismissed": False, "comments_count": lines}
        return 200, {}, [{**review, "id": 900, "state": "APPROVED", "body": "Nice.", "comments_count": 0}, review]

    def _comment(self, number: int, one: dict) -> dict:
        return {name: value for name, value in super()._comment(number, one).items() if name != "author_association"}

    def review_comments(self, asked: Asked, number: str, review: str) -> Answer:
        rows = [(place, one) for place, one in enumerate(self.said) if one["path"]]
        return 200, {}, [self._comment(place, one) | {"position": one["line"], "original_position": 0} for place, one in rows]

    def permission(self, asked: Asked, who: str) -> Answer:
        writes = any(one["who"] == who and one["writes"] for one in self.said)
        return 200, {}, {"permission": "write" if writes else "read", "user": {"login": who}}

    def list_pulls(self, asked: Asked) -> Answer:
        limit, page = int(asked.query.get("limit", "30")), int(asked.query.get("page", "1"))
        found = [one for one in reversed(self.pulls) if one["state"] == asked.query.get("state", "open")]
        return 200, {}, found[(page - 1) * limit : page * limit]

    def create_pull(self, asked: Asked) -> Answer:
        known = {"title", "head", "base", "body", "assignee", "assignees", "labels", "milestone", "due_date", "reviewers", "team_reviewers"}
        if set(asked.body) - known or not {"head", "base", "title"} <= set(asked.body):
            return 422, {}, {"message": "Invalid", "url": "https://gitea.example.org/api/swagger"}
        for one in self.pulls:
            if (one["state"], one["head"]["label"], one["base"]["ref"]) == ("open", labelled(asked.body["head"]), asked.body["base"]):
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
