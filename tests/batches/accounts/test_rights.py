"""Every address with every method, as everybody: it does what the table of rights says, no more and no less."""

import re
from collections.abc import Iterator
from dataclasses import astuple, dataclass

import pytest
from django.contrib.auth.models import Group, User
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client

from batches.accounts import api_tokens
from batches.accounts.actor import Actor
from batches.accounts.rights import ACCOUNT_ROLES, RIGHTS, Right, as_markdown, refusal
from batches.accounts.roles import MEMBER_ROLES, grants
from batches.models import Membership
from tests.batches import builders
from tests.batches.addresses import Objects, every_address, named
from tests.batches.oidc_server import CLIENT, SECRET, Provider
from tests.batches.oidc_server import provider as serving_provider
from tests.installation import ROOT

pytestmark = pytest.mark.django_db

ANYONE, SELF, SOME = "anyone", "self", "some"  # also without an account; any account; an account that sees something
SOMEWHERE = " somewhere"  # the right in any project is enough
# {address: {method: the row of the table}}
ROWS: dict[str, dict[str, str]] = {
    "sign_in": {"GET": ANYONE, "POST": ANYONE},
    "sign_in_link": {"GET": ANYONE, "POST": ANYONE},
    "second_step": {"GET": ANYONE, "POST": ANYONE},
    "provider": {"GET": ANYONE},
    "provider_back": {"GET": ANYONE},
    "theme": {"POST": ANYONE},
    "confirm": {"GET": SELF, "POST": SELF},
    "sign_out": {"POST": SELF},
}
ROWS |= {"batches:account": {"GET": SELF}, "batches:second_steps": {"GET": SELF, "POST": SELF}}
OWN = ("own_password", "own_notifications", "end_sessions", "token_revoke", "own_provider")
ROWS |= {f"batches:{name}": {"POST": SELF} for name in OWN}
FOR_SOME = ("token_new", "saved_views", "close_tour", "preview", "preview_graph", "plan_repair", "plan_form")
ROWS |= {f"batches:{name}": {"POST": SOME} for name in FOR_SOME}
ROWS |= {"batches:archive_chosen": {"POST": SOME}}  # each batch is asked for itself: tests/batches/pages/test_pages_lists.py
ROWS |= {
    f"batches:{name}": {"GET": SOME}
    for name in (
        *("home", "list", "pulse", "plans", "projects", "metrics", "metrics_all_json", "metrics_attempts", "metrics_csv", "metrics_json"),
        *("compare", "find", "health", "api_projects", "api_metrics"),
    )
}
ROWS |= {f"batches:api_{name}": {"POST": SOME} for name in ("validate", "analyze")}
ROWS |= {
    f"batches:{name}": {"GET": "see"}
    for name in (
        *("detail", "progress", "graph", "timeline", "stage", "phase", "log", "diff", "log_text", "gates", "gates_csv", "changes"),
        *("plan_detail", "plan_graph", "plan_checks", "plan_diff", "api_batch", "api_report", "verify_json", "api_log", "api_diff"),
        *("transcript", "transcript_jsonl", "transcript_md", "api_transcript", "api_run", "api_batch_plan"),
    )
}
ROWS |= {f"batches:{name}": {"GET": "see", "POST": "execute"} for name in ("kept", "conflict", "review", "context", "verify")}
ROWS |= {f"batches:api_{name}": {"GET": "see", "POST": "execute"} for name in ("verify", "context")}
ROWS |= {f"batches:{name}": {"GET": "execute", "POST": "execute"} for name in ("execute", "plan_execute")}
ROWS |= {
    f"batches:{name}": {"POST": "execute"}
    for name in (
        *("bring_in", "judge_again", "autopilot", "go_on", "leave", "regenerate", "request_issues", "pause", "unpause", "cancel"),
        *("try_now", "restore_branch", "retry", "retry_task", "decide", "api_execute", "api_retry", "api_cancel"),
        *("comment", "resolve_comment", "send_comments", "verify_stop", "api_verify_stop", "api_review", "api_bring_in", "api_judge"),
    )
}
ROWS |= {"batches:viewed": {"POST": "see"}}
STEERING = ("stop_task", "api_stop", "repairs", "say", "api_say", "answer", "api_answer")
ROWS |= {f"batches:{name}": {"POST": "execute"} for name in STEERING}
ROWS |= {
    "batches:sign_off_gate": {"POST": "sign off"},
    "batches:withdraw_sign_off": {"POST": "sign off"},
    "batches:accept_phase": {"POST": "sign off"},
    "batches:api_accept": {"POST": "sign off"},
    "batches:merge": {"GET": "merge", "POST": "merge"},
    "batches:pull_request": {"GET": "see", "POST": "merge"},
    "batches:api_pull_request": {"GET": "see", "POST": "merge"},
    "batches:pull_request_remarks": {"POST": "execute"},
    "batches:api_pull_request_remarks": {"POST": "execute"},
    "batches:project_forge": {"GET": "administer", "POST": "administer"},
    "batches:project_commands": {"POST": "merge"},
    "batches:api_merge": {"GET": "merge", "POST": "merge"},
    "batches:overrule": {"POST": "merge"},
    "batches:decide_context": {"POST": "merge"},
    "batches:api_decide_context": {"POST": "merge"},
    "batches:plan_new": {"GET": "write" + SOMEWHERE, "POST": "write"},
    "batches:idea_new": {"GET": "write" + SOMEWHERE, "POST": "write"},
    "batches:idea": {"GET": "see", "POST": "write"},
    "batches:plan_complete": {"GET": "write" + SOMEWHERE},
    "batches:plan_edit": {"GET": "write", "POST": "write"},
    "batches:plan_decide": {"POST": "write"},
    "batches:api_plans": {"POST": "write"},
    "batches:api_plan": {"GET": "see"},
    "batches:api_ideas": {"GET": SOME, "POST": "write"},
    "batches:api_idea": {"GET": "see"},
    **{f"batches:api_idea_{verb}": {"POST": "write"} for verb in ("answer", "revise", "again", "stop", "undo")},
    "batches:api_batches": {"GET": SOME, "POST": "execute"},
    "batches:archive": {"POST": "administer"},
    "batches:project_archive": {"POST": "administer"},
    **{f"batches:{name}": {"GET": "delete", "POST": "delete"} for name in ("delete", "plan_delete")},
    "batches:project_delete": {"GET": "register", "POST": "register"},
    "batches:project_detail": {"GET": "see", "POST": "administer"},
    "batches:project_agents": {"GET": "administer", "POST": "administer"},
    "batches:project_tools": {"GET": "administer", "POST": "administer"},
    "batches:project_set_up": {"GET": "administer", "POST": "administer"},
    "batches:project_environment": {"GET": "administer", "POST": "administer"},
    "batches:project_gates": {"GET": "administer", "POST": "administer"},
    "batches:project_members": {"GET": "administer", "POST": "administer"},
    "batches:try_messages": {"POST": "administer"},
    "batches:message_again": {"POST": "administer"},
    "batches:project_secret": {"POST": "administer"},
    "batches:apply_remedy": {"POST": "administer"},
    "batches:project_new": {"GET": "register", "POST": "register"},
    "batches:settings": {"GET": "settings", "POST": "settings"},
    "batches:keep_key": {"POST": "settings"},
    "batches:forget_key": {"POST": "settings"},
    "batches:try_key": {"POST": "settings"},
    "batches:users": {"GET": "people", "POST": "people"},
    "batches:user": {"GET": "people", "POST": "people"},
    "batches:user_active": {"POST": "people"},
    "batches:user_reset": {"POST": "people"},
    "batches:end_sessions_of": {"POST": "people"},
    "batches:teams": {"GET": "people", "POST": "people"},
    "batches:team_change": {"POST": "people"},
    "batches:audit": {"GET": "people"},
    "batches:audit_csv": {"GET": "people"},
}

