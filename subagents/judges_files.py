"""Which changed files judge: what a gate's command runs, or reads as configuration (docs/gates.md). Pure: texts in, values out.

A phase that changes such a file decides itself whether its gate passes. In doubt the rules take a file: one too many costs
a person a look, and a missed one lets a lie pass. So commands are found even in scripts that are no valid shell, and
configuration counts in any folder.
"""

from __future__ import annotations

import itertools
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

PYTHON_START = "sitecustomize.py usercustomize.py *.pth pyvenv.cfg"
PYTEST = (  # entry_points.txt: of a package beside the tests, such as x.dist-info
    f"conftest.py pytest.ini .pytest.ini pytest.toml .pytest.toml tox.ini setup.cfg pyproject.toml .coveragerc .env* entry_points.txt "
    f"{PYTHON_START}"
)
SCRIPTS_JS = (
    "package.json .npmrc .yarnrc .yarnrc.yml .pnpmfile.?js pnpm-workspace.yaml bunfig.toml deno.json deno.jsonc import_map.json "
    "*.config.[jt]s *.config.[cm][jt]s *.conf.[jt]s *.conf.[cm][jt]s *.config.json .env* vitest.workspace.* stryker.conf.* wallaby.* "
    "jest.setup.* vitest.setup.* [jt]est-setup.* setup[Tt]ests.* setup-tests.* .babelrc* .swcrc .mocharc* .taprc .nycrc* .c8rc* "
    ".browserslistrc tsconfig*.json jsconfig*.json angular.json project.json turbo.json nx.json lerna.json "
    ".eslintrc* .eslintignore .oxlintrc.json .prettierrc* .prettierignore .stylelintrc* .lintstagedrc* .editorconfig biome.json*"
)
GRADLE = "*.gradle *.gradle.kts gradle.properties libs.versions.toml gradle-wrapper.properties checkstyle*.xml pmd*.xml detekt*.yml"
MAVEN = "pom.xml jvm.config maven.config extensions.xml maven-wrapper.properties checkstyle*.xml pmd*.xml"
CMAKE = "CMakeLists.txt CMakePresets.json CMakeUserPresets.json CTestConfig.cmake *.cmake"
RUBY = "Gemfile .rspec *_helper.rb .simplecov .rubocop*.yml cucumber.yml"
PHP = "composer.json phpunit.xml phpunit.xml.dist phpunit.dist.xml Pest.php bootstrap.php psalm.xml* phpstan*.neon* .php-cs-fixer*"
# program -> the names of files that it reads as configuration, in whichever folder
CONFIGURATION: Mapping[str, str] = {
    **dict.fromkeys(("pytest", "py.test", "unittest", "nose2", "coverage", "hypothesis", "trial", "stestr"), PYTEST),
    "tox": f"tox.toml {PYTEST}",
    "nox": f"noxfile.py {PYTEST}",
    "behave": f"behave.ini .behaverc environment.py {PYTEST}",
    "python": PYTHON_START,
    "sphinx-build": "conf.py",
    "ruff": "ruff.toml .ruff.toml pyproject.toml",
    "mypy": "mypy.ini .mypy.ini setup.cfg pyproject.toml",
    "flake8": ".flake8 setup.cfg tox.ini",
    "pylint": ".pylintrc pylintrc pylintrc.toml .pylintrc.toml setup.cfg pyproject.toml",
    "pre-commit": ".pre-commit-config.yaml",
    **dict.fromkeys(
        ("black", "isort", "bandit", "pyright", "basedpyright"),
        "pyproject.toml setup.cfg .isort.cfg .bandit bandit.yaml pyrightconfig.json .editorconfig",
    ),
    **dict.fromkeys(("npm", "pnpm", "yarn", "bun", "npx", "jest", "vitest", "mocha", "ava", "karma", "playwright", "cypress"), SCRIPTS_JS),
    **dict.fromkeys(("nyc", "c8", "tsc", "eslint", "prettier", "biome", "turbo", "nx", "lerna", "tsx", "ts-node", "deno"), SCRIPTS_JS),
    "make": "Makefile makefile GNUmakefile *.mk Makefile.in Makefile.am configure.ac",
    **dict.fromkeys(("configure", "autoreconf"), "configure.ac configure.in Makefile.in Makefile.am *.m4"),
    "just": "justfile Justfile .justfile *.just",
    "task": "Taskfile.yml Taskfile.yaml Taskfile.dist.yml taskfile.yml",
    "rake": f"Rakefile Rakefile.rb *.rake {RUBY}",
    **dict.fromkeys(("invoke", "inv"), "tasks.py invoke.yaml"),
    "mage": "magefile.go",
    "cargo": "Cargo.toml build.rs config.toml clippy.toml .clippy.toml rustfmt.toml .rustfmt.toml nextest.toml rust-toolchain*",
    "golangci-lint": ".golangci.*",
    **dict.fromkeys(("go", "gotestsum"), "go.mod go.work"),
    **dict.fromkeys(
        ("uv", "hatch", "pdm", "poe", "poetry", "rye", "pixi", "pipenv"),
        f"uv.toml hatch.toml poe_tasks.toml pixi.toml poetry.toml .python-version {PYTEST}",
    ),
    **dict.fromkeys(("rspec", "bundle", "rails", "cucumber", "rubocop"), RUBY),
    **dict.fromkeys(("phpunit", "pest", "php", "composer", "behat", "psalm", "phpstan", "codecept"), PHP),
    **dict.fromkeys(("mvn", "mvnw"), MAVEN),
    **dict.fromkeys(("gradle", "gradlew"), GRADLE),
    **dict.fromkeys(("cmake", "ctest", "ninja"), f"{CMAKE} build.ninja"),
    "sbt": "*.sbt build.properties",
    **dict.fromkeys(("lein", "clojure", "clj"), "project.clj profiles.clj deps.edn tests.edn"),
    "mix": "mix.exs .formatter.exs .credo.exs test.exs test_helper.exs",
    "dotnet": "*.csproj *.fsproj *.vbproj *.sln *.slnx *.props *.targets *.runsettings global.json [Nn]u[Gg]et.[Cc]onfig xunit.runner.json",
    "swift": "Package.swift",
    **dict.fromkeys(("dart", "flutter"), "pubspec.yaml dart_test.yaml analysis_options.yaml build.yaml"),
    **dict.fromkeys(("nix", "nix-build", "nix-shell"), "*.nix flake.lock"),
    **dict.fromkeys(("earthly", "pants", "scons", "waf"), "Earthfile BUILD pants.toml SConstruct SConscript wscript"),
    **dict.fromkeys(("direnv", "dotenv", "mise"), ".envrc .env* .tool-versions"),
    "meson": "meson.build meson.options meson_options.txt",
    "bazel": "BUILD BUILD.bazel WORKSPACE WORKSPACE.bazel MODULE.bazel *.bzl .bazelrc",
    "zig": "build.zig build.zig.zon",
    **dict.fromkeys(("stack", "cabal"), "stack.yaml package.yaml *.cabal cabal.project"),
    "shellcheck": ".shellcheckrc",
    "yamllint": ".yamllint .yamllint.yml .yamllint.yaml",
    **dict.fromkeys(
        ("docker", "docker-compose", "podman"),
        "Dockerfile Dockerfile.* *.Dockerfile Containerfile .dockerignore docker-bake.* compose*.yml compose*.yaml docker-compose*.yml "
        "docker-compose*.yaml",
    ),
}
# Programs that run whatever checks the project has: the configuration of all of those counts.
RUN_CHECKS = ("pre-commit", "lefthook", "lint-staged", "trunk", "mega-linter-runner")
# What a program is usually configured by, whatever its name is: eslint's .eslintrc.json, typos' _typos.toml, buf's buf.yaml.
USUAL_NAMES = (
    *(".{0}", ".{0}rc", ".{0}rc.*", ".{0}.*", "_{0}.toml", ".{0}ignore", "{0}.config.*", "{0}.conf", "{0}.conf.*"),
    *("{0}.toml", "{0}.ini", "{0}.cfg", "{0}.yml", "{0}.yaml", "{0}.json", "{0}.jsonc", "{0}.xml", "{0}.xml.dist"),
)
# Folders that a program takes programs or settings from as soon as they are there.
FOLDERS: Mapping[str, str] = {
    **dict.fromkeys(("npm", "pnpm", "yarn", "npx", "jest", "vitest", "mocha", "node"), "node_modules"),
    **dict.fromkeys(("python", "pytest", "uv", "poetry", "tox", "nox"), ".venv venv"),
    "cargo": ".cargo .config",
    **dict.fromkeys(("mvn", "mvnw"), ".mvn"),
    **dict.fromkeys(("gradle", "gradlew"), "buildSrc build-logic"),
    "bundle": ".bundle",
    "act": ".github/workflows",
    **dict.fromkeys(("vale", "semgrep", "husky"), ".vale .semgrep .husky"),
}
CARGO_COMMANDS = _words(
    "test t build b check c run r bench doc d clippy fmt nextest llvm-cov tarpaulin miri install metadata tree deny audit hack"
)
RUNS_TESTS = _words(
    """pytest py.test unittest nose2 trial stestr tox nox jest vitest mocha ava karma playwright cypress rspec phpunit bats ctest cargo go
    mvn mvnw gradle gradlew npx deno swift dotnet mix sbt lein prove busted doctest meson bazel zig stack cabal behave cucumber robot pest
    behat codecept gotestsum flutter dart"""
)
NARROWED = _words("pytest py.test unittest nose2 bats rspec phpunit prove mocha doctest")  # by the paths that they are given
INTERPRETERS = _words(
    """python bash sh zsh dash ksh fish node deno bun tsx ts-node ruby perl php lua Rscript julia expect tclsh pwsh powershell sqlite3 psql
    mysql source . exec"""
)
# They start the program that follows.
STARTERS = _words("valgrind rr gdb unbuffer chronic catchsegv faketime strace ltrace perf flock parallel")
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
SUMS = re.compile(r"(?:sha\d+|md5|b2|sha)sum|cksum")  # with a list of what the sums should be
READS_PATTERNS = _words("grep egrep fgrep rg awk gawk sed")  # of a file: -f FILE
# What a command finds, for another one to run.
LISTS = _words("find fd ls cat git")
# Options with which an interpreter reads a file and does not run it.
CHECKS_ONLY = {
    **dict.fromkeys(("bash", "sh", "zsh", "dash", "ksh"), _words("-n")),
    "node": _words("--check -c"), "php": _words("-l"), "ruby": _words("-c -wc"), "perl": _words("-c"),
}
# A variable by which a program is told what to load.
LOADS = re.compile(r"\w*(ENV|OPT|OPTS|OPTIONS|STARTUP|MODULE|PLUGINS?|CONF|CONFIG\w*|RC|RCFILE|SETTINGS\w*|PRELOAD|ADDOPTS)")
# A file that says what is expected.
EXPECTED = re.compile(r"(?:^|[/._-])(schemas?|expected|golden|baseline)(?:[/._-]|$)", re.I)
# The name of a file by which a script judges, wherever it lies.
LIMITS = re.compile(
    r"(?:^|[/._-])(?:limits?|thresholds?|budgets?|quotas?|(?:allow|deny|block|black|white|ignore|skip)[._-]?(?:list|ed)?)(?=[._-])", re.I
)
# What a script that judges may read beside itself: limits, lists, expected values.
DATA = re.compile(r"[\w-][\w.-]*\.(?:json|jsonc|ya?ml|toml|ini|cfg|conf|txt|csv|tsv|xml|lst|list|rules|env)")
PATH = re.compile(r"[\w.-]+(?:/[\w.-]+)+")
LINK = re.compile(r"[\w.-]+(?:/[\w.-]+)*")  # all that a link's content is
# They only look at files or move them: their arguments judge nothing.
LOOKS = _words(
    """test [ [[ grep egrep fgrep rg ag find ls cat head tail wc sort uniq cut tr awk sed stat file rm cp mv ln mkdir touch tar
    git echo printf"""
)
COMPARES = _words("diff cmp comm")  # one side is what is expected
VALUED = _words(
    """-k -m -n -o -W -X -r -p -x --maxfail --cov --tb --junitxml --timeout --durations --ignore --deselect --rootdir --source --omit
    --reporter --testTimeout -j -l"""
)
# An option whose value is a file that the command reads: -c x, --config=x, --rcfile x.
CONFIG_OPTION = re.compile(
    r"(-c|-[en]?f|-s|-r|-File|--?(?![\w-]*(?:out|log|report|junit))[\w-]*"
    r"(?:conf|file|settings|\bds\b|rules|require|import|setup|loader|filter|expected|schema|relaxng|baseline|policy)[\w-]*)",
    re.I,
)
TEST_LIKE = re.compile(
    r"(^|/)([Tt]ests?|testing|specs?|__tests__|__mocks__|__snapshots__|testdata|e2e|cypress|features|benches)/"
    r"|(^|/)(test_[^/]*\.py|tests\.py|test\.\w+|[^/]*_test\.(py|go|rb|exs|dart|cc|cpp|c)|[^/]*[._-](test|spec)s?\.\w+|[^/]*\.(bats|t|feature|robot)"
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
# Of these, lines count, but for those that name a dependency and its version: adding one is work.
OF_LINES: Mapping[str, re.Pattern[str]] = {
    "go.mod": re.compile(r"\s*(?:module\b.*|require\b.*|[()]\s*|\S+ v\S+(?:\s*//.*)?|//.*|)"),
    "Gemfile": re.compile(r"""\s*(?:gem\s+["'][\w.-]+["'](?:\s*,\s*["'][^"']*["'])*|source\b.*|ruby\b.*|group\b.*|end|\#.*|)\s*"""),
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
    return _read_through(commands, read).found()


def commands_within(command: str, read: Reader) -> list[str]:
    """The texts of the scripts, recipes and scripts of package.json that a command runs, as `judges_of` follows them."""
    return _read_through([command], read).texts[1:]


def _read_through(commands: Sequence[str], read: Reader) -> _Reading:
    reading = _Reading(read)
    for text in filter(None, commands):
        reading.text(text, "")
    reading.follow()
    return reading


class _Reading:
    """Collects what commands run and read, and follows the scripts among it."""

    def __init__(self, read: Reader) -> None:
        self.read = read
        self.files: set[str] = set()
        self.tests: set[str] = set()
        self.names: set[str] = set()
        self.folders: set[str] = {""}
        self.listed: list[str] = []  # what was found in this text, as paths with *, for another command to run
        self.beside = ""  # the folder of the script that is read
        self.started_in: dict[str, str] = {}  # makefile that another one includes -> the folder of that one
        self.texts: list[str] = []  # the commands that were read, script by script
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
        if LINK.fullmatch(text):
            self._take(self.files, [text], folder, follow=True)
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
            text = _expanded(text, folder)
            self._take(self.files, filter(_is_data_of_tools, PATH.findall(text)), "")
            self.text(text, self.started_in.get(path, ""))
        self.beside = ""

    def _program(self, path: str, text: str) -> None:
        """What a program that judges starts, and its helpers where it is a tool."""
        named = re.findall(r"""["']([\w./-]+)["']""", text)
        self._take(self.files, (word for word in named if word.endswith((".sh", ".bash")) or TEST_LIKE.search(word)), "", follow=True)
        self._take(self.files, filter(_is_data_of_tools, named), "")
        self.texts += [f"python -m {name}" for name in re.findall(r"\b(pytest|unittest)\.(?:main|TextTestRunner)\(", text)]
        for module in ("pytest", "unittest", "coverage", "jest", "vitest"):
            if re.search(rf"\b{module}\b", text):
                self._tool(module, [], "")
        for plugins in re.findall(r"^pytest_plugins\s*=\s*(.*?)(?:^\S|\Z)", text, re.M | re.S):
            self._take(self.files, (place for one in re.findall(r"""["']([\w.]+)["']""", plugins) for place in _module_places(one)), "")
        folder = posixpath.dirname(path)
        if not TOOLS.search(folder):
            return
        self._take(self.files, (f"{folder}/{word}" for word in named if DATA.fullmatch(word)), "")
        if path.endswith(".py"):
            for origin, names, plain in PYTHON_IMPORT.findall(text):
                modules = [origin, *(f"{origin}.{name}" for name in re.split(r"[, ]+", names) if name), *re.split(r"[, ]+", plain)]
                plain_names = (name.strip(".") for name in modules)
                own = [name for name in plain_names if name and name.partition(".")[0] not in SHADOWED]  # else _shadows() tells
                self._helpers(folder, [name.replace(".", "/") for name in own])
        else:
            beside = re.findall(r"""(?:require\(|from\s|import\s*\(?)\s*["'](\.{1,2}/[\w./-]+)["']""", text)
            if TEST_LIKE.search(path):  # what else a test loads is what it judges
                beside = [name for name in beside if TOOLS.search(posixpath.dirname(posixpath.normpath(posixpath.join(folder, name))))]
            self._take(self.files, (name + ending for name in beside for ending in ("", ".js", ".mjs", ".cjs", ".ts")), folder, follow=True)

    def _helpers(self, folder: str, modules: Iterable[str]) -> None:
        places = [posixpath.normpath(posixpath.join(where, name)) for name in modules for where in (folder, "")]
        files = [place + ending for place in places if TOOLS.search(posixpath.dirname(place)) for ending in (".py", "/__init__.py")]
        self._take(self.files, files, "", follow=True)

    def text(self, text: str, folder: str) -> None:
        """Take in the commands of a line or a script that runs in `folder`."""
        self.listed = []
        self.texts.append(text)
        for found in COMPARED.findall(text):
            self._take(self.files, re.findall(r"\$\(\s*(?:cat\s|<)\s*([^()\s]+)\s*\)", found), folder)
        for words in _commands(text):
            if words[0] == "for" and "in" in words:
                over = words[words.index("in") + 1 :]
                self.listed += [word for word in over if "/" in word or "*" in word]
                self._take(self.tests, (word for word in over if TEST_LIKE.search(word + "/")), folder)
            elif words[0] in ("cd", "pushd") and len(words) > 1:
                folder = posixpath.normpath(posixpath.join(folder, words[1]))
                folder = "" if folder in (".", "/") or folder.startswith("..") else folder
            else:
                self._command(words, folder)

    def _command(self, words: list[str], folder: str) -> None:
        given = words
        words = _unwrapped(words)
        self._around(given, given[: len(given) - len(words)] if words else given, folder)
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
        if program in LISTS:
            self._list(program, arguments, folder)
        self._tool(program, arguments, folder, own="/" in words[0] and not BIN.search(words[0]))
        if words[0].startswith(("$", "{}")) or (program in (*INTERPRETERS, "eval") and _runs_what_is_listed([program, *arguments])):
            self._take_listed(folder)
        if program in LOOKS or program in COMPARES:
            return
        self._take(self.files, (after for sign, after in pairwise(given) if sign == "<"), folder, follow=True)
        self._take(self.files, (word[1:] for word in given if re.match(r"<[\w./-]", word)), folder, follow=True)
        self._take(self.files, (word for word in _plain(arguments) if EXPECTED.search(word) and re.search(r"[./]", word)), folder)
        if program in STARTERS:
            self._start(arguments, folder)
        if program in ("export", "declare", "typeset"):
            self._around(arguments, arguments, folder)
        if program == "eval":
            self.text(" ".join(arguments), folder)
        if program not in EXACT and any(TASK.fullmatch(_unquoted(word)) for word in (name, *arguments)):
            self.tests.add("")
            self.names |= set(PYTEST.split()) if words[0].endswith(".py") else set()
        if program not in EXACT and program not in INTERPRETERS:  # what only starts others: run pytest, docker compose run web pytest
            started = (place for place, word in enumerate(arguments) if posixpath.basename(word) in STARTED)
            if (place := next(started, None)) is not None:
                self._command(list(arguments[place:]), folder)

    def _around(self, words: Sequence[str], before: Sequence[str], folder: str) -> None:
        """What stands before a program: variables that tell it what to load, and what starts it, such as `uv run`."""
        for word in before:
            self._known(posixpath.basename(word), folder)
            name, assigns, value = word.partition("=")
            if assigns and name.rstrip("+") == "PYTHONPATH":
                self.folders |= {posixpath.normpath(posixpath.join(folder, place)) for place in value.split(":")}
            elif assigns and name.rstrip("+") == "PATH":  # programs in these folders stand in the place of the machine's
                self._take(self.files, TOP.sub(".", _unquoted(value)).split(":"), folder)
            elif assigns and LOADS.fullmatch(name):
                values = [one.rpartition("=")[2] for one in _unquoted(value).split()]
                self._take(self.files, (one for one in values if re.search(r"[./]", one) and "://" not in one), folder, follow=True)
                modules = (one for one in values if re.fullmatch(r"\w+(\.\w+)+", one))
                self._take(self.files, (place for one in modules for place in _module_places(one)), folder)

    def _known(self, program: str, folder: str) -> None:
        """The configuration that a program is known to read."""
        self.names |= set(CONFIGURATION.get(program, "").split())
        for name in FOLDERS.get(program, "").split():
            self.files |= {name, posixpath.normpath(posixpath.join(folder, name)), f"*/{name}/*"}
        if program in RUN_CHECKS:
            self.names |= {name for names in CONFIGURATION.values() for name in names.split()}

    def _list(self, program: str, arguments: Sequence[str], folder: str) -> None:
        """Note what find, ls, git ls-files or cat names, and take in what find itself runs on it."""
        words = [_unquoted(word) for word in arguments]
        if program == "git" and words[:1] != ["ls-files"]:
            return
        runs = next((place for place, word in enumerate(words) if word in ("-exec", "-execdir", "-ok")), len(words))
        places = list(itertools.takewhile(lambda word: not word.startswith("-"), words[program == "git" :]))
        patterns = [after for option, after in pairwise(words[:runs]) if option in ("-name", "-iname", "-path", "-wholename")]
        top = [place for place in places if posixpath.normpath(place) != "."]
        below = [f"{posixpath.normpath(place)}/*" for place in top if program == "find"]
        if patterns:
            below = [f"{posixpath.normpath(place)}/*{name.lstrip('*')}" for place in top for name in patterns]
            below += patterns if not top else []
        self.listed += below or top
        if runs < len(words):
            self._command(words[runs + 1 :], folder)

    def _take_listed(self, folder: str) -> None:
        tests = [word for word in self.listed if TEST_LIKE.search(word + "/")]
        self._take(self.tests, tests, folder)
        self._take(self.files, (word for word in self.listed if word not in tests), folder, follow=True)

    def _start(self, arguments: Sequence[str], folder: str) -> None:
        """The program that a starter starts, and what `parallel` gives it."""
        words = list(arguments)
        if ":::" in words:
            self.listed += words[words.index(":::") + 1 :]
            words = words[: words.index(":::")]
        program = next((place for place, word in enumerate(words) if "/" in word or posixpath.basename(word) in INTERPRETERS), None)
        if program is not None:
            self._command(words[program:], folder)

    def _tool(self, program: str, arguments: Sequence[str], folder: str, *, own: bool = False) -> None:
        """Take in a program with its arguments; `own`: it is a file of the project, of which no usual names are known."""
        arguments = [_unquoted(word) for word in arguments]
        self._known(program, folder)
        if program in READS_PATTERNS:
            values = (value for option, value in pairwise(arguments) if re.fullmatch(r"-\w{0,4}f|--file", option))
            self._take(self.files, (*values, *(word.partition("=")[2] for word in arguments if word.startswith("--file="))), folder)
        if program == "git" and "--no-index" in arguments:  # of two files that are compared, one is what is expected
            self._take(self.files, (word for word in _plain(arguments) if word != "diff"), folder)
        if program in LOOKS:
            return
        if not own and program not in INTERPRETERS and re.fullmatch(r"[A-Za-z][\w-]*", program):
            first = next(iter(_plain(arguments)), "") if program == "cargo" else ""
            for word in {program, program.partition("-cli")[0], *((first,) if re.fullmatch(r"[\w-]+", first) else ())}:
                self.names |= {name.format(word) for name in USUAL_NAMES}
        if program == "cargo":  # an alias, such as xtask, for a package of that name
            first = next((word for word in _plain(arguments) if not word.startswith("+")), "")
            self._take(self.files, () if first in CARGO_COMMANDS else (first,), folder)
        if SUMS.fullmatch(program):
            self._take(self.files, _plain(arguments), folder)
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
            started = next((place for place, word in enumerate(arguments) if posixpath.basename(word) in RUNS_TESTS | INTERPRETERS), None)
            if program == "xargs" and started is not None and not _only_looks(arguments[started:]):
                self._take_listed(folder)
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
        self._take(self.tests, named, folder, follow=True)
        above = {place for name in named if name.endswith(".py") for place in _folders_above(posixpath.join(folder, name))}
        self._take(self.files, (f"{place}/__init__.py" for place in above if TEST_LIKE.search(f"{place}/")), "")

    def _npm(self, plain: Sequence[str], folder: str) -> None:
        self._take(self.files, ["node_modules/.bin"], folder)
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


# Programs in the folders of a project's dependencies are not its own.
BIN = re.compile(r"(^|/)(vendor/bin|node_modules/\.bin|\.?venv/bin)/")
# Two outputs of which one is compared with the other: [ "$(./run)" = "$(cat expected)" ]
COMPARED = re.compile(r"""(?:\[{1,2}|\btest)\s[^;\n]*?\$\([^()\n]*\)[^;\n]*?(?:=|-[engl][qte])[^;\n]*?\$\([^()\n]*\)""")


def _runs_what_is_listed(words: Sequence[str]) -> bool:
    """Whether an interpreter runs what another command has found: it names a variable, or nothing at all."""
    plain = [_unquoted(word) for word in words[1:] if not word.startswith("-")]
    return not _only_looks(words) and (not plain or plain[0].startswith(("$", "{}")))


def _only_looks(words: Sequence[str]) -> bool:
    """Whether an interpreter only reads what it is given: `bash -n`, `node --check`, `php -l`, `python -m py_compile`."""
    program, options = posixpath.basename(words[0]), [word for word in words[1:] if word.startswith("-")]
    if "-m" in options and program.startswith("python"):
        module = next(iter(words[words.index("-m") + 1 :]), "")
        return module.partition(".")[0] not in RUNS_TESTS
    return bool(CHECKS_ONLY.get(program, frozenset()) & {*options})


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


def _is_data_of_tools(path: str) -> bool:
    folder, name = posixpath.split(path)
    judges = TOOLS.search(folder) or EXPECTED.search(path) or LIMITS.search(path)
    return judges is not None and DATA.fullmatch(name) is not None


def _folders_above(path: str) -> list[str]:
    parts = posixpath.normpath(path).split("/")[:-1]
    return ["/".join(parts[:count]) for count in range(1, len(parts) + 1)]


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
    return posixpath.basename(path) in (*PARTS, *OF_LINES, "setup.cfg", "tox.ini", "__init__.py")


def judging_part(path: str, text: str | None) -> object:
    """The part of a file's text by which gates judge, to be compared with another version's; None where there is no file."""
    name = posixpath.basename(path)
    if text is None:
        return None
    try:
        if name == "__init__.py":  # an empty one only makes a folder a package
            return text.strip() or None
        if name == "package.json":
            return {key: value for key, value in json.loads(text).items() if key in PARTS[name]} or None
        if name in PARTS:
            import tomllib  # here: few gates have such a file

            parts = {key: value for key, value in tomllib.loads(text).items() if key in PARTS[name]}
            if name == "pyproject.toml":
                parts = {tool: _of_tool(tool, section) for tool, section in parts.get("tool", {}).items()}
                parts = {tool: section for tool, section in parts.items() if section}
            return parts or None
        if name in OF_LINES:
            return [line.strip() for line in text.split("\n") if not OF_LINES[name].fullmatch(line)] or None
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
