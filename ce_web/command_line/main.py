"""The verbs of `ce`. Each asks the JSON API and prints text, or with --json the API's object."""

import functools
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from batches.core.text.words import counted
from ce_web.command_line.connections import SETTINGS, Connection, JsonObject, Refused, connect, keep, kept_file
from ce_web.command_line.progress import Progress
from ce_web.command_line.terminal import say, visible

Verb = TypeVar("Verb", bound=Callable[..., Any])
SHELLS = ("bash", "zsh", "fish")
ON_CONFLICT = ("warn", "serialize", "abort")  # as batches.core.engine names them; a test compares
SCHEDULING = ("stages", "dataflow")
WIDE = 400  # columns
PAGE, LARGEST_PART = 50, 200  # items: of ce list, and the most that the API answers at once


class Group(click.Group):
    """The verbs in the order of their definition, and a refusal as a sentence with exit code 1."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Refused as refusal:
            if "--json" in sys.argv:
                say(json.dumps({"error": str(refusal)}, ensure_ascii=False))
            else:
                say(f"ce: {refusal}", err=True)
            ctx.exit(1)


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--server", default="", metavar="URL", help="default: CE_SERVER, else that of ce login, else this machine")
@click.version_option(package_name=None, message="%(version)s", version="0.2.0")
@click.pass_context
def ce(ctx: click.Context, server: str) -> None:
    """CE Web: plans, carried out stage by stage by supervised subagents over a git repository."""
    ctx.obj = server


def _connection() -> Connection:
    return connect(str(click.get_current_context().find_root().obj), "")


def _json(verb: Verb) -> Verb:
    return click.option("--json", "as_json", is_flag=True, help="print the API's object")(verb)


def _of_batch(verb: Verb) -> Verb:
    """The number of a batch, as an argument or as --batch."""

    @click.argument("number", type=click.IntRange(min=1), required=False)
    @click.option("--batch", "named", type=click.IntRange(min=1), metavar="N", help="the same as N", hidden=True)
    @functools.wraps(verb)
    def asked(*args: Any, number: int | None, named: int | None, **options: Any) -> Any:
        if (number is None) == (named is None):
            raise click.UsageError("Name the batch by its number, such as 44.")
        return verb(*args, number=number or named, **options)

    return asked  # type: ignore[return-value]


def _waiting(verb: Verb) -> Verb:
    """The options of verbs that wait for the end of a run."""
    verb = click.option("--at-most", type=click.FloatRange(min=0), metavar="SECONDS", help="stop waiting then; the run goes on")(verb)
    return click.option("--detach", is_flag=True, help="do not wait for the end")(verb)


def _print(found: JsonObject) -> None:
    say(json.dumps(found, ensure_ascii=False, indent=2))


def _follow(where: Connection, begun: JsonObject, *, as_json: bool, detach: bool, at_most: float | None, what: str = "") -> None:
    """Wait for the run that `begun` names, print its report, and exit with 1 if work may not continue."""
    number, run = begun["batch_id"], begun["run"]
    goes_on = f"Batch {number} goes on. Watch it: ce status {number} --follow. Stop it: ce stop {number}."
    if detach:
        _print(begun) if as_json else say(goes_on)
        return
    with Progress(lambda: where.call("GET", f"batches/{number}/runs/{run}/"), at_most) as progress:
        where.wait(progress.done, f"{goes_on} (Without a running installation it waits for one.)")
    ended = progress.run
    assert ended is not None
    if not progress.ended:
        _print(ended) if as_json else say(goes_on)
        return
    if as_json:
        _print(where.call("GET", f"batches/{number}/") if what == "batch" else ended)
    else:
        say(ended["report"] or f"Run {run} of batch {number}: {ended['state']}.")
    if not ended["passes"]:
        raise SystemExit(1)


# Plans


@ce.command()
@click.argument("plan", type=click.Path(allow_dash=True))
@click.option("--project", default="", metavar="NAME", help="slug or name of the project (not needed if there is only one)")
@_waiting
@_json
def plan(plan: str, project: str, as_json: bool, detach: bool, at_most: float | None) -> None:
    """Read a plan, make a batch of it, and write its PRPs."""
    where = _connection()
    text = sys.stdin.buffer.read() if plan == "-" else _read(plan)
    slug = _project(where, project)
    name = "standard input" if plan == "-" else Path(plan).name
    made = where.call("POST", "plans/", query={"project": slug, "file_name": name}, body=text)
    if not made["valid"]:
        for fault in made["errors"]:
            place = f"{name}:{fault['line']}" if fault.get("line") else name
            say(f"{place}: {fault['message']}", err=True)
        raise Refused(f"{name} has {counted(len(made['errors']), 'error')}; no batch was made. See and fix them: {made['url']}")
    from batches.core.plans.conflicts import conflict_words

    for one in (one for one in made["conflicts"] if one["kind"] != "ordered"):
        say(f"Conflict: {conflict_words(one['file'], one['phases'], one['kind'])}", err=True)
    begun = where.call("POST", "batches/", body={"plan": made["plan"], "project": slug})
    _follow(where, begun, as_json=as_json, detach=detach, at_most=at_most)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as fault:
        raise click.UsageError(f"{path}: {fault.strerror}. Give the path of a plan, or - for the standard input.") from fault


def _project(where: Connection, name: str) -> str:
    """The slug of the named project, or of the only one. Raises Refused with those that there are."""
    projects = sorted(_all_projects(where), key=lambda one: str(one["name"]))
    found = [one["slug"] for one in projects if not name or name in (one["slug"], one["name"])]
    if len(found) == 1:
        return str(found[0])
    known = ", ".join(one["slug"] for one in projects) or "none yet: add one in the browser"
    raise Refused(f"There is no project {name!r}; there is: {known}." if name else f"Choose a project with --project. There is: {known}.")


def _all_projects(where: Connection) -> list[JsonObject]:
    """Those that the token may see."""
    found: list[JsonObject] = []
    cursor: str | None = ""
    while cursor is not None:
        part = where.call("GET", "projects/", query={"cursor": cursor, "limit": str(LARGEST_PART)})
        found += part["items"]
        cursor = part["next"]
    return found


def _plan_reader(name: str, plans: Sequence[str], as_json: bool) -> None:
    """Run `manage.py analyze` or `validate`: they read files, and need no installation."""
    import importlib

    command = importlib.import_module(f"batches.management.commands.{name}").Command()
    command.run_from_argv(["ce", name, *(["--json"] if as_json else []), *plans])


@ce.command()
@click.argument("plans", nargs=-1, required=True)
@_json
def analyze(plans: tuple[str, ...], as_json: bool) -> None:
    """Show the stages, conflicts and critical path of plans, and every fault with its line."""
    _plan_reader("analyze", plans, as_json)


@ce.command()
@click.argument("plans", nargs=-1, required=True)
@_json
def validate(plans: tuple[str, ...], as_json: bool) -> None:
    """List the errors and warnings of plans with their lines."""
    _plan_reader("validate", plans, as_json)


# Batches


@ce.command()
@_of_batch
@click.option("--stage", type=int, help="only the phases of this stage")
@click.option("--phase", metavar="K", help="only this phase")
@click.option("--retry-phase", multiple=True, metavar="K", help="retry this phase and those that it blocked (repeatable)")
@click.option("--resume", is_flag=True, help="all that failed, was blocked or cancelled")
@click.option("--max-parallel", type=int, metavar="N", help="phases at once")
@click.option("--backend", metavar="NAME", help="who does the steps: steps, claude or command")
@click.option("--timeout", "timeout_minutes", type=float, metavar="MIN", help="time limit of a phase")
@click.option("--model", metavar="NAME", help="model of every phase")
@click.option("--retry-model", metavar="NAME", help="model after a failed attempt")
@click.option("--phase-model", multiple=True, metavar="K=NAME", help="model of this phase (repeatable)")
@click.option("--budget", "budget_usd", type=float, metavar="USD", help="what the whole batch may cost")
@click.option("--phase-cap", "phase_cap_usd", type=float, metavar="USD", help="what one attempt may cost")
@click.option("--fail-fast", is_flag=True, default=None, help="start nothing more once a phase has failed")
@click.option("--on-conflict", type=click.Choice(ON_CONFLICT), help="what to do about phases that change the same file")
@click.option("--scheduling", type=click.Choice(SCHEDULING), help="wait for a whole stage, or only for what a phase depends on")
@click.option("--dry-run", is_flag=True, help="show what would be done; change nothing")
@click.option("--try-now", is_flag=True, help="try at once the machine or the provider that the batch waits for")
@_waiting
@_json
def exe(
    number: int,
    stage: int | None,
    phase: str | None,
    retry_phase: tuple[str, ...],
    resume: bool,
    phase_model: tuple[str, ...],
    dry_run: bool,
    try_now: bool,
    as_json: bool,
    detach: bool,
    at_most: float | None,
    **options: Any,
) -> None:
    """Execute a batch, stage by stage. Options that are left out are the project's."""
    selections = (("--stage", stage), ("--phase", phase), ("--retry-phase", retry_phase), ("--resume", resume), ("--try-now", try_now))
    wanted = [name for name, given in selections if given]
    if len(wanted) > 1:
        raise click.UsageError(f"{wanted[0]} and {wanted[1]} exclude each other.")
    where = _connection()
    given = {name: value for name, value in options.items() if value is not None}
    if try_now:
        if dry_run:
            raise click.UsageError("--try-now and --dry-run exclude each other.")
        begun = where.call("POST", f"batches/{number}/try-now/", body={})
    elif retry_phase and not given and not phase_model and not dry_run:
        begun = where.call("POST", f"batches/{number}/retry/", body={"phases": list(retry_phase)})
    else:
        if len(retry_phase) > 1:
            raise click.UsageError("With other options, retry one phase at a time.")
        what = f"stage:{stage}" if stage else f"phase:{phase}" if phase else f"retry:{retry_phase[0]}" if retry_phase else ""
        body = given | {"what": "resume" if resume else what}
        if phase_model:
            body["models"] = dict(_pair(text) for text in phase_model)
        if dry_run:
            told = where.call("POST", f"batches/{number}/preview/", body=body)
            return _print(told) if as_json else say("\n".join([*told["lines"], "Nothing was changed."]))
        begun = where.call("POST", f"batches/{number}/execute/", body=body)
    _follow(where, begun, as_json=as_json, detach=detach, at_most=at_most, what="batch")


