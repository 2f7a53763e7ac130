"""Which changed files judge: what a gate's command runs, or reads as configuration (docs/gates.md). Pure: texts in, values out.

A phase that changes such a file decides itself whether its gate passes. In doubt the rules take a file: one too many costs
a person a look, and a missed one lets a lie pass. So commands are found even in scripts that are no valid shell, and
configuration counts in any folder.
"""

from __future__ import annotations

import json
import posixpath
import re
import shlex
import sys
from fnmatch import filter as fnmatch_filter
from fnmatch import fnmatchcase
from itertools import pairwise

from subagents.contract import GateKind, GateSpec
from subagents.record import record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Reader = Callable[[Sequence[str]], Mapping[str, Sequence[str]]]  # {path: its texts, in the base and in the result} of those there


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FOLLOWED = 4  # a script that calls a script that …
SCRIPT_CHARACTERS = 200_000

PYTHON_START = "sitecustomize.py usercustomize.py"
PYTEST = f"conftest.py pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini setup.cfg pyproject.toml .coveragerc {PYTHON_START}"
SCRIPTS_JS = (
    "package.json .npmrc .yarnrc .yarnrc.yml jest.config.* jest.setup.* vitest.config.* vitest.setup.* vitest.workspace.* vite.config.* "
    "babel.config.* .babelrc* .mocharc* karma.conf.* ava.config.* playwright.config.* cypress.config.* .nycrc* .c8rc* tsconfig*.json "
    "eslint.config.* .eslintrc* .eslintignore .prettierrc* prettier.config.* .prettierignore biome.json* turbo.json nx.json lerna.json"
)
# program -> the names of files that it reads as configuration, in whichever folder
CONFIGURATION: Mapping[str, str] = {
    **dict.fromkeys(("pytest", "py.test", "unittest", "nose2", "coverage", "hypothesis", "trial", "stestr"), PYTEST),
    "tox": f"tox.toml {PYTEST}",
    "nox": f"noxfile.py {PYTEST}",
    "python": PYTHON_START,
    "ruff": "ruff.toml .ruff.toml pyproject.toml",
    "mypy": "mypy.ini .mypy.ini setup.cfg pyproject.toml",
    "flake8": ".flake8 setup.cfg tox.ini",
    "pylint": ".pylintrc pylintrc pylintrc.toml .pylintrc.toml setup.cfg pyproject.toml",
    **dict.fromkeys(("black", "isort", "bandit", "pyright"), "pyproject.toml setup.cfg .isort.cfg .bandit bandit.yaml pyrightconfig.json"),
    "pre-commit": ".pre-commit-config.yaml",
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun", "npx", "jest", "vitest", "mocha", "ava", "karma", "playwright", "cypress"), SCRIPTS_JS),
    **dict.fromkeys(("nyc", "c8", "tsc", "eslint", "prettier", "biome", "turbo", "nx", "lerna", "tsx", "ts-node", "deno"), SCRIPTS_JS),
    "make": "Makefile makefile GNUmakefile *.mk",
    "just": "justfile Justfile .justfile *.just",
    "task": "Taskfile.yml Taskfile.yaml Taskfile.dist.yml taskfile.yml",
    "rake": "Rakefile Rakefile.rb *.rake",
    **dict.fromkeys(("invoke", "inv"), "tasks.py invoke.yaml"),
    "mage": "magefile.go",
    "cargo": "Cargo.toml config.toml clippy.toml .clippy.toml rustfmt.toml .rustfmt.toml nextest.toml",
    "golangci-lint": ".golangci.*",
    "go": "go.work",
    **dict.fromkeys(("uv", "hatch", "pdm", "poe", "poetry", "rye", "pixi"), f"uv.toml hatch.toml poe_tasks.toml pixi.toml {PYTEST}"),
    "rspec": ".rspec spec_helper.rb rails_helper.rb",
    "rubocop": ".rubocop.yml",
    "phpunit": "phpunit.xml phpunit.xml.dist phpunit.dist.xml",
    "phpstan": "phpstan.neon phpstan.neon.dist",
    "mvn": "pom.xml",
    **dict.fromkeys(("gradle", "gradlew"), "build.gradle build.gradle.kts settings.gradle settings.gradle.kts gradle.properties"),
    "ctest": "CMakeLists.txt CTestConfig.cmake",
    "meson": "meson.build meson.options meson_options.txt",
    "bazel": "BUILD BUILD.bazel WORKSPACE WORKSPACE.bazel MODULE.bazel *.bzl .bazelrc",
    "zig": "build.zig",
    **dict.fromkeys(("stack", "cabal"), "stack.yaml package.yaml *.cabal cabal.project"),
    "composer": "composer.json phpunit.xml phpunit.xml.dist phpunit.dist.xml",
    "shellcheck": ".shellcheckrc",
    "yamllint": ".yamllint .yamllint.yml .yamllint.yaml",
    **dict.fromkeys(("docker", "docker-compose"), "Dockerfile compose.yml compose.yaml docker-compose.yml docker-compose.yaml"),
}
RUNS_TESTS = _words(
    """pytest py.test unittest nose2 trial stestr tox nox jest vitest mocha ava karma playwright cypress rspec phpunit bats ctest cargo go
    mvn gradle gradlew npx deno swift dotnet mix sbt lein prove busted doctest meson bazel zig stack cabal"""
)
NARROWED = _words("pytest py.test unittest nose2 bats rspec phpunit prove mocha doctest")  # by the paths that they are given
INTERPRETERS = _words("python bash sh zsh dash ksh node deno bun tsx ts-node ruby perl php lua Rscript julia source . exec")
WRAPPERS = _words("env time nice nohup command exec sudo stdbuf ionice setsid xvfb-run ! { if then else elif while until do")
RUN_BY = {"uv": "run", "poetry": "run", "pipenv": "run", "hatch": "run", "pdm": "run", "rye": "run", "pixi": "run", "bundle": "exec"}
NODE_MANAGERS = _words("npm pnpm yarn bun")
RUN_SCRIPTS = _words("npm-run-all npm-run-all2 run-s run-p")  # of package.json
# What somebody asks a runner of tasks for, such as `hatch run test:all`, `php artisan test`.
TASK = re.compile(r"(?:[\w-]+:)?(?:tests?|specs?|checks?|verify|ci|unit|e2e)(?:[:-][\w-]+)*")
PYTHON_IMPORT = re.compile(r"^\s*(?:from\s+([\w.]+)\s+import\s+([\w, ]+)|import\s+([\w., ]+))", re.MULTILINE)
# Where a script's helpers lie; elsewhere what it imports is as likely what is to be judged.
TOOLS = re.compile(r"(^|/)(\.?ci|tools?|scripts?|bin|dev|hack|checks?|tests?|testing|specs?|e2e|\.github)(/|$)")
STARTED = RUNS_TESTS | NODE_MANAGERS | _words("python python3 make bash sh node")
EXACT = NARROWED | NODE_MANAGERS | _words("make just python coverage tox nox xargs timeout watch")  # their arguments are read exactly
# They only look at files or move them: their arguments judge nothing.
LOOKS = _words(
    """test [ [[ grep egrep fgrep rg ag find ls cat head tail wc sort uniq cut tr awk sed stat file rm cp mv ln mkdir touch tar
    git echo printf"""
)
COMPARES = _words("diff cmp comm")  # one side is what is expected
VALUED = _words(
    """-k -m -n -o -W -r -p -x --maxfail --cov --tb --junitxml --timeout --durations --ignore --deselect --rootdir --source --omit
    --reporter --testTimeout -j -l"""
)
# An option whose value is a file that the command reads: -c x, --config=x, --rcfile x.
CONFIG_OPTION = re.compile(
    r"(-c|-f|-s|-r|--?[\w-]*(?:conf|rc-?file|settings|rules|require|import|setup|loader|filter|expected|makefile)[\w-]*)"
)
TEST_LIKE = re.compile(
    r"(^|/)([Tt]ests?|testing|specs?|__tests__|__mocks__|__snapshots__|testdata|e2e|cypress)/"
    r"|(^|/)(test_[^/]*\.py|tests\.py|test\.\w+|[^/]*_test\.(py|go|rb|exs|dart|cc|cpp|c)|[^/]*[._-](test|spec)s?\.\w+|[^/]*\.(bats|t)"
    r"|[^/]*Tests?\.(java|kt|cs|php|swift))$"
)
# The parts of a file by which gates judge. A change elsewhere in the file does not count.
PARTS: Mapping[str, frozenset[str]] = {
    "package.json": _words(
        """scripts jest vitest mocha ava nyc c8 tap babel eslintConfig eslintIgnore prettier config workspaces type imports"""
    ),
    "pyproject.toml": _words("tool"),
    "Cargo.toml": _words("test bench lib bin lints profile workspace"),
}
PACKAGING = _words("poetry setuptools flit pdm hatch uv rye maturin cibuildwheel towncrier commitizen bumpversion semantic_release")
TASKS = _words("envs scripts tasks")  # what counts of their sections
JUDGE_SECTION = re.compile(r"tool:pytest|pytest|coverage.*|flake8.*|mypy.*|pylint.*|isort|tox.*|testenv.*|pycodestyle|pydocstyle|aliases")
SHADOWED = frozenset(sys.stdlib_module_names) | _words("pytest _pytest pluggy iniconfig coverage nose2 hypothesis tox nox")


