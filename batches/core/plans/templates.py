"""Plans to start from: for each usual kind of work a plan in our own format, filled with what a project's files and settings say.

`template` writes it. What neither a file nor a setting says becomes a place that a person fills in, and so an error with its line.
Nothing here looks at a repository: `shape_of` is given the paths of a commit, and the commands found in its manifests.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from batches.core.gates.discovery import Proposal
from batches.core.plans.fill_in import place_for
from batches.core.plans.render import render_plan
from batches.core.plans.types import GateText, PhaseSpec, PlanSpec, StepSpec


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ABOUT_CHARACTERS = 200
_MOST_FOLDERS = 4
_CODE = _words(
    """py js jsx ts tsx mjs cjs vue svelte go rs rb php java kt kts scala cs fs c h cc cpp hpp m swift ex exs erl hs ml clj lua pl pm r jl
    dart sh sql"""
)
_TEST_FOLDERS = _words("test tests spec specs __tests__ e2e")
_NO_SOURCES = _TEST_FOLDERS | _words(
    "doc docs documentation example examples sample samples vendor node_modules third_party dist build target coverage fixtures"
)
_TEST_FILE = re.compile(r"(?:^|/)(?:test_[^/]*\.py|[^/]*_test\.(?:py|go|exs?|rb)|[^/]*\.(?:test|spec)\.[cm]?[jt]sx?|[^/]*_spec\.rb)$")
_DOCUMENT_FOLDERS = ("docs", "doc", "documentation")
_MANIFESTS = (
    *("pyproject.toml", "setup.cfg", "setup.py", "uv.lock", "poetry.lock", "Pipfile", "Pipfile.lock", "pdm.lock"),
    *("package.json", "package-lock.json", "npm-shrinkwrap.json", "pnpm-lock.yaml", "yarn.lock", "go.mod", "go.sum"),
    *("Cargo.toml", "Cargo.lock", "Gemfile", "Gemfile.lock", "composer.json", "composer.lock", "pom.xml", "build.gradle"),
)
_REQUIREMENTS = re.compile(r"requirements[^/]*\.(?:txt|in)")


class TemplateKind(StrEnum):
    """What a plan is to do; the value stands in addresses and commands."""

    BUG_FIX = "bug-fix"
    FEATURE = "feature"
    REFACTORING = "refactoring"
    DEPENDENCY_UPGRADE = "dependency-upgrade"
    MIGRATION = "migration"
    TEST_COVERAGE = "test-coverage"
    DOCUMENTATION = "documentation"

    @property
    def label(self) -> str:
        """Its name for people."""
        return self.value.replace("-", " ").capitalize()


# What a person is asked for one sentence about; also what the plan asks for where it was not said.
ASKED: dict[TemplateKind, str] = {
    TemplateKind.BUG_FIX: "what goes wrong, such as: totals are wrong for an empty order",
    TemplateKind.FEATURE: "what people can do afterwards, such as: export a report as CSV",
    TemplateKind.REFACTORING: "what is to be easier to work with, such as: the reading of settings",
    TemplateKind.DEPENDENCY_UPGRADE: "which dependency, to which version, such as: Django to 5.2",
    TemplateKind.MIGRATION: "from what to what, such as: from unittest to pytest",
    TemplateKind.TEST_COVERAGE: "which part, such as: the import of orders",
    TemplateKind.DOCUMENTATION: "what readers shall find out, such as: how to install and start",
}


@dataclass(frozen=True, slots=True)
class ProjectShape:
    """What is known of a project: commands ("" for none), and folders, globs or files of each kind (empty for none)."""

    test: str = ""
    lint: str = ""
    build: str = ""
    coverage: str = ""
    sources: tuple[str, ...] = ()
    tests: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()
    manifests: tuple[str, ...] = ()


def shape_of(files: Sequence[str], found: Proposal) -> ProjectShape:
    """What the paths of a commit and the commands found in its manifests say."""
    kept = [path for path in files if not path.startswith(".") and "/." not in path]
    names = set(kept)
    documents = [f"{folder}/" for folder in _DOCUMENT_FOLDERS if any(path.startswith(f"{folder}/") for path in kept)]
    return ProjectShape(
        test=found.test.command if found.test else "",
        lint=found.lint.command if found.lint else "",
        build=found.build.command if found.build else "",
        coverage=found.coverage.command if found.coverage else "",
        sources=_sources(kept),
        tests=_tests(kept),
        documents=(*sorted(path for path in names if "/" not in path and path.lower().startswith("readme.")), *documents[:1]),
        manifests=(
            *(name for name in _MANIFESTS if name in names),
            *sorted(path for path in names if _REQUIREMENTS.fullmatch(path)),
        ),
    )


def _is_code(path: str) -> bool:
    return path.rpartition("/")[2].rpartition(".")[2].lower() in _CODE and "." in path


def _is_test(path: str) -> bool:
    return bool(_TEST_FILE.search(path)) or not _TEST_FOLDERS.isdisjoint(path.lower().split("/")[:-1])


def _sources(files: Sequence[str]) -> tuple[str, ...]:
    """The folders of the top that hold code which is no test, those with most of it first; else globs of the code in the top folder."""
    code = [path for path in files if _is_code(path) and not _is_test(path)]
    counts: dict[str, int] = {}
    for path in code:
        folder, slash, _ = path.partition("/")
        if slash and folder.lower() not in _NO_SOURCES:
            counts[folder] = counts.get(folder, 0) + 1
    folders = sorted(counts, key=lambda folder: (-counts[folder], folder))[:_MOST_FOLDERS]
    if folders:
        return tuple(f"{folder}/" for folder in folders)
    return tuple(sorted({f"*.{path.rpartition('.')[2]}" for path in code if "/" not in path}))[:_MOST_FOLDERS]


def _tests(files: Sequence[str]) -> tuple[str, ...]:
    """The uppermost folders of tests; else the globs of test files in the folders that have some."""
    code = [path for path in files if _is_code(path) and _is_test(path)]
    folders, globs = set(), set()
    for path in code:
        parts = path.split("/")
        at = next((number for number, part in enumerate(parts[:-1]) if part.lower() in _TEST_FOLDERS), None)
        if at is not None:
            folders.add("/".join(parts[: at + 1]) + "/")
        else:
            globs.add(_glob(path))
    found = sorted(folders, key=lambda folder: (folder.count("/"), folder)) or sorted(globs)
    return tuple(found[:_MOST_FOLDERS])


def _glob(path: str) -> str:
    """“src/**/*.test.js” for src/a/b.test.js, “test_*.py” for test_a.py: the test files in the folder of the top where one is."""
    folder, slash, _ = path.partition("/")
    name = path.rpartition("/")[2]
    ending = re.search(r"[._](?:test|spec)\.[^.]+$", name)
    pattern = f"*{ending[0]}" if ending else "test_*.py"
    return f"{folder}/**/{pattern}" if slash else pattern


class _Project:
    """The shape as a writer of a plan needs them: what is unknown is a place to fill in."""

    def __init__(self, shape: ProjectShape) -> None:
        self.shape = shape
        self.sources = shape.sources or (place_for("the files or folders of the code, such as src/"),)
        self.tests = shape.tests or (place_for("the file or folder of the tests, such as tests/"),)
        self.code = (*self.sources, *self.tests)

    def gates(self, *more: str) -> tuple[GateText, ...]:
        """What is judged after a phase that changes code: `more`, then the tests, the lint and the build of the project."""
        test = self.shape.test or place_for("the command that runs the tests")
        texts = [*more, f"The tests pass: `{test}`"]
        texts += [f"The lint passes: `{self.shape.lint}`"] if self.shape.lint else []
        texts += [f"It builds: `{self.shape.build}`"] if self.shape.build else []
        return tuple(map(GateText, texts))

    def steps(self, *texts: str) -> tuple[StepSpec, ...]:
        """The texts as steps, and one more that runs the tests where their command is known."""
        run = StepSpec(len(texts) + 1, "Run the tests and fix what fails", (self.shape.test,))
        return (*_steps(*texts), run) if self.shape.test else _steps(*texts)


def _steps(*texts: str) -> tuple[StepSpec, ...]:
    return tuple(StepSpec(number, text) for number, text in enumerate(texts, start=1))


def _bug_fix(project: _Project, work: str) -> PlanSpec:
    safe = PhaseSpec(
        "1",
        "Test what works",
        goal=f"Tests cover what works today around this bug: {work}",
        hours=1,
        complexity="low",
        files=project.tests,
        steps=project.steps(
            "Find the code that has the bug, and the tests that it has",
            "Add tests for what it does right today; they pass before anything is fixed",
        ),
        gates=project.gates(),
    )
    fix = PhaseSpec(
        "2",
        "Fix the bug",
        goal=f"The bug is gone, and a test fails without the fix: {work}",
        hours=2,
        complexity="medium",
        files=project.code,
        dependencies=("1",),
        steps=project.steps(
            "Write a test that shows the bug, and see it fail for that reason",
            "Fix the cause of the bug, not its symptom, with the smallest change that does it",
            "Look for the same bug in other places, and fix it there with a test, too",
        ),
        gates=project.gates(),
    )
    return PlanSpec(f"Fix: {work}", (safe, fix))


def _feature(project: _Project, work: str) -> PlanSpec:
    core = PhaseSpec(
        "1",
        "The rules",
        goal=f"The part that does the work exists, with tests: {work}",
        hours=4,
        complexity="medium",
        files=project.code,
        steps=project.steps(
            "Find the code that does something alike, and follow how it is built",
            "Write the part that does the work, apart from how people reach it",
            "Test what it must do, its limits, and what it refuses",
        ),
        gates=project.gates(),
    )
    reach = PhaseSpec(
        "2",
        "How people reach it",
        goal=f"People can use it from where they would look for it: {work}",
        hours=3,
        complexity="medium",
        files=project.code,
        dependencies=("1",),
        steps=project.steps(
            "Connect it to the page, command or interface where people expect it",
            "Say what is wrong, and what to do, where the input is bad",
            "Test it from there to the end, as a person uses it",
        ),
        gates=project.gates(),
    )
    return PlanSpec(f"Feature: {work}", (core, reach, *_documented(project, work, "3", "2")))


def _documented(project: _Project, work: str, key: str, after: str) -> tuple[PhaseSpec, ...]:
    """A phase that describes the work in the documents; none where the project has no documents."""
    if not project.shape.documents:
        return ()
    described = PhaseSpec(
        key,
        "Describe it",
        goal=f"Who reads the documents finds this and can use it: {work}",
        hours=1,
        complexity="low",
        files=project.shape.documents,
        dependencies=(after,),
        steps=_steps(
            "Find the place in the documents where a reader looks for it",
            "Describe what it is for and how it is used, with an example that was tried out",
        ),
        gates=_not_empty(project.shape.documents),
    )
    return (described,)


def _not_empty(documents: Sequence[str]) -> tuple[GateText, ...]:
    """A gate for each document that it is there and holds something."""
    commands = [f"grep -rq . {path}" if path.endswith("/") else f"grep -q . {path}" for path in documents]
    return tuple(GateText(f"The text is there: `{command}`") for command in commands)


def _refactoring(project: _Project, work: str) -> PlanSpec:
    hold = PhaseSpec(
        "1",
        "Hold the behaviour",
        goal=f"Tests hold what the code does today: {work}",
        hours=3,
        complexity="medium",
        files=project.tests,
        steps=project.steps(
            "List what the code does that others rely on, from its callers and its documents",
            "Add tests for what is not tested yet; they pass on the code as it is",
        ),
        gates=project.gates(),
    )
    change = PhaseSpec(
        "2",
        "Change the structure",
        goal=f"The code does the same as before and is easier to work with: {work}",
        hours=6,
        complexity="high",
        files=project.sources,
        dependencies=("1",),
        steps=project.steps(
            "Change the structure in small steps, each of which leaves the tests green",
            "Leave the names and files that others use as they are, or keep the old ones working",
        ),
        gates=project.gates(),
    )
    clean = PhaseSpec(
        "3",
        "Remove what is left over",
        goal="Nothing is left of the old structure that nobody uses",
        hours=1,
        complexity="low",
        files=project.code,
        dependencies=("2",),
        steps=project.steps("Remove code, comments and tests that only the old structure needed"),
        gates=project.gates(),
    )
    return PlanSpec(f"Refactoring: {work}", (hold, change, clean))


def _dependency_upgrade(project: _Project, work: str) -> PlanSpec:
    manifests = project.shape.manifests or (place_for("the file that names the dependency, such as package.json"),)
    raised = PhaseSpec(
        "1",
        "Raise the version",
        goal=f"The project runs with the new version: {work}",
        hours=3,
        complexity="medium",
        files=(*manifests, *project.code),
        steps=project.steps(
            "Read in the notes of its releases what the new version breaks",
            "Raise the version in the manifest, and write the lock file anew with the project's own tool",
            "Change the code where the new version breaks it",
        ),
        gates=project.gates(),
    )
    adapted = PhaseSpec(
        "2",
        "Leave what is deprecated",
        goal="The code uses nothing that the new version has deprecated",
        hours=2,
        complexity="medium",
        files=project.code,
        dependencies=("1",),
        steps=project.steps(
            "Run the tests with warnings shown, and list what the new version calls deprecated",
            "Replace each use by what the new version has in its place",
        ),
        gates=project.gates(),
    )
    return PlanSpec(f"Upgrade: {work}", (raised, adapted))


def _migration(project: _Project, work: str) -> PlanSpec:
    beside = PhaseSpec(
        "1",
        "The new beside the old",
        goal=f"The new stands beside the old, and both work: {work}",
        hours=6,
        complexity="high",
        files=(*project.shape.manifests, *project.code),
        steps=project.steps(
            "List every use of the old, and what each of them relies on",
            "Bring in the new beside the old, and move one small use as a proof",
            "Test that the moved use does the same as before",
        ),
        gates=project.gates(),
    )
    moved = PhaseSpec(
        "2",
        "Move every use",
        goal="Every use goes through the new, and does the same as before",
        hours=8,
        complexity="high",
        files=project.code,
        dependencies=("1",),
        steps=project.steps(
            "Move the uses one after the other, and keep the tests green after each",
            "Carry over data and settings that the old has written; nothing is lost",
        ),
        gates=project.gates(),
    )
    gone = PhaseSpec(
        "3",
        "Remove the old",
        goal="Nothing of the old is left in code, manifests and documents",
        hours=2,
        complexity="medium",
        files=(*project.shape.manifests, *project.code, *project.shape.documents),
        dependencies=("2",),
        steps=project.steps("Search for the name of the old, and remove each use, setting and text that is left"),
        gates=project.gates(),
    )
    return PlanSpec(f"Migration: {work}", (beside, moved, gone))


def _test_coverage(project: _Project, work: str) -> PlanSpec:
    measured = (f"The coverage is as wanted: `{project.shape.coverage}`",) if project.shape.coverage else ()
    usual = PhaseSpec(
        "1",
        "The usual ways",
        goal=f"Tests hold what this part does for usual input: {work}",
        hours=3,
        complexity="medium",
        files=project.tests,
        steps=project.steps(
            "List what the part does, and which of it no test would notice breaking",
            "Write a test for each, and break the code once by hand to see the test fail",
        ),
        gates=project.gates(),
    )
    limits = PhaseSpec(
        "2",
        "Limits and refusals",
        goal="Tests hold what happens at limits and with bad input",
        hours=3,
        complexity="medium",
        files=project.tests,
        dependencies=("1",),
        steps=project.steps(
            "Test empty, largest, repeated and wrong input, and what happens where a file or a service fails",
            "Leave the code as it is; where a test shows a fault, mark it as expected to fail and name the fault",
        ),
        gates=project.gates(*measured),
    )
    return PlanSpec(f"Tests: {work}", (usual, limits))


def _documentation(project: _Project, work: str) -> PlanSpec:
    documents = project.shape.documents or ("README.md",)
    written = PhaseSpec(
        "1",
        "Write it",
        goal=f"A reader finds out from the documents: {work}",
        hours=2,
        complexity="low",
        files=documents,
        steps=_steps(
            "Read the code and the documents, and list what a reader cannot find out today",
            "Write it where a reader looks for it, the most usual case first",
            "Try every command and example as it is written, and correct what does not work",
        ),
        gates=_not_empty(documents),
    )
    checked = PhaseSpec(
        "2",
        "Check it as a stranger",
        goal="Nothing in the documents is wrong, said twice or out of date",
        hours=1,
        complexity="low",
        files=documents,
        dependencies=("1",),
        steps=_steps(
            "Follow the documents from the start as somebody who knows nothing of the project",
            "Compare every name, path, option and link in them with the repository, and correct them",
        ),
        gates=_not_empty(documents),
    )
    return PlanSpec(f"Documentation: {work}", (written, checked))


_WRITERS: Mapping[TemplateKind, Callable[[_Project, str], PlanSpec]] = {
    TemplateKind.BUG_FIX: _bug_fix,
    TemplateKind.FEATURE: _feature,
    TemplateKind.REFACTORING: _refactoring,
    TemplateKind.DEPENDENCY_UPGRADE: _dependency_upgrade,
    TemplateKind.MIGRATION: _migration,
    TemplateKind.TEST_COVERAGE: _test_coverage,
    TemplateKind.DOCUMENTATION: _documentation,
}


def template(kind: TemplateKind, shape: ProjectShape, about: str = "") -> str:
    """The plan of this kind as text in our own format. `about` is a person's sentence about the work.

    Reading it gives no error, except for each place that neither the shape nor `about` fill.
    """
    said = " ".join("".join(letter if letter.isprintable() else " " for letter in about).split())[:ABOUT_CHARACTERS]
    work = said.rstrip(".:") or place_for(ASKED[kind])
    return render_plan(_WRITERS[kind](_Project(shape), work))