def _pair(text: str) -> tuple[str, str]:
    key, equals, name = text.partition("=")
    if not (key and equals and name):
        raise click.UsageError(f"--phase-model takes PHASE=MODEL, such as 2a=sonnet, not {text!r}.")
    return key, name


@ce.command()
@_of_batch
@click.option("--follow", "-f", is_flag=True, help="show changes until the run has ended")
@click.option("--at-most", type=click.FloatRange(min=0), metavar="SECONDS", help="with --follow: stop following then")
@_json
def status(number: int, follow: bool, at_most: float | None, as_json: bool) -> None:
    """Show the state of a batch: its stages and phases, what failed and why."""
    where = _connection()
    found = where.call("GET", f"batches/{number}/", query={} if as_json else {"text": "1"})
    if follow:
        begun = {"batch_id": number, "run": found["run"]}
        return _follow(where, begun, as_json=as_json, detach=False, at_most=at_most, what="batch")
    _print(found) if as_json else say(found["text"])
    return None


@ce.command("plan-of")
@_of_batch
@_json
def plan_of(number: int, as_json: bool) -> None:
    """Print the plan that a batch was made of."""
    found = _connection().call("GET", f"batches/{number}/plan/")
    _print(found) if as_json else say(found["text"], nl=False)


@ce.command("list")
@click.option("--view", default="all", metavar="NAME", help="all, running, failed …: the tabs of the page Batches")
@click.option("--search", default="", metavar="TEXT", help="in number, title and project")
@click.option("--page", default=1, type=click.IntRange(min=1))
@_json
def list_batches(view: str, search: str, page: int, as_json: bool) -> None:
    """List batches, the newest first."""
    found = _page_of_batches(_connection(), {"view": view, "q": search}, page)
    if as_json:
        return _print(found)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for name in ("Batch", "State", "Phases", "Project", "Title"):
        # A narrow terminal cuts what is long, never the number that one came for.
        table.add_column(name, overflow="ellipsis", no_wrap=True, min_width=len(name) if name in ("Batch", "Phases") else None)
    for one in found["batches"]:
        cells = (str(one["batch_id"]), one["detail"] or one["state"], f"{one['phases_done']}/{one['phases']}", one["project"], one["title"])
        table.add_row(*(Text(visible(str(cell))) for cell in cells))
    console = Console()
    if not console.is_terminal:
        console.width = WIDE  # in a pipe nothing is cut
    console.print(table if found["batches"] else Text("No batches."))
    if found["pages"] > 1:
        say(f"Page {found['page']} of {found['pages']}; the next: ce list --page {found['page'] + 1}")
    return None