@record
class Judges:
    """What the commands of a gate run (`files`, also folders), the tests that they name (folders and files; "" is any file that looks
    like a test), and the names of what they read as configuration."""

    files: frozenset[str] = frozenset()
    tests: frozenset[str] = frozenset()
    names: frozenset[str] = frozenset()
    folders: frozenset[str] = frozenset()  # of scripts and tests: Python looks there for modules first

    def role_of(self, path: str) -> str:
        """What a file is to the gate: "script", "test", "configuration"; "" for none of its judges."""
        name = posixpath.basename(path)
        if any(fnmatchcase(name, pattern) for pattern in self.names):
            return "configuration"
        if any(_within(path, place) for place in self.files):
            return "script"
        if any(_within(path, place) if place else TEST_LIKE.search(path) for place in self.tests):
            return "test"
        return "configuration" if self._shadows(path) else ""

    def _shadows(self, path: str) -> bool:
        """Whether Python finds the file in place of a module that judges: pytest.py beside the tests."""
        if "sitecustomize.py" not in self.names or not path.endswith(".py"):
            return False
        folder, name = posixpath.split(path)
        if name == "__init__.py":
            folder, name = posixpath.split(folder)
        return folder in self.folders and name.removesuffix(".py") in SHADOWED


def _within(path: str, place: str) -> bool:
    return path == place or path.startswith(place + "/") or ("*" in place and fnmatchcase(path, place))


