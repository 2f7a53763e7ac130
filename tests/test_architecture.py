"""Which module may import or do what, read from the syntax trees of all our modules.

Each rule is one function that yields faults; `BAD` holds for each rule a small module that must be refused, so that
a rule which can no longer fail is found out.
"""

import ast
import functools
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("batches", "subagents", "ce_web")

# What may start or end processes, and what may run git.
PROCESS_STARTERS = (
    "subagents/launcher.py",
    "subagents/fork_server.py",
    "subagents/fork_server_client.py",
    "subagents/wrapper.py",
    "subagents/supervisor.py",
    "subagents/runner.py",
    "subagents/gates.py",
    "subagents/network_access.py",
    "subagents/network_inside.py",
    "subagents/processes.py",
    "subagents/sandbox.py",
    "subagents/workspace.py",
    "subagents/backends/",
    "ce_web/cluster.py",
    "ce_web/postgresql_programs.py",
    "batches/management/commands/up.py",
)
GIT_RUNNER = "subagents/workspace.py"
# They check what a form or an upload holds, and show no page.
_NO_PAGES = ("forms", "accounts/forms", "plans/execute_form", "projects/fields", "projects/settings_form", "projects/tools_form", "uploads")
NOT_PAGES = tuple(f"batches/pages/{name}.py" for name in _NO_PAGES)
STATE_WRITER = "batches/runs/transitions.py"
TASK_SENDER = "batches/tasks.py"

# Folders and files of batches/ from the bottom up: a module may use its own folder and those below; on the top level also its neighbours.
LEVELS = (
    ("core",),
    ("models",),
    ("accounts", "metrics"),
    ("runs", "plans"),
    ("repositories",),
    ("gates", "integrations"),
    ("review", "projects"),
    ("engine",),
    ("tasks", "templatetags"),
    ("pages", "admin", "checks", "management"),
)
WIRING = ("batches/__init__.py", "batches/apps.py", "batches/migrations/")
FILES_DIRECTLY_IN_BATCHES = 8

