"""What must be true after any attack: one function a promise, each yielding what is wrong."""

import re
from collections import Counter
from collections.abc import Iterator

from batches.core.engine.states import RUN_MOVES, TASK_MOVES, RunEvent, RunState, TaskEvent, TaskState
from batches.repositories.ownership import OWNER
from subagents.clean_checkout import FOLDER
from subagents.notes import NOTES
from tests.chaos.site import Site

DRAFT = re.compile(r"^\..*\.[0-9]+\.[0-9a-f]{8}$")  # what an interrupted atomic write leaves


def faults(site: Site, dump: list[dict], *, audited: bool = True) -> list[str]:
    """Everything that is wrong with a stopped installation whose runs have all succeeded."""
    found: list[str] = []
    for run in dump:
        label = f"batch {run['batch']} run {run['run']} ({run['operation']})"
        found += [f"{label}: {fault}" for fault in (*unfinished(run), *illegal_moves(run), *merges(site, run), *work_orders(site, run))]
        if audited and run["operation"] == "execute":
            found += [f"{label}: {fault}" for fault in audit(site, run)]
    return [*found, *repository(site, dump), *data_directory(site, dump)]


def unfinished(run: dict) -> Iterator[str]:
    if run["state"] != "succeeded" or not run["reported"]:
        yield f"is {run['state']}, reported: {run['reported']}"
    for task in run["tasks"]:
        outcomes = Counter(attempt["outcome"] for attempt in task["attempts"])
        if task["state"] != "succeeded" or outcomes["succeeded"] != 1 or outcomes[""]:
            yield f"task {task['name']} is {task['state']} with attempts {dict(outcomes)}: {task['message']}"
        if task["attempts"] and task["attempts"][-1]["outcome"] != "succeeded":
            yield f"task {task['name']} was tried again after it had succeeded"
        if [attempt["number"] for attempt in task["attempts"]] != list(range(1, len(task["attempts"]) + 1)):
            yield f"task {task['name']} has attempts with gaps"


def illegal_moves(run: dict) -> Iterator[str]:
    """Each row goes on from where the one before it ended, by a move of the table."""
    for task in run["tasks"]:
        state = TaskState.PENDING
        for event, before, after in task["moves"]:
            if before != state or TASK_MOVES[TaskEvent(event)].get(TaskState(before)) != after:
                yield f"task {task['name']}: {event} from {before} to {after} when it was {state}"
            state = TaskState(after)
        if state != task["state"]:
            yield f"task {task['name']} is {task['state']}, but its last move led to {state}"
        if [move[0] for move in task["moves"]].count("launch") != len(task["attempts"]):
            yield f"task {task['name']} has {len(task['attempts'])} attempts and another number of launches"
    state = RunState.QUEUED
    for event, before, after in run["moves"]:
        if before != state or RUN_MOVES[RunEvent(event)].get(RunState(before)) != after:
            yield f"the run: {event} from {before} to {after} when it was {state}"
        state = RunState(after)


def merges(site: Site, run: dict) -> Iterator[str]:
    """Every phase's work is on the branch by exactly one merge commit, which is the one in the rows."""
    log = site.git("log", "--merges", "--format=%H %P %(trailers:key=CE-Attempt,valueonly,separator=%x2C)", run["branch"])
    merged = [line.split() for line in log.split("\n") if line]
    for task in run["tasks"]:
        if task["kind"] != "phase":
            continue
        winner = next((attempt for attempt in task["attempts"] if attempt["outcome"] == "succeeded"), None)
        if winner is None:
            continue
        own = [row for row in merged if row[-1] in {attempt["ref"] for attempt in task["attempts"]}]
        if not own and run["operation"] == "generate":
            continue  # written at once with the others: see work_orders
        if len(own) != 1:
            yield f"phase {task['name']} was merged {len(own)} times"
        elif (own[0][0], own[0][2], own[0][3]) != (winner["merge_commit"], winner["head_commit"], winner["ref"]):
            yield f"phase {task['name']}: the branch has {own[0]}, the row {winner['merge_commit']} of {winner['ref']}"