def judges_of(gate: GateSpec, read: Reader, command: str = "") -> Judges:
    """The files by which this gate judges. `command` is what was run when the gate names no command.

    `read` gives the texts of the files that are there, so that scripts, make targets and npm scripts are followed.
    """
    match gate.kind:
        case GateKind.COMMAND:
            commands = [gate.command]
        case GateKind.TESTS:  # the files that are there decide which tool runs them, and a phase can change those
            commands = [gate.command or command] if gate.command else [command, "python -m pytest", "npm test", "make test"]
        case GateKind.COVERAGE:
            commands = ["python -m coverage run -m pytest"]
        case GateKind.SYNTAX:
            commands = ["ruff check"]
        case _:
            return Judges()
    reading = _Reading(read)
    for text in filter(None, commands):
        reading.text(text, "")
    reading.follow()
    return reading.found()


class _Reading:
    """Collects what commands run and read, and follows the scripts among it."""

    def __init__(self, read: Reader) -> None:
        self.read = read
        self.files: set[str] = set()
        self.tests: set[str] = set()
        self.names: set[str] = set()
        self.folders: set[str] = {""}
        self.beside = ""  # the folder of the script that is read
        self.started_in: dict[str, str] = {}  # makefile that another one includes -> the folder of that one
        self.waiting: dict[str, set[str]] = {}  # script -> targets of it ("": all)
        self.seen: set[tuple[str, str]] = set()

    def found(self) -> Judges:
        return Judges(*(frozenset(part) for part in (self.files, self.tests, self.names, self.folders)))

    def follow(self) -> None:
        for _ in range(FOLLOWED):
            waiting, self.waiting = self.waiting, {}
            waiting = {path: {one for one in targets if (path, one) not in self.seen} for path, targets in waiting.items()}
            wanted = [path for path, targets in waiting.items() if targets]
            if not wanted:
                return
            for path, texts in self.read(wanted).items():
                self.seen |= {(path, target) for target in waiting[path]}
                for text in texts:
                    self._content(path, text[:SCRIPT_CHARACTERS], sorted(waiting[path]))

    def _content(self, path: str, text: str, targets: Sequence[str]) -> None:
        name, folder = posixpath.basename(path), posixpath.dirname(path)
        self.beside = folder
        if name == "package.json":
            for line in _npm_scripts(text, targets):
                self.text(line, folder)
        elif any(fnmatchcase(name, pattern) for tool in ("make", "just") for pattern in CONFIGURATION[tool].split()):
            text = _expanded(text, folder)
            for included in re.findall(r"^[-s]?include\s+(.+)$", text, re.M):
                self._take(self.files, included.split(), folder, follow=True)
                self.started_in |= {posixpath.normpath(posixpath.join(folder, name)): folder for name in included.split()}
            self.text(_recipes(text, targets), folder)
        elif path.endswith((".py", ".js", ".mjs", ".cjs", ".ts", ".rb", ".pl")):
            self._program(path, text)
        else:
            self.text(_expanded(text, folder), self.started_in.get(path, ""))
        self.beside = ""

    def _program(self, path: str, text: str) -> None:
        """What a program that judges starts, and its helpers where it is a tool."""
        named = re.findall(r"""["']([\w./-]+)["']""", text)
        self._take(self.files, (word for word in named if word.endswith((".sh", ".bash")) or TEST_LIKE.search(word)), "", follow=True)
        for module in ("pytest", "unittest", "coverage", "jest", "vitest"):
            if re.search(rf"\b{module}\b", text):
                self._tool(module, [], "")
        for plugins in re.findall(r"^pytest_plugins\s*=\s*(.*?)(?:^\S|\Z)", text, re.M | re.S):
            self._take(self.files, (place for one in re.findall(r"""["']([\w.]+)["']""", plugins) for place in _module_places(one)), "")
        folder = posixpath.dirname(path)
        if not TOOLS.search(folder):
            return
        if path.endswith(".py"):
            for origin, names, plain in PYTHON_IMPORT.findall(text):
                modules = [origin, *(f"{origin}.{name}" for name in re.split(r"[, ]+", names) if name), *re.split(r"[, ]+", plain)]
                plain_names = (name.strip(".") for name in modules)
                own = [name for name in plain_names if name and name.partition(".")[0] not in SHADOWED]  # else _shadows() tells
                self._helpers(folder, [name.replace(".", "/") for name in own])
        else:
            beside = re.findall(r"""(?:require\(|from\s|import\s*\(?)\s*["'](\.{1,2}/[\w./-]+)["']""", text)
            self._take(self.files, (name + ending for name in beside for ending in ("", ".js", ".mjs", ".cjs", ".ts")), folder, follow=True)

    def _helpers(self, folder: str, modules: Iterable[str]) -> None:
        places = [posixpath.normpath(posixpath.join(where, name)) for name in modules for where in (folder, "")]
        files = [place + ending for place in places if TOOLS.search(posixpath.dirname(place)) for ending in (".py", "/__init__.py")]
        self._take(self.files, files, "", follow=True)

    def text(self, text: str, folder: str) -> None:
        """Take in the commands of a line or a script that runs in `folder`."""
        for words in _commands(text):
            if words[0] == "for" and "in" in words:
                self._take(self.tests, (word for word in words[words.index("in") + 1 :] if TEST_LIKE.search(word + "/")), folder)
            elif words[0] in ("cd", "pushd") and len(words) > 1:
                folder = posixpath.normpath(posixpath.join(folder, words[1]))
                folder = "" if folder in (".", "/") or folder.startswith("..") else folder
            else:
                self._command(words, folder)

    def _command(self, words: list[str], folder: str) -> None:
        words = _unwrapped(words)
        if not words:
            return
        if words[0] == "-m":  # of an interpreter that a variable names
            words = ["python", *words]
        name = posixpath.basename(words[0])
        program, arguments = "python" if re.fullmatch(r"python[\d.]*|pypy[\d.]*|py", name) else {"gmake": "make"}.get(name, name), words[1:]
        if words[0].startswith(("/", "~")) or "/" not in words[0]:
            pass
        else:
            self._take(self.files, [words[0]], folder, follow=True)
        self._tool(program, arguments, folder)
        if program in LOOKS or program in COMPARES:
            return
        if program not in EXACT and any(TASK.fullmatch(_unquoted(word)) for word in (name, *arguments)):
            self.tests.add("")
            self.names |= set(PYTEST.split()) if words[0].endswith(".py") else set()
        if program not in EXACT and program not in INTERPRETERS:  # what only starts others: run pytest, docker compose run web pytest
            started = (place for place, word in enumerate(arguments) if posixpath.basename(word) in STARTED)
            if (place := next(started, None)) is not None:
                self._command(list(arguments[place:]), folder)

    def _tool(self, program: str, arguments: Sequence[str], folder: str) -> None:
        arguments = [_unquoted(word) for word in arguments]
        self.names |= set(CONFIGURATION.get(program, "").split())
        if program in LOOKS:
            return
        self._take(self.files, _config_values(arguments), folder, follow=program in ("make", "just"))
        plain = list(_plain(arguments))
        if program in COMPARES:
            self._take(self.files, plain, folder)
        elif program in RUN_SCRIPTS:
            self.waiting.setdefault(posixpath.join(folder, "package.json"), set()).update(plain)
        elif program in NODE_MANAGERS:
            self._npm(plain, _place(arguments, ("--prefix", "-C", "--cwd"), folder))
        elif program in ("make", "just", "rake", "task"):
            place = _place(arguments, ("-C", "--directory", "-d"), folder)
            for name in CONFIGURATION[program].split():
                if "*" not in name:
                    self.waiting.setdefault(posixpath.join(place, name), set()).update(word for word in plain or [""] if "=" not in word)
        elif program in INTERPRETERS:
            self._interpreter(program, arguments, plain, folder)
        elif program == "coverage" and plain[:1] == ["run"]:
            self._interpreter("python", arguments[arguments.index("run") + 1 :], plain[1:], folder)
        elif program in ("xargs", "timeout", "watch"):
            self._command([word for word in arguments if not re.fullmatch(r"-\S*|\d\S*", word)], folder)
        elif program in RUNS_TESTS:
            self._tests(program, plain, folder)
        if program in ("pytest", "py.test"):
            plugins = (value for option, value in pairwise(arguments) if option == "-p" and ":" not in value)
            self._take(self.files, (place for name in plugins for place in _module_places(name)), folder, follow=True)
            for place in {"", "tests", *(word for word in plain if "." not in word)}:
                self.waiting.setdefault(posixpath.normpath(posixpath.join(folder, place, "conftest.py")), set()).add("")

    def _tests(self, program: str, plain: Sequence[str], folder: str) -> None:
        named = [word.split("::")[0] for word in plain] if program in NARROWED else []
        if program == "unittest":
            named = [place for word in named if word != "discover" for place in _module_places(word)]
        named = [word for word in named if posixpath.normpath(word) != "."]
        self.tests |= {""} if not named else set()
        self._take(self.tests, named, folder)

    def _npm(self, plain: Sequence[str], folder: str) -> None:
        script = next((word for word in plain if word not in ("run", "run-script", "exec", "x", "workspace", "-")), "")
        self.waiting.setdefault(posixpath.join(folder, "package.json"), set()).add(script or "test")
        self.tests.add("")
        if script:
            self._tool(script, plain[plain.index(script) + 1 :], folder)  # yarn jest, pnpm exec vitest

    def _interpreter(self, program: str, arguments: Sequence[str], plain: Sequence[str], folder: str) -> None:
        for place, word in enumerate(arguments):
            rest = arguments[place + 1 :]
            if program == "python" and re.fullmatch(r"-[A-Za-z]*m\w+", word):  # -munittest
                word, rest = "-m", [word.partition("m")[2], *rest]
            if word == "-m" and program == "python" and rest:
                if rest[0].partition(".")[0] not in SHADOWED:  # else a file of that name stands in its place
                    self._take(self.files, _module_places(rest[0]), folder, follow=True)
                self._tool(rest[0].partition(".")[0] if rest[0] != "py.test" else "pytest", rest[1:], folder)
                return
            if re.fullmatch(r"-\w{0,4}[ce]|-c\w*|--eval|--print|-p", word) and rest and program != ".":
                self._code(program, rest[0], folder)
                return
            if word == "--test":
                self.tests.add("")
            if not word.startswith("-") and word not in VALUED:
                break
        script = next(iter(plain), "")
        if script:
            self._take(self.files, [script, *(script + ending for ending in (".js", ".ts") if program == "node")], folder, follow=True)
            if posixpath.basename(script) in ("manage.py", "setup.py") and "test" in plain:
                self._tool("pytest", [], folder)

    def _code(self, program: str, code: str, folder: str) -> None:
        """What -c runs: a shell's commands, or code whose imports of tests count."""
        if program in ("python", "node", "ruby", "perl", "php", "deno", "bun", "Rscript", "lua", "julia"):
            named = re.findall(r"""["']([\w./-]+)["']""", code)
            self._take(self.tests, (word for word in named if TEST_LIKE.search(word.rstrip("/") + "/")), folder)
            modules = re.findall(r"(?:from|import)\s+([\w.]+)", code)
            places = [place for name in modules for place in _module_places(name)]
            self._take(self.tests, (place for place in places if TEST_LIKE.search(place)), folder)
        else:
            self.text(code, folder)

    def _take(self, into: set[str], words: Iterable[str], folder: str, *, follow: bool = False) -> None:
        """Add the paths that words name, seen from the folder that the command runs in, and from the top."""
        for word in words:
            places = {posixpath.normpath(posixpath.join(where, word)) for where in (folder, self.beside, "")}
            for place in places:
                if place in (".", "") or place.startswith(("/", "..", "~", "-")):
                    continue
                into.add(place)
                self.folders.add(posixpath.dirname(place) if posixpath.splitext(place)[1] else place)
                if follow:
                    self.waiting.setdefault(place, set()).add("")