# Where what may not be seen is no valid choice of a form or a body.
NAMED_IN_THE_BODY = ("batches:plan_new", "batches:idea_new", "batches:plan_edit", "batches:api_batches")


@dataclass(frozen=True)
class Subject:
    """Somebody: the account's role, the role as a member of the project (perhaps by a team), and whether that is for members only."""

    account: str = ""
    member: str = ""
    closed: bool = False
    elsewhere: str = ""
    by_team: bool = False
    anonymous: bool = False

    def may(self, right: str) -> bool:
        if self.anonymous:
            return right == ANYONE
        if right in (ANYONE, SELF):
            return True
        if right == SOME:
            return bool(self.account or self.member or self.elsewhere)
        row = RIGHTS[right.removesuffix(SOMEWHERE)]
        account = bool(self.account) and (not self.closed or self.account == "admin") and grants(self.account, row.permission)
        members = [self.member, *([self.elsewhere] if right.endswith(SOMEWHERE) else [])]
        somewhere = right.endswith(SOMEWHERE) and bool(self.account) and grants(self.account, row.permission)
        return account or somewhere or (row.of_project and any(role and row.permission in MEMBER_ROLES[role] for role in members))


SUBJECTS = [
    Subject(anonymous=True),
    Subject(),
    *(Subject(role) for role in ACCOUNT_ROLES),
    *(Subject(role, closed=True) for role in ACCOUNT_ROLES),
    *(Subject(member=role, closed=True) for role in MEMBER_ROLES),
    Subject(member="executor", by_team=True),
    Subject("viewer", member="maintainer"),
    Subject("executor", member="viewer", closed=True),
    Subject("executor", elsewhere="admin", closed=True),
    Subject(elsewhere="admin"),
]


@pytest.fixture(scope="module")
def provider() -> Iterator[Provider]:
    """Without one the addresses of the sign-in by a provider are there for nobody."""
    with serving_provider() as made:
        yield made