CLOCKS = {"time", "random", "secrets", "uuid", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.date.today"}
FILES = {"os", "io", "pathlib", "shutil", "tempfile", "glob", "fileinput", "mmap", "fcntl"}
PROCESSES = {"subprocess", "multiprocessing", "pty", "posix", "subagents.processes"}
NETWORK = {"socket", "ssl", "http", "urllib.request", "asyncio"}
STARTING_CALLS = {"system", "popen", "posix_spawn", "posix_spawnp", "fork", "forkpty", "startfile"}
STARTING_PREFIXES = ("exec", "spawn")
CLOCK_METHODS = {"now", "utcnow", "today"}
FILE_METHODS = {"read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob", "rglob", "unlink", "mkdir", "touch"}


class Module:
    """One of our files: its path from the root, its tree, and what it imports (with line numbers)."""

    def __init__(self, path: str, source: str) -> None:
        self.path = path
        self.nodes = list(ast.walk(ast.parse(source)))
        self.imports = list(_imports(self.nodes, path))
        self.name = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    def within(self, *places: str) -> bool:
        return any(self.path == place or (place.endswith("/") and self.path.startswith(place)) for place in places)

    @functools.cached_property
    def calls(self) -> list[ast.Call]:
        return [node for node in self.nodes if isinstance(node, ast.Call)]


def _imports(nodes: list[ast.AST], path: str) -> Iterator[tuple[int, str]]:
    """Every name that is imported, in full: "from a import b" gives "a.b"; at any depth, type checking too."""
    package = path.split("/")[:-1]
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            origin = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def _under(name: str, *roots: str) -> bool:
    return any(name == root or name.startswith(root + ".") for root in roots)


def _method(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def core_is_pure(module: Module) -> Iterator[tuple[int, str]]:
    """core: no Django, no files, no clock, no processes; of ours only core itself and subagents.contract."""
    if not module.within("batches/core/"):
        return
    for line, name in module.imports:
        if _under(name, *OURS) and not _under(name, "batches.core", "subagents.contract"):
            yield line, f"core may not import {name}"
        if _under(name, "django", "django_q", *CLOCKS, *FILES, *PROCESSES, *NETWORK):
            yield line, f"core knows no {name}: it takes values and gives values"
    for call in module.calls:
        if _method(call) in CLOCK_METHODS or (isinstance(call.func, ast.Name) and call.func.id in {"open", "print", "input"}):
            yield call.lineno, f"core may not call {_method(call)}(): pass the value in"


def subagents_stand_alone(module: Module) -> Iterator[tuple[int, str]]:
    """subagents: nothing of ours outside; standard library only, but for backends and what may be missing; never Django."""
    if not module.within("subagents/"):
        return
    optional = {node.lineno for attempt in module.nodes if isinstance(attempt, ast.Try) and _catches_missing(attempt)
                for statement in attempt.body for node in ast.walk(statement) if hasattr(node, "lineno")}
    for line, name in module.imports:
        if _under(name, "batches", "ce_web") or _under(name, "django", "django_q"):
            yield line, f"subagents may not import {name}"
        elif name.partition(".")[0] in {"subagents", *sys.stdlib_module_names} or module.within("subagents/backends/") or line in optional:
            continue
        else:
            yield line, f"subagents use the standard library only, not {name}"


def _catches_missing(attempt: ast.Try) -> bool:
    return any(isinstance(handler.type, ast.Name) and handler.type.id == "ImportError" for handler in attempt.handlers)


def levels_point_down(module: Module) -> Iterator[tuple[int, str]]:
    """batches: pages, admin and commands over packages over models over core, never the other way or across."""
    own = _folder(module.name)
    if own not in _LEVEL_OF:
        return
    for line, name in module.imports:
        other = _folder(name)
        if other == own or other not in _LEVEL_OF:
            continue
        if _LEVEL_OF[other] > _LEVEL_OF[own] or (_LEVEL_OF[other] == _LEVEL_OF[own] != len(LEVELS) - 1):
            yield line, f"{module.name} may not import {name}, which does not stand below it"


_LEVEL_OF = {folder: number for number, folders in enumerate(LEVELS) for folder in folders}


def _folder(name: str) -> str:
    """The folder or file of batches/ that a module belongs to; "" for others."""
    parts = name.split(".")
    return parts[1] if parts[0] == "batches" and len(parts) > 1 else ""


def every_folder_has_a_level(module: Module) -> Iterator[tuple[int, str]]:
    """Every folder and file of batches/ has its level, so that the rule above sees it."""
    if module.within("batches/") and not module.within(*WIRING) and _folder(module.name) not in _LEVEL_OF:
        yield 1, f"{module.name} has no level: give its folder one in LEVELS"


def one_module_runs_git(module: Module) -> Iterator[tuple[int, str]]:
    """Only subagents/workspace.py runs git (docs/git.md): an argument list that begins with it stands nowhere else."""
    if module.within(GIT_RUNNER):
        return
    for node in module.nodes:
        if isinstance(node, ast.List | ast.Tuple) and node.elts and isinstance(node.elts[0], ast.Constant):
            first = node.elts[0].value
            if isinstance(first, str) and (first == "git" or first.endswith("/git")):
                yield node.lineno, "only subagents/workspace.py runs git"
    for call in module.calls:
        if _method(call) in {"run", "Popen", "check_output", "check_call", *STARTING_CALLS} and call.args:
            text = call.args[0].value if isinstance(call.args[0], ast.Constant) else None
            if isinstance(text, str) and (text == "git" or text.startswith("git ")):
                yield call.lineno, "only subagents/workspace.py runs git"


def few_modules_start_processes(module: Module) -> Iterator[tuple[int, str]]:
    """Processes are started by the launcher, the wrapper, the runner, backends and gates, and by `up` and the cluster."""
    if module.within(*PROCESS_STARTERS):
        return
    for line, name in module.imports:
        if _under(name, *PROCESSES):
            yield line, f"{module.path} may not start processes ({name})"
    for call in module.calls:
        receiver = call.func.value if isinstance(call.func, ast.Attribute) else None
        if isinstance(receiver, ast.Name) and receiver.id == "os":
            name = _method(call)
            if name in STARTING_CALLS or name.startswith(STARTING_PREFIXES) or name in {"kill", "killpg"}:
                yield call.lineno, f"{module.path} may not start or end processes (os.{name})"


def pages_read_rows_only(module: Module) -> Iterator[tuple[int, str]]:
    """pages: no files, no subagents, no processes; a page shows rows."""
    if not module.within("batches/pages/") or module.within(*NOT_PAGES):
        return
    for line, name in module.imports:
        if _under(name, "subagents", *FILES, *PROCESSES):
            yield line, f"a page may not import {name}: pages read rows only"
    for call in module.calls:
        if (isinstance(call.func, ast.Name) and call.func.id == "open") or _method(call) in FILE_METHODS:
            yield call.lineno, f"a page may not touch files ({_method(call)})"


def one_module_sends_tasks(module: Module) -> Iterator[tuple[int, str]]:
    """async_task is called in batches/tasks.py only."""
    if module.within(TASK_SENDER):
        return
    for line, name in module.imports:
        if _under(name, "django_q.tasks"):
            yield line, "only batches/tasks.py sends tasks"


def one_module_writes_states(module: Module) -> Iterator[tuple[int, str]]:
    """`state` is written in batches/runs/transitions.py only, along the one transition table."""
    if not module.within("batches/") or module.within(STATE_WRITER, "batches/migrations/", "batches/core/"):
        return
    for node in module.nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign | ast.AnnAssign) else []
        if any(isinstance(part, ast.Attribute) and part.attr == "state" for target in targets for part in ast.walk(target)):
            yield node.lineno, "only batches/runs/transitions.py writes a state (assignment)"
    for call in module.calls:
        method = _method(call)
        if method in {"update", "update_or_create"} and any(keyword.arg == "state" for keyword in call.keywords):
            yield call.lineno, f"only batches/runs/transitions.py writes a state ({method})"
        constants = [node.value for argument in (*call.args, *(word.value for word in call.keywords)) for node in ast.walk(argument)
                     if isinstance(node, ast.Constant)]
        if method in {"bulk_update", "setattr"} and "state" in constants:
            yield call.lineno, f"only batches/runs/transitions.py writes a state ({method})"


RULES = (
    core_is_pure,
    subagents_stand_alone,
    levels_point_down,
    every_folder_has_a_level,
    one_module_runs_git,
    few_modules_start_processes,
    pages_read_rows_only,
    one_module_sends_tasks,
    one_module_writes_states,
)

# (rule, path, source): each must be refused by that rule.
BAD = (
    (core_is_pure, "batches/core/plans/reader.py", "from django.db import models"),
    (core_is_pure, "batches/core/plans/reader.py", "def f():\n    import pathlib"),
    (core_is_pure, "batches/core/plans/reader.py", "import time"),
    (core_is_pure, "batches/core/plans/reader.py", "from datetime import datetime\nx = datetime.now()"),
    (core_is_pure, "batches/core/plans/reader.py", "x = open('plan.md')"),
    (core_is_pure, "batches/core/plans/reader.py", "from subagents.open_repository import open_repository"),
    (core_is_pure, "batches/core/plans/reader.py", "from ... import tasks"),
    (subagents_stand_alone, "subagents/runner.py", "from batches.core.engine.states import TaskEvent"),
    (subagents_stand_alone, "subagents/backends/claude.py", "import django"),
    (subagents_stand_alone, "subagents/gates.py", "import networkx as nx"),
    (subagents_stand_alone, "subagents/gates.py", "try:\n    import django\nexcept ImportError:\n    pass"),
    (subagents_stand_alone, "subagents/gates.py", "try:\n    x = 1\nexcept ImportError:\n    import yaml"),
    (levels_point_down, "batches/models/runs.py", "from batches.runs import transitions"),
    (levels_point_down, "batches/accounts/roles.py", "from batches.metrics import facts"),
    (levels_point_down, "batches/core/plans/graph.py", "from batches.models import Phase"),
    (levels_point_down, "batches/engine/pause_and_cancel.py", "def f():\n    from batches.tasks import enqueue_tick"),
    (levels_point_down, "batches/engine/ticker.py", "import batches.pages.urls"),
    (every_folder_has_a_level, "batches/helpers.py", "x = 1"),
    (one_module_runs_git, "subagents/gates.py", "run(['git', 'status'])"),
    (one_module_runs_git, "batches/engine/ticker.py", "argv = ('/usr/bin/git', 'log')"),
    (one_module_runs_git, "subagents/launcher.py", "import os\nos.system('git gc')"),
    (few_modules_start_processes, "batches/engine/pause_and_cancel.py", "import subprocess"),
    (few_modules_start_processes, "batches/engine/ticker.py", "from subagents.processes import run"),
    (few_modules_start_processes, "subagents/contract.py", "import os\nos.execv('/bin/sh', [])"),
    (few_modules_start_processes, "batches/engine/ticker.py", "import os\nos.killpg(1, 9)"),
    (pages_read_rows_only, "batches/pages/plans/plan.py", "from subagents.contract import Heartbeat"),
    (pages_read_rows_only, "batches/pages/plans/plan.py", "def f(path):\n    return path.read_text()"),
    (pages_read_rows_only, "batches/pages/plans/plan.py", "def f(path):\n    return open(path)"),
    (one_module_sends_tasks, "batches/engine/pause_and_cancel.py", "from django_q.tasks import async_task"),
    (one_module_sends_tasks, "batches/engine/ticker.py", "import django_q.tasks"),
    (one_module_writes_states, "batches/engine/pause_and_cancel.py", "def f(task):\n    task.state = 'failed'"),
    (one_module_writes_states, "batches/engine/ticker.py", "def f(tasks):\n    tasks.filter(pk=1).update(state='failed')"),
    (one_module_writes_states, "batches/engine/ticker.py", "def f(tasks):\n    tasks.bulk_update(tasks, fields=['state'])"),
    (one_module_writes_states, "batches/admin.py", "def f(run):\n    setattr(run, 'state', 'failed')"),
)

# Near misses: what the rules above must let through.
GOOD = (
    ("batches/core/plans/reader.py", "from subagents.contract import GateSpec\nfrom datetime import datetime\nimport networkx as nx"),
    ("subagents/backends/claude.py", "import claude_agent_sdk"),
    ("subagents/syntax.py", "try:\n    import yaml\nexcept ImportError:\n    yaml = None"),
    ("subagents/workspace.py", "argv = ['git', 'status']"),
    ("subagents/gates.py", "message = 'git init, then commit'"),
    ("batches/tasks.py", "from django_q.tasks import async_task\nfrom batches.engine import ticker"),
    ("batches/runs/transitions.py", "def f(self):\n    self.update(state='failed')"),
    ("batches/engine/ticker.py", "def f(tasks):\n    return tasks.filter(state='failed').update(message='')"),
    ("batches/pages/plans/plan.py", "from batches.engine import pause_and_cancel\nfrom batches.models import Batch"),
)


def faults(module: Module, *rules) -> list[str]:
    return [f"{module.path}:{line}: {message}" for rule in rules for line, message in rule(module)]


def our_files() -> list[Path]:
    return sorted(path for room in OURS for path in (ROOT / room).rglob("*.py"))


def test_the_rules_look_at_files_that_exist():
    seen = {str(path.relative_to(ROOT)) for path in our_files()}
    assert {"batches/core/engine/states.py", "batches/models/runs.py", GIT_RUNNER, STATE_WRITER, TASK_SENDER, "ce_web/cluster.py"} <= seen


def import_circles(modules: Sequence[Module]) -> list[list[str]]:
    """Groups of modules that import each other, wherever in the file the import stands; none is wanted."""
    names = {module.name for module in modules}
    graph = nx.DiGraph()
    for module in modules:
        for _, name in module.imports:
            target = name if name in names else name.rpartition(".")[0]
            if target in names and target != module.name:
                graph.add_edge(module.name, target)
    return [sorted(circle) for circle in nx.strongly_connected_components(graph) if len(circle) > 1]


@pytest.mark.long
def test_no_module_breaks_a_rule_and_none_import_each_other():
    """One test, because reading all our files takes longer than asking of them what the rules ask."""
    modules = [Module(str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")) for path in our_files()]
    found = [fault for module in modules for fault in faults(module, *RULES)]
    assert not found, "\n".join(found)
    assert import_circles(modules) == []


def test_a_circle_is_found_also_inside_a_function():
    first = Module("batches/gates/ledger.py", "from batches.gates import sign_offs_and_acceptances")
    second = Module("batches/gates/sign_offs_and_acceptances.py", "def f():\n    from batches.gates.ledger import entries")
    assert import_circles([first, second]) == [["batches.gates.ledger", "batches.gates.sign_offs_and_acceptances"]]


def test_a_module_is_called_by_what_it_does():
    """A name that fits everything tells nobody where a message comes from."""
    assert [str(path) for path in our_files() if path.stem in {"services", "utils", "helpers", "misc"}] == []


def test_few_files_stand_directly_in_batches():
    assert len(list((ROOT / "batches").glob("*.py"))) <= FILES_DIRECTLY_IN_BATCHES


@pytest.mark.parametrize(("rule", "path", "source"), BAD, ids=lambda value: getattr(value, "__name__", None))
def test_rule_refuses(rule, path, source):
    assert faults(Module(path, source), rule)


@pytest.mark.parametrize(("path", "source"), GOOD)
def test_rules_let_through(path, source):
    assert not faults(Module(path, source), *RULES)


def test_every_rule_is_known_to_be_able_to_fail():
    assert {rule for rule, _, _ in BAD} == set(RULES)


def test_every_allowed_process_starter_exists():
    """An exception for a file that is gone would be a hole for the next file of that name."""
    assert [place for place in PROCESS_STARTERS if not (ROOT / place).exists()] == []