# Ways to write the folder of the script itself, and the top folder.
HERE = re.compile(
    r"""\$\(\s*(?:builtin\s+)?cd\s+(?:--\s+)?"?\$\(dirname[^()]*\)"?[^()]*\)|\$\(\s*dirname[^()]*(?:\([^()]*\)[^()]*)?\)|`dirname[^`]*`"""
    r"""|\$\{(?:BASH_SOURCE(?:\[0\])?|0)%/\*\}"""
)
TOP = re.compile(
    r"\$\(\s*git rev-parse --show-toplevel\s*\)|\$\(pwd\)|`pwd`|\$\{?(?:PWD|CI_PROJECT_DIR|GITHUB_WORKSPACE)\}?|\$[({]CURDIR[)}]"
)
ASSIGNED = re.compile(r"""^[ \t]*(?:export[ ]+|readonly[ ]+|local[ ]+)?([A-Za-z_]\w*)[ ]*[:?+]?=[ ]*("[^"\n]*"|'[^'\n]*'|[^\n#;]*)""", re.M)
VARIABLE = re.compile(r"\$\$?(?:\{(\w+)(?::?[-=]([^}]*))?\}|\((\w+)\)|(\w+))")
EXPANDED = 3  # a variable of a variable of …


def _expanded(text: str, folder: str) -> str:
    """A script or Makefile with its variables in place, as far as they can be known without running it."""
    text = TOP.sub(".", HERE.sub(folder or ".", text))
    values = {name: value.strip().strip("\"'") for name, value in ASSIGNED.findall(text)}
    values["MAKE"] = "make"

    def value(found: re.Match[str]) -> str:
        name = found[1] or found[3] or found[4]
        return values.get(name) or found[2] or found[0]

    for _ in range(EXPANDED):
        text = VARIABLE.sub(value, text)[:SCRIPT_CHARACTERS]
    return text