def test_every_address_and_method_has_a_row():
    assert {name for name, _ in named()} == set(ROWS)


@pytest.mark.engine  # no engine, but many requests
@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: "-".join(f"{value}" for value in astuple(subject) if value))
def test_everybody_may_do_what_the_table_says_and_nothing_else(subject, provider, settings):
    settings.CE_OIDC_ISSUER, settings.CE_OIDC_CLIENT_ID, settings.CE_OIDC_CLIENT_SECRET = provider.url, CLIENT, SECRET
    project = builders.make_project()
    project.members_only = subject.closed
    project.save()
    builders.make_plan(project=None)
    objects = Objects(project, builders.make_user("root"))
    other = builders.make_project("Other")
    user = User.objects.create_user("eve")
    user.groups.set(Group.objects.filter(name=subject.account))
    for role, place in ((subject.member, project), (subject.elsewhere, other)):
        if role and subject.by_team:
            team = Group.objects.create(name="a team")
            user.groups.add(team)
            Membership.objects.create(project=place, team=team, role=role)
        elif role:
            Membership.objects.create(project=place, user=user, role=role)
    token = api_tokens.make_token(name="all", days=7, actor=Actor.person(user))[1]
    own = user.api_tokens.get()
    paths = every_address(objects) | {"batches:token_revoke": f"/tokens/{own.pk}/revoke/"}
    data = {
        "batches:plan_new": {"text": builders.PLAN_TEXT, "project": project.pk},
        "batches:plan_edit": {"text": builders.PLAN_TEXT, "project": project.pk},
        "batches:decide_context": {"decision": "reject", "reason": "No."},
        "batches:kept": {"clean": "1"},
        "batches:apply_remedy": {"project": project.slug},
        "batches:api_batches": f'{{"plan": {objects.batch.plan_id}}}',
        "batches:api_plans": builders.PLAN_TEXT,
        "batches:api_validate": builders.PLAN_TEXT,
        "batches:api_analyze": builders.PLAN_TEXT,
        "batches:api_ideas": f'{{"project": "{project.slug}", "text": "Export it"}}',
    }
    paths["batches:api_plans"] += f"?project={project.slug}"
    signed_in = Client()
    if not subject.anonymous:
        signed_in.force_login(user)
    wrong = []
    for name, row in ROWS.items():
        for method in ("GET", "POST") if subject.account == "admin" else row:
            client = Client()
            client.cookies.load(signed_in.cookies)
            with transaction.atomic():
                sent = data.get(name, {})
                if ":api_" in name:
                    headers = {} if subject.anonymous else {"Authorization": f"Bearer {token}"}
                    body = (sent or "{}") if method == "POST" else ""
                    answer = client.generic(method, paths[name], body, content_type="text/plain", headers=headers)
                else:
                    answer = client.generic(method, paths[name]) if method == "GET" else client.post(paths[name], sent)
                transaction.set_rollback(True)
            to_sign_in = answer.get("Location", "").startswith("/sign-in/") and not (name == "sign_out" and not subject.anonymous)
            refused = answer.status_code in (401, 403, 404) or (to_sign_in and name not in ("sign_in", "second_step", "provider_back"))
            if method not in row:
                found = answer.status_code == 405
            elif subject.may(row[method]):
                found = not refused and answer.status_code != 405 and (answer.status_code < 500 or name == "batches:health")
            else:
                found = refused or (answer.status_code == 400 and name in NAMED_IN_THE_BODY)
            if not found:
                wrong.append((name, method, row.get(method), answer.status_code, answer.get("Location", "")))
    cache.clear()
    assert not wrong


def test_security_md_shows_the_table():
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    shown = text.partition("batches/accounts/rights.py -->\n")[2].partition("<!-- end of rights -->")[0]
    assert shown.strip() == as_markdown().strip(), "run: manage.py rights_table"


def test_the_command_writes_the_table_where_another_one_was(tmp_path):
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    copy = tmp_path / "SECURITY.md"
    copy.write_text(text.replace("| yes |", "| no |"), encoding="utf-8")
    call_command("rights_table", str(copy))
    assert copy.read_text(encoding="utf-8") == text
    copy.write_text("Nothing here.")
    with pytest.raises(CommandError, match="no place for the table"):
        call_command("rights_table", str(copy))


@pytest.mark.parametrize("right", RIGHTS.values(), ids=RIGHTS.keys())
def test_a_refusal_names_exactly_the_roles_that_have_the_right(right: Right) -> None:
    account, _, member = refusal("It", right.permission).partition(" (a member of the project: ")
    assert set(re.findall(r"\w+", account)) & set(ACCOUNT_ROLES) == {role for role in ACCOUNT_ROLES if grants(role, right.permission)}
    granted = {role for role, permissions in MEMBER_ROLES.items() if permissions >= {right.permission}}
    assert set(re.findall(r"\w+", member)) - {"or"} == (granted if right.of_project else set())
