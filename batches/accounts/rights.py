"""Who may do what, as one table. SECURITY.md shows it; a test checks all pages and calls of the API against it."""

from dataclasses import dataclass

from batches.accounts.roles import (
    ADD_PROJECT,
    ADMIN,
    AUTHOR,
    CHANGE_INSTALLATION,
    CHANGE_PROJECT,
    EXECUTE_BATCH,
    EXECUTOR,
    MANAGE_PEOPLE,
    MEMBER_ROLES,
    MERGE_BATCH,
    SIGN_OFF_GATE,
    VIEW_BATCH,
    VIEWER,
    WRITE_PLANS,
    grants,
)

ACCOUNT_ROLES = (VIEWER, AUTHOR, EXECUTOR, ADMIN)


@dataclass(frozen=True, slots=True)
class Right:
    """One row: the verb on a kind of object. `of_project`: a member's role in a project counts for it too."""

    object: str
    verb: str
    permission: str
    of_project: bool = True


RIGHTS = {
    "see": Right("project with its plans, batches, logs and figures", "see", VIEW_BATCH),
    "write": Right("plan", "write, change, decide its conflicts, have the agent draft it up to a cap", WRITE_PLANS),
    "execute": Right("batch", "make, execute, retry, pause, cancel, review, regenerate, resolve, restore, clean up", EXECUTE_BATCH),
    "sign off": Right("gate", "sign off, withdraw, accept a phase that is not green", SIGN_OFF_GATE),
    "merge": Right("batch", "merge into its base branch, overrule a review, accept or reject an update of the context", MERGE_BATCH),
    "administer": Right("project", "change settings, gates, environment, notifications, members; archive it or a batch", CHANGE_PROJECT),
    "delete": Right("batch, plan", "delete what is over; nothing that no branch has", CHANGE_PROJECT),
    "register": Right(
        "project", "add (any repository that the server's user can read), delete, set what commands may read", ADD_PROJECT, False
    ),
    "settings": Right("installation", "change the backend of new projects, the API key", CHANGE_INSTALLATION, False),
    "people": Right("people, teams, audit trail", "add, change, end sessions and tokens, read", MANAGE_PEOPLE, False),
}


def refusal(what: str, permission: str) -> str:
    """The sentence for a person who lacks `permission`: "Writing plans requires the role author, executor or admin …"."""
    members = [role for role, granted in MEMBER_ROLES.items() if permission in granted]
    of_project = f" (a member of the project: {_choice(members)})" if members else ""
    return f"{what} requires the role {_choice([role for role in ACCOUNT_ROLES if grants(role, permission)])}{of_project}."


def _choice(roles: list[str]) -> str:
    return " or ".join(filter(None, (", ".join(roles[:-1]), roles[-1])))


def as_markdown() -> str:
    """The table for SECURITY.md; `manage.py rights_table` writes it there."""
    heads = ["object", "may", *ACCOUNT_ROLES, *(f"member: {role}" for role in MEMBER_ROLES)]
    lines = [f"| {' | '.join(heads)} |", f"|---|---|{'---|' * (len(heads) - 2)}"]
    for right in RIGHTS.values():
        accounts = [grants(role, right.permission) for role in ACCOUNT_ROLES]
        members = [right.of_project and right.permission in granted for granted in MEMBER_ROLES.values()]
        lines.append(f"| {right.object} | {right.verb} | {' | '.join('yes' if cell else '' for cell in (*accounts, *members))} |")
    return "\n".join(lines) + "\n"