def _page_of_batches(where: Connection, query: Mapping[str, str], wanted: int) -> JsonObject:
    """{"count", "page", "pages", "batches"}: one page of PAGE batches; beyond the end, the last one."""
    part = where.call("GET", "batches/", query={**query, "limit": str(PAGE)})
    pages = max(1, -(-part["count"] // PAGE))
    page = min(wanted, pages)
    behind = PAGE  # items
    while behind < page * PAGE and part["next"] is not None:
        limit = min(LARGEST_PART, (page - 1) * PAGE - behind) or PAGE
        part = where.call("GET", "batches/", query={**query, "limit": str(limit), "cursor": part["next"]})
        behind += limit
    return {"count": part["count"], "page": page, "pages": pages, "batches": part["items"]}


@ce.command()
@_of_batch
@click.argument("phases", nargs=-1)
@click.option("--remark", default="", metavar="TEXT", help="what the agents of the named phases are told first")
@click.option("--keep-session", is_flag=True, help="go on in the session of the last attempt, not afresh")
@_waiting
@_json
def retry(
    number: int, phases: tuple[str, ...], remark: str, keep_session: bool, as_json: bool, detach: bool, at_most: float | None
) -> None:
    """Retry the named phases, or all that failed, with those that they blocked."""
    where = _connection()
    body = {"phases": list(phases), "remark": remark, "keep_session": keep_session}
    begun = where.call("POST", f"batches/{number}/retry/", body=body)
    _follow(where, begun, as_json=as_json, detach=detach, at_most=at_most, what="batch")


@ce.command()
@_of_batch
@click.argument("phase", default="")
@_json
def stop(number: int, phase: str, as_json: bool) -> None:
    """Cancel the current run of a batch, or stop one phase while the others go on. What is committed stays."""
    found = _connection().call("POST", f"batches/{number}/phases/{phase}/stop/" if phase else f"batches/{number}/cancel/", body={})
    what = f"phase {found['phase']} is being stopped" if phase else f"run {found['run']} is being cancelled"
    _print(found) if as_json else say(f"Batch {number}, {what}.")


@ce.command("say")
@_of_batch
@click.argument("phase")
@click.argument("text")
@_json
def say_to(number: int, phase: str, text: str, as_json: bool) -> None:
    """Say something to the agent of a phase: it reads it at its next turn, or its next attempt does."""
    found = _connection().call("POST", f"batches/{number}/phases/{phase}/say/", body={"text": text})
    _print(found) if as_json else say(f"Phase {found['phase']}: {'the agent is told' if found['told'] else 'its next attempt is told'}.")


@ce.command()
@_of_batch
@click.argument("phase")
@click.argument("text")
@_json
def answer(number: int, phase: str, text: str, as_json: bool) -> None:
    """Answer what the agent of a phase asks."""
    found = _connection().call("POST", f"batches/{number}/phases/{phase}/answer/", body={"text": text})
    _print(found) if as_json else say(f"Phase {found['phase']}: the agent has the answer.")


@ce.command()
@_of_batch
@click.argument("phase")
@click.argument("reason")
@_json
def accept(number: int, phase: str, reason: str, as_json: bool) -> None:
    """Accept a phase that succeeded and is not green, with what you looked at as the reason."""
    found = _connection().call("POST", f"batches/{number}/phases/{phase}/accept/", body={"reason": reason})
    _print(found) if as_json else say(f"Phase {found['phase']} is accepted as it is, by {found['accepted_by']}.")


@ce.command()
@_of_batch
@click.argument("phase")
@click.option("--follow", "-f", is_flag=True, help="show new lines until the attempt has ended")
@_json
def logs(number: int, phase: str, follow: bool, as_json: bool) -> None:
    """Print the log of a phase's newest attempt."""
    where = _connection()
    after: int | None = None

    def done() -> bool:
        nonlocal after
        found = where.call("GET", f"batches/{number}/phases/{phase}/log/", query={} if after is None else {"after": str(after)})
        if as_json:
            _print(found)
        else:
            for line in found["lines"]:
                at = "" if line["at"] is None else f"{line['at'][11:19]} "
                say(f"{at}{line['text']}")
        after = found["last"]
        return bool(found["ended"]) and after >= found["total"]

    if not done() and follow:
        where.wait(done, f"The attempt goes on. Follow it: ce logs {number} {phase} -f")


@ce.command()
@_of_batch
@click.argument("phase", default="")
@_json
def diff(number: int, phase: str, as_json: bool) -> None:
    """Print what git shows as changed by the phases of a batch, or by one."""
    found = _connection().call("GET", f"batches/{number}/diff/", query={"phase": phase} if phase else {})
    if as_json:
        return _print(found)
    for one in found["phases"]:
        if one["diff"]:
            click.echo(_coloured(one["diff"]), nl=False)
        else:
            say(f"Phase {one['phase']}: {one['state']}, no changes{'' if one['diff'] == '' else ' yet'}.", err=True)
    return None


def _coloured(text: str) -> str:
    """A unified diff with colours, if the output is a terminal."""
    if not sys.stdout.isatty():
        return text
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return "\n".join(click.style(visible(line), fg=colours.get(line[:1])) for line in text.split("\n"))


@ce.command()
@_of_batch
@click.option("--no-ff", is_flag=True, help="create a merge commit")
@click.option("--dry-run", is_flag=True, help="show what would be merged; change nothing")
@click.option("--bring-in", is_flag=True, help="only merge new commits of the base branch into the batch's branch")
@click.option("--judge", is_flag=True, help="only judge all gates again, on the batch's branch as it is")
@_json
def merge(number: int, no_ff: bool, dry_run: bool, bring_in: bool, judge: bool, as_json: bool) -> None:
    """Merge a batch's branch into its base branch."""
    if no_ff + dry_run + bring_in + judge > 1:
        raise click.UsageError("--no-ff, --dry-run, --bring-in and --judge exclude each other.")
    where = _connection()
    if judge:
        begun = where.call("POST", f"batches/{number}/judge/", body={})
        return _follow(where, begun, as_json=as_json, detach=False, at_most=None)
    if bring_in:
        seen = where.call("POST", f"batches/{number}/bring-in/", body={})
        words = f"{seen['branch']} holds what {seen['base_branch']} has. Judge its gates on that: ce merge {number} --judge"
        return _print(seen) if as_json else say(words)
    seen = where.call("GET", f"batches/{number}/merge/")
    counts = ", ".join(f"{len(seen[f'files_{word}'])} {word}" for word in ("created", "modified", "deleted"))
    if not as_json:
        say(f"{seen['branch']} into {seen['base_branch']}: {counted(seen['commits'], 'commit')}; files: {counts}.")
        if seen["not_done"]:
            say(f"  not done, so not part of it: phases {', '.join(seen['not_done'])}")
    if seen["refusal"]:
        raise Refused(seen["refusal"])
    if dry_run:
        return _print(seen) if as_json else None
    shown = {"base": seen["base"], "tip": seen["tip"], "method": "no_ff" if no_ff else "ff"}
    done = where.call("POST", f"batches/{number}/merge/", body=shown)
    _print(done) if as_json else say(f"Merged: {done['base_branch']} is at {done['commit'][:12]} now.")
    return None


@ce.command()
@_of_batch
@click.option("--replace", is_flag=True, help="let the push replace what was pushed before, if nobody else has pushed since")
@click.option("--show", is_flag=True, help="only say how it is; change nothing")
@click.option("--fix", is_flag=True, help="have agents work on failed checks and comments that came back")
@click.option("--detach", is_flag=True, help="do not wait until it is open, or the run of --fix has ended")
@_json
def pr(number: int, replace: bool, show: bool, fix: bool, detach: bool, as_json: bool) -> None:
    """Open a pull request of a batch's branch, or bring the open one up to date."""
    where, path = _connection(), f"batches/{number}/pull-request/"
    if fix:
        begun = where.call("POST", f"{path}remarks/", body={})
        return _follow(where, begun, as_json=as_json, detach=detach, at_most=None)
    found = where.call("GET", path) if show else where.call("POST", path, body={"replace": True} if replace else {})

    def done() -> bool:
        nonlocal found
        found = where.call("GET", path)
        return not found["at_work"]

    if not show and not detach:
        where.wait(done, f"The pull request of batch {number} is still being opened. See how it is: ce pr {number} --show.")
    if as_json:
        _print(found)
    elif found["status"] is None:
        say(f"Batch {number} has no pull request.")
    else:
        about = f"#{found['number']} {found['url']}" if found["number"] else f"of {found['branch']}"
        checks = f", checks {found['checks_outcome']}" if found["checks_outcome"] else ""
        say(f"Pull request {about}: {'being opened' if found['status'] == 'wanted' else found['status']}{checks}.")
        for remark in found["remarks"]:
            place = f" on {remark['path']}" if remark["path"] else ""
            said = " ".join(str(remark["text"]).split())[:100]
            say(f"  {remark['kind']} {remark['author']}{place}: {said}")
    if found.get("note") and not as_json:
        say(found["note"])
    if found.get("error"):
        raise Refused(found["error"])
    return None


@ce.command()
@_of_batch
@click.option("--before", "moment", flag_value="before", help="review the PRPs")
@click.option("--after", "moment", flag_value="after", help="review the code")
@_waiting
@_json
def review(number: int, moment: str | None, as_json: bool, detach: bool, at_most: float | None) -> None:
    """Review a batch: its PRPs before the execution, its code afterwards."""
    where = _connection()
    begun = where.call("POST", f"batches/{number}/review/", body={"moment": moment} if moment else {})
    _follow(where, begun, as_json=as_json, detach=detach, at_most=at_most)


@ce.command()
@_of_batch
@click.option("--accept", "decision", flag_value="accept", help="merge the newest proposal into the batch's branch")
@click.option("--reject", "decision", flag_value="reject", help="reject the newest proposal; its commits are kept")
@click.option("--reason", default="", metavar="TEXT", help="with --reject: why")
@_waiting
@_json
def context(number: int, decision: str | None, reason: str, as_json: bool, detach: bool, at_most: float | None) -> None:
    """Propose updates of PRPs, CLAUDE.md and memory after an execution, or decide about the newest proposal."""
    if reason and decision != "reject":
        raise click.UsageError("--reason is for --reject.")
    where = _connection()
    if decision:
        body = {"accept": decision == "accept"} | ({"reason": reason} if reason else {})
        found = where.call("POST", f"batches/{number}/context/decide/", body=body)
        words = f"it is on {found['branch']} now" if body["accept"] else "nothing was merged, and its commits are kept"
        return _print(found) if as_json else say(f"Run {found['run']}: {found['decision']}; {words}.")
    begun = where.call("POST", f"batches/{number}/context/", body={})
    return _follow(where, begun, as_json=as_json, detach=detach, at_most=at_most)


@ce.command()
@_of_batch
@_json
def verify(number: int, as_json: bool) -> None:
    """Judge all recorded gates of a batch once more, and print what differs."""
    where = _connection()
    found = where.call("POST", f"batches/{number}/verify/", body={})
    shown = ""

    def done() -> bool:
        nonlocal found, shown
        found = where.call("GET", f"batches/{number}/verify/")
        if found["progress"] not in ("", shown) and not as_json:
            shown = found["progress"]
            say(shown, err=True)
        return bool(found["state"] != "running")

    where.wait(done, f"The verification goes on. See it on the page of batch {number}.")
    if as_json:
        _print(found)
    elif found["document"] is not None:
        from batches.core.gates.verification import report_text

        say(report_text(found["document"]))
    if found["problem"] and not as_json:
        say(found["problem"], err=True)
    if found["state"] != "agrees":
        raise SystemExit(1)


@ce.command()
@click.option("--period", default="30d", help="7d, 30d, 90d or all")
@click.option("--project", default="", metavar="SLUG")
@click.option("--operation", default="", metavar="NAME", help="execute, generate, review, update_context or any")
@_json
def trends(period: str, project: str, operation: str, as_json: bool) -> None:
    """Show figures, findings and success criteria of a period."""
    query = {"period": period, "project": project, "operation": operation} | ({} if as_json else {"text": "1"})
    found = _connection().call("GET", "metrics/", query={name: value for name, value in query.items() if value})
    _print(found) if as_json else say(found["text"])


@ce.command()
@click.argument("number", type=click.IntRange(min=1), required=False)
@click.option("--plan", type=click.IntRange(min=1), metavar="ID", help="a saved plan with all its versions, instead of a batch")
@click.option("--project", metavar="SLUG", help="a project with all that belongs to it, instead of a batch")
@click.option("--dry-run", is_flag=True, help="say what would go, what stays, and what stands in the way")
@click.option("--make-branches", is_flag=True, help="first make branches of commits that no branch has")
@click.option("--yes", is_flag=True, help="do not ask")
@_json
def delete(number: int | None, plan: int | None, project: str | None, dry_run: bool, make_branches: bool, yes: bool, as_json: bool) -> None:
    """Delete a batch, a plan or a project. Branches stay; what no branch has is never deleted."""
    paths = [f"{kind}/{name}/" for kind, name in (("batches", number), ("plans", plan), ("projects", project)) if name]
    if len(paths) != 1:
        raise click.UsageError("Name one: the number of a batch, --plan or --project.")
    if make_branches and not number:
        raise click.UsageError("--make-branches is for a batch.")
    where = _connection()
    found = where.call("DELETE", paths[0], query={"dry_run": "1"})
    if not as_json:
        lines = [
            f"  {word}: {said}" for word, kind in (("goes", "goes"), ("stays", "stays"), ("refused", "refusals")) for said in found[kind]
        ]
        say("\n".join([f"Delete {found['name']}?", *lines]))
    if dry_run:
        return _print(found) if as_json else say("Nothing was deleted.")
    if not yes and not (sys.stdin.isatty() and click.confirm("This cannot be undone. Go on?", err=True)):
        raise Refused("Nothing was deleted. To delete it, answer yes, or give --yes.")
    found = where.call("DELETE", paths[0], query={"make_branches": "1"} if make_branches else {})
    return _print(found) if as_json else say(f"Deleted {found['name']}.")


@ce.command()
@click.argument("number", type=click.IntRange(min=1), required=False)
@click.option("--project", metavar="SLUG", help="a project with its batches, instead of a batch")
@click.option("--undo", is_flag=True, help="bring it back")
@_json
def archive(number: int | None, project: str | None, undo: bool, as_json: bool) -> None:
    """Archive a batch or a project: lists hide it, nothing starts in it, and nothing is deleted."""
    if (number is None) == (project is None):
        raise click.UsageError("Name one: the number of a batch, or --project.")
    path = f"batches/{number}/archive/" if number else f"projects/{project}/archive/"
    found = _connection().call("DELETE" if undo else "PUT", path)
    hidden, shown = f"Archived {found['name']}: lists hide it, and nothing was deleted.", f"Lists show {found['name']} again."
    return _print(found) if as_json else say(hidden if found["archived"] else shown)


# Repositories


@ce.command("install-commands")
@click.argument("repository", default=".", type=click.Path(exists=True, file_okay=False))
@click.option("--branch", metavar="NAME", help="the branch that gets them (default: the one that is checked out)")
@click.option("--remove", is_flag=True, help="take away what was installed and nobody has changed")
def install_commands(repository: str, branch: str | None, remove: bool) -> None:
    """Put the commands for Claude Code into a repository, as one commit, or renew them (docs/claude-code.md)."""
    import tempfile

    from batches.core.errors import ServiceError
    from batches.repositories import claude_commands
    from subagents.contract import SubagentError
    from subagents.open_repository import open_repository

    try:
        found = open_repository(os.path.abspath(repository))
        with tempfile.TemporaryDirectory() as scratch:
            change = (claude_commands.remove if remove else claude_commands.install)(found, branch or found.default_branch(), scratch)
    except (ServiceError, SubagentError) as problem:
        raise Refused(str(problem)) from problem
    say(change.words)


# The installation


@ce.command()
@click.option("--host", default="127.0.0.1", help="address to listen on")
@click.option("--port", default=8000, help="port to listen on")
def run(host: str, port: int) -> None:
    """Set up the installation of this machine if there is none, and start it: what `make run` does."""
    _manage("bootstrap", "--host", host, "--port", str(port))
    _manage("up", "--host", host, "--port", str(port))


@ce.command()
@click.option("--host", default="127.0.0.1", help="address to listen on")
@click.option("--port", default=8000, help="port to listen on")
@click.option("--no-web", is_flag=True, help="run the cluster only")
@click.option("--no-cluster", is_flag=True, help="run the web server only")
def up(host: str, port: int, no_web: bool, no_cluster: bool) -> None:
    """Start web server and cluster of this machine's installation. Ctrl-C stops them; agents continue."""
    more = [name for name, wanted in (("--no-web", no_web), ("--no-cluster", no_cluster)) if wanted]
    _manage("up", "--host", host, "--port", str(port), *more)


@ce.command()
def mcp() -> None:
    """Serve agents by the Model Context Protocol, over standard input and output (docs/mcp.md)."""
    where = _connection()

    def ask(method: str, path: str, query: Mapping[str, str], body: JsonObject | bytes | None) -> JsonObject:
        try:
            return where.call(method, path, query=query, body=body)
        except Refused as refusal:
            raise ToolRefused(str(refusal)) from refusal

    try:
        from asgiref.sync import async_to_sync

        from ce_web.mcp.server import serve_stdio
    except ModuleNotFoundError as missing:
        raise Refused("This needs the package mcp, which comes with the agents: make run AGENTS=1.") from missing
    from ce_web.mcp.tools import ToolRefused

    async_to_sync(serve_stdio)(ask)


@ce.command()
def doctor() -> None:
    """Check this machine: git, database, sandbox, agents, cluster."""
    _manage("doctor")


@ce.command()
@click.argument("file", required=False)
@click.option("--without-key", is_flag=True, help="leave the secret key out; you keep it yourself")
def backup(file: str | None, without_key: bool) -> None:
    """Write a backup of this machine's installation into one file, while it runs (docs/operations.md)."""
    _manage("backup", *([file] if file else []), *(["--without-key"] if without_key else []))


@ce.command()
@click.option("--dry-run", is_flag=True, help="say what would be removed; remove nothing")
@click.option("--days", default=30, help="keep references and plain logs of runs that ended since then")
@click.option("--megabytes", type=click.IntRange(min=0), help="keep so many megabytes of logs of each project (default: its setting)")
def prune(dry_run: bool, days: int, megabytes: int | None) -> None:
    """Remove ended sessions, old sign-ins, references of attempts merged long ago, logs above a limit; compress old logs."""
    more = [] if megabytes is None else ["--megabytes", str(megabytes)]
    _manage("prune", "--days", str(days), *more, *(["--dry-run"] if dry_run else []))


@ce.command()
@click.argument("file")
@click.option("--replace", is_flag=True, help="replace the installation that is there now")
def restore(file: str, replace: bool) -> None:
    """Bring back a backup, and say what will be done again."""
    _manage("restore", file, *(["--replace"] if replace else []))


@ce.command()
@click.option("--repositories", is_flag=True, help="take over the projects' repositories from another installation")
@click.option("--new-key", is_flag=True, help="accept another secret key; stored secrets must be entered again")
def adopt(repositories: bool, new_key: bool) -> None:
    """Go on with a copied, moved or restored data directory (docs/operations.md)."""
    _manage("adopt", *(name for name, wanted in (("--repositories", repositories), ("--new-key", new_key)) if wanted))


def _manage(name: str, *arguments: str) -> None:
    """A command of this machine's installation, as manage.py runs it."""
    from django.core.management import execute_from_command_line

    from ce_web.file_rights import keep_private

    keep_private()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", SETTINGS)
    execute_from_command_line(["ce", name, *arguments])


@ce.command()
@click.argument("server")
@click.option("--plain-http", is_flag=True, help="send the token without encryption, in a network that you trust")
def login(server: str, plain_http: bool) -> None:
    """Use a server from now on. Asks for a token: make one on its page “Your account”."""
    server = server.rstrip("/")
    if plain_http:
        os.environ["CE_PLAIN_HTTP"] = "1"
    connect(server, "none")  # refused before a token is typed
    token = click.prompt("Token", hide_input=True, err=True).strip()
    projects = _all_projects(connect(server, token))
    place = keep(server, token, plain_http=plain_http)
    say(f"{server} knows this token; it sees {counted(len(projects), 'project')}. Kept in {place}.")


@ce.command()
def logout() -> None:
    """Use this machine's installation again."""
    kept_file().unlink(missing_ok=True)
    say("Server and token are forgotten here. Revoke the token on the page “Your account”, if nothing else uses it.")


@ce.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the completion for a shell; for bash: eval "$(ce completion bash)"."""
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ce, {}, "ce", "_CE_COMPLETE").source())


# The framework's own names, for whom they are in the fingers and for the commands that `ce install-commands` writes.
for _name, _verb in (("batch-gen-prp", plan), ("batch-exe-prp", exe), ("batch-peer-review", review), ("batch-update-context", context)):
    ce.add_command(click.Command(_name, callback=_verb.callback, params=_verb.params, help=_verb.help, hidden=True))


def main() -> None:
    """The console script."""
    ce(prog_name="ce")


if __name__ == "__main__":
    main()