def work_orders(site: Site, run: dict) -> Iterator[str]:
    """Each work order is on the branch by exactly one commit of its own, whether an attempt wrote it or all were written at once."""
    if run["operation"] != "generate":
        return
    log = [line.split(" ", 1) for line in site.git("log", "--no-merges", "--format=%H %s", run["branch"]).split("\n")]
    written = Counter(subject.partition(":")[0] for _, subject in log if ": Generate - " in subject)
    if twice := sorted(name for name, times in written.items() if times > 1):
        yield f"work orders written twice: {twice}"
    phases = [task for task in run["tasks"] if task["kind"] == "phase" and task["state"] == "succeeded"]
    if len(written) < len(phases):
        yield f"{len(phases)} work orders are said to be written, and {len(written)} are on the branch"
    known = {commit for commit, _ in log}
    for task in phases:
        for attempt in task["attempts"]:
            if attempt["outcome"] == "succeeded" and attempt["head_commit"] not in known:
                yield f"phase {task['name']}: its work order {attempt['head_commit']} is not on the branch"


def audit(site: Site, run: dict) -> Iterator[str]:
    """No two copies of a phase at once, and nothing of a phase after the attempt that succeeded."""
    rows = [line.split() for line in (site.audit / f"{run['batch']}.log").read_text().splitlines()]
    for row in rows:
        if row[0] == "DOUBLE":
            yield f"two copies of phase {row[1]} at the same time: {row[2]}"
    on_branch = set(site.git("ls-tree", "-r", "--name-only", run["branch"]).split("\n"))
    for task in run["tasks"]:
        if task["kind"] != "phase":
            continue
        own = [(row[0], row[2]) for row in rows if row[1] == task["name"]]
        winner = next((attempt["directory"] for attempt in task["attempts"] if attempt["outcome"] == "succeeded"), "")
        if own[-2:] != [("START", winner), ("END", winner)]:
            yield f"phase {task['name']}: the work of {winner} is not the last that was done: {own[-4:]}"
        starts = Counter(directory for word, directory in own if word == "START")
        if starts and max(starts.values()) > 1:
            yield f"phase {task['name']}: an attempt was started more than once: {starts}"
        if f"parts/{task['name']}.txt" not in on_branch:
            yield f"phase {task['name']}: its file is not on the branch"


def data_directory(site: Site, dump: list[dict]) -> Iterator[str]:
    """Of attempts that succeeded no checkout is left; those of the others stay, with what was not committed.

    The places of the judge (.judge) stay: they are used again for the next commit and hold nothing of an attempt.
    """
    attempts = [attempt for run in dump for task in run["tasks"] for attempt in task["attempts"]]
    kept = {attempt["checkout"] for attempt in attempts if attempt["outcome"] != "succeeded"}
    there = {str(path) for path in (site.data / "checkouts").glob("*/*") if path.name != FOLDER}
    if strays := there - kept:
        yield f"checkouts left behind: {sorted(strays)}"


def repository(site: Site, dump: list[dict]) -> Iterator[str]:
    """Sound, without anything forgotten, and the user's own things as they were."""
    if said := site.git("fsck", "--full", "--no-dangling"):
        yield f"git fsck: {said}"
    if (state := site.state_of_user()) != site.user_state:
        yield f"the user's repository was {site.user_state} and is {state}"
    known = {"refs/heads/main", NOTES, OWNER, *(f"refs/heads/{run['branch']}" for run in dump)}
    known |= {attempt["ref"] for run in dump for task in run["tasks"] for attempt in task["attempts"]}
    if strays := set(site.git("for-each-ref", "--format=%(refname)").split("\n")) - known:
        yield f"references of nobody: {sorted(strays)}"
    noted = {line.split()[1] for line in site.git("notes", f"--ref={NOTES}", "list").split("\n") if line}
    executed = [task for run in dump if run["operation"] == "execute" for task in run["tasks"]]
    merges = {attempt["merge_commit"] for task in executed for attempt in task["attempts"]} - {""}
    if missing := merges - noted:
        yield f"merges without a note of their gates: {sorted(missing)}"
    git_dir = site.user_repository / ".git"
    strays = {str(path) for path in git_dir.rglob("*.lock")} | {str(path) for path in git_dir.glob("index?*")}
    strays |= {str(path) for path in (site.user_repository / ".ce").rglob("*") if DRAFT.match(path.name)}
    if strays:
        yield f"files left behind: {sorted(strays)}"
    if (git_dir / "worktrees").exists():
        yield "worktrees were registered in the user's repository"