def _commands(text: str) -> Iterator[list[str]]:
    """The words of each simple command in a line or script, read tolerantly: what is no command does no harm."""
    text = re.sub(r"\\\n", " ", text)
    for line in text.split("\n"):
        line = line.strip().lstrip("@-+").strip()  # a recipe's signs
        if not line or line.startswith("#"):
            continue
        for part in _parts(line):
            try:
                words = shlex.split(part, comments=True)
            except ValueError:  # a quote that goes on in the next line
                words = part.replace('"', " ").replace("'", " ").split()
            if words:
                yield words


SEPARATOR = re.compile(r"""("(?:[^"\\]|\\.)*"|'[^']*')|(&&|\|\||\|&|[;|&`]|\$\(|[()])""")


def _parts(line: str) -> Iterator[str]:
    """A line cut at its operators outside quotes; what stands in `$(…)` inside double quotes counts as well."""
    begin = 0
    for found in SEPARATOR.finditer(line):
        if found[2]:
            yield line[begin : found.start()]
            begin = found.end()
        elif "$(" in found[1] or "`" in found[1]:
            yield from (inner for pair in re.findall(r"\$\(([^()]*)\)|`([^`]*)`", found[1]) for inner in pair if inner)
    yield line[begin:]


def _unwrapped(words: Sequence[str]) -> list[str]:
    """The words from the program on: without assignments, redirections and what only starts others (env, timeout 5, poetry run)."""
    rest = [word for word in words if not re.fullmatch(r"\d*[<>]+&?\S*", word)]
    while rest:
        first = posixpath.basename(rest[0])
        if re.fullmatch(r"[A-Za-z_]\w*\+?=.*", rest[0], re.S) or first in WRAPPERS:
            rest = rest[1:]
            while rest and first in ("env", "nice", "sudo", "stdbuf") and rest[0].startswith("-"):
                rest = rest[1:]
        elif first == "timeout" and len(rest) > 2:
            rest = [word for place, word in enumerate(rest[1:]) if place or not word.startswith("-")]
            while rest and re.fullmatch(r"-\S*|[\d.]+[smhd]?", rest[0]):
                rest = rest[1:]
        elif first in RUN_BY and RUN_BY[first] in rest[1:3]:
            rest = rest[rest.index(RUN_BY[first]) + 1 :]
            while rest and rest[0].startswith("-"):
                rest = rest[1:]
        else:
            break
    return rest


def _unquoted(word: str) -> str:
    return word.strip("\"'")


def _plain(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments that are neither options nor the values of such."""
    skips = False
    for word in arguments:
        if skips:
            skips = False
        elif word.startswith("-") and len(word) > 1:
            skips = word in VALUED
        elif not re.match(r"\d*[<>]", word):
            yield word


def _config_values(arguments: Sequence[str]) -> Iterator[str]:
    for place, word in enumerate(arguments):
        option, equals, value = word.partition("=")
        if CONFIG_OPTION.fullmatch(option):
            value = value if equals else next(iter(arguments[place + 1 : place + 2]), "")
            if value and not value.startswith("-") and re.search(r"[./]|file$", value) and not re.search(r"\s", value):
                yield value
        elif word.startswith("@"):
            yield word[1:]


def _place(arguments: Sequence[str], options: Sequence[str], folder: str) -> str:
    for place, word in enumerate(arguments[:-1]):
        if word in options:
            return posixpath.normpath(posixpath.join(folder, arguments[place + 1]))
    return folder


def _module_places(name: str) -> list[str]:
    """Where Python may find a module of this name, and the one above it: tests.test_a.TestIt is in tests/test_a.py."""
    if name.endswith(".py") or "/" in name:
        return [name]
    parts = name.split(".")
    found = []
    for length in range(len(parts), 0, -1):
        place = "/".join(parts[:length])
        found += [f"{root}{place}{ending}" for root in ("", "src/") for ending in (".py", "/__main__.py")]
    return [*found[:4], *(place for place in found[4:] if TEST_LIKE.search(place))]


def _npm_scripts(text: str, names: Sequence[str]) -> list[str]:
    try:
        scripts = json.loads(text)["scripts"]
        asked = [name for wanted in names for name in (f"pre{wanted}", *fnmatch_filter(scripts, wanted), f"post{wanted}")]
        return [str(scripts[name]) for name in dict.fromkeys(asked) if name in scripts]
    except (ValueError, KeyError, TypeError):
        return []


RULE = re.compile(r"^(?P<targets>[^\s#:=][^#:=]*?)\s*::?(?!=)(?P<needs>[^=].*|)$")


def _recipes(text: str, targets: Sequence[str]) -> str:
    """The lines of a Makefile or justfile that make these targets and what they need; all of them where a target is not found."""
    recipes: dict[str, tuple[list[str], list[str]]] = {}
    current: list[str] = []
    for line in text.replace("\\\n", " ").split("\n"):
        if line[:1] in ("\t", " ") and line.strip():
            for name in current:
                recipes[name][1].append(line)
        elif found := RULE.match(line):
            words = found["targets"].split()
            current = [word for word in words if not word.startswith(".")] or words
            for name in current:
                recipes.setdefault(name, ([], []))[0].extend(found["needs"].split())
        elif line.strip() and not line.startswith("#"):
            current = []
    wanted = [target or next(iter(recipes), "") for target in targets]
    if any(target not in recipes for target in wanted):
        return text
    taken: dict[str, None] = {}
    while wanted:
        target = wanted.pop()
        if target in recipes and target not in taken:
            taken[target] = None
            wanted += recipes[target][0]
    return "\n".join(line for target in taken for line in recipes[target][1])


def has_parts(path: str) -> bool:
    """Whether only a part of such a file may judge."""
    return posixpath.basename(path) in (*PARTS, "setup.cfg", "tox.ini")


def judging_part(path: str, text: str | None) -> object:
    """The part of a file's text by which gates judge, to be compared with another version's; None where there is no file."""
    name = posixpath.basename(path)
    if text is None:
        return None
    try:
        if name == "package.json":
            return {key: value for key, value in json.loads(text).items() if key in PARTS[name]} or None
        if name in PARTS:
            import tomllib  # here: few gates have such a file

            parts = {key: value for key, value in tomllib.loads(text).items() if key in PARTS[name]}
            if name == "pyproject.toml":
                parts = {tool: _of_tool(tool, section) for tool, section in parts.get("tool", {}).items()}
                parts = {tool: section for tool, section in parts.items() if section}
            return parts or None
        if name in ("setup.cfg", "tox.ini"):
            sections = re.split(r"^(?=\[)", text, flags=re.M)
            return [part.strip() for part in sections if JUDGE_SECTION.fullmatch(part.partition("]")[0].strip("[ "))] or None
    except (ValueError, AttributeError, TypeError, RecursionError):
        pass  # no longer what its name says: all of it counts
    return text


def _of_tool(tool: str, section: dict[str, object]) -> dict[str, object]:
    return {key: value for key, value in section.items() if key in TASKS} if tool in PACKAGING else section


def with_judging_part(path: str, base: str, result: str) -> str:
    """The text of `result` with the judging part of `base`; all of `base` where the parts cannot be told apart."""
    if posixpath.basename(path) != "package.json":
        return base
    try:
        old, new = json.loads(base), json.loads(result)
        kept = {key: value for key, value in new.items() if key not in PARTS["package.json"]}
        return json.dumps(kept | {key: value for key, value in old.items() if key in PARTS["package.json"]}, indent=2) + "\n"
    except (ValueError, AttributeError, TypeError, RecursionError):
        return base


def is_declared(path: str, declared: Sequence[str]) -> bool:
    """Whether a declared file, folder or glob covers the path. `*` matches within one part, `**` any number of parts."""
    return any(covers(entry.rstrip("/").split("/"), path.split("/")) for entry in declared if entry)


def covers(wanted: Sequence[str], parts: Sequence[str]) -> bool:
    """Whether a pattern covers a path, both as their parts."""
    states = {0}
    for part in parts:
        states = _past_stars(states, wanted)
        if len(wanted) in states:
            return True
        states = {at if wanted[at] == "**" else at + 1 for at in states if wanted[at] == "**" or _matches(wanted[at], part)}
    return len(wanted) in _past_stars(states, wanted)


def _past_stars(states: set[int], wanted: Sequence[str]) -> set[int]:
    found = set(states)
    for at in states:
        while at < len(wanted) and wanted[at] == "**":
            at += 1
            found.add(at)
    return found


def _matches(pattern: str, part: str) -> bool:
    return pattern == part or (any(letter in pattern for letter in "*?[") and fnmatchcase(part, pattern))
