"""Whether back-ticked text is a shell command whose exit code is a verdict, and if it is not run by itself, why not. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Programs whose exit code is a verdict. Deliberately without rm, mv, cp, dd …: a gate looks, it does not act.
CHECKERS = _words(
    """pytest python python3 ruff mypy pyright flake8 pylint black isort bandit coverage tox nox uv poetry pip-audit pre-commit
    hatch pdm pipenv rye pixi invoke inv codespell typos vale djlint sqlfluff semgrep
    node npm npx pnpm yarn bun deno tsc tsx eslint prettier jest vitest mocha cypress playwright biome oxlint stylelint turbo nx
    go cargo rustc gofmt golangci-lint mage make just task cmake ctest ninja meson bazel earthly gradle gradlew mvn dotnet swift xcodebuild
    gcc g++ cc c++ clang clang++ clang-tidy cppcheck gfortran javac java kotlinc scalac nim crystal dune opam rebar3
    zig dart flutter ruby bundle rake rspec rubocop php composer phpunit perl prove lua luac busted nvim mix elixir stack cabal ghc
    sbt lein clojure julia Rscript
    bash sh zsh shellcheck shfmt bats test [ [[ grep egrep fgrep rg ls find diff cmp stat jq yq xmllint yamllint actionlint
    markdownlint hadolint terraform tflint helm kubectl docker buf curl git manage.py django-admin alembic sqlite3 psql true"""
)
ALONE = _words("pytest make tox nox mypy pyright tsc ctest jest vitest eslint rspec phpunit rake rubocop")
SEARCHERS = _words("grep egrep fgrep rg find ls git")  # what they print is what they found
PREPARES = _words("cd pushd popd set export unset source . echo printf pwd : true")
READERS = _words("cat head tail wc sort uniq cut tr awk sed nl column")  # they end with 0 whatever they read
# These end with 0 whatever they see, unless asked otherwise.
NEEDED_OPTION = {
    "curl": re.compile(r"\s(-\w*f\w*|--fail\S*)\b"),
    "git": re.compile(r"^git (grep|check-ignore|cat-file|diff .*(--exit-code|--quiet|--check)|ls-files .*--error-unmatch)\b"),
}
GIT_LOOKS = re.compile(r"^git (grep|check-ignore|cat-file|diff|ls-files|ls-tree|status|log|show|rev-parse|describe|merge-base)\b")
DESTRUCTIVE = re.compile(
    r"(?:^|[;&|(]\s*|\bxargs\s+|\bsudo\s+)"
    r"(?:sudo|rm|rmdir|mv|dd|mkfs\S*|shutdown|reboot|kill|pkill|killall|truncate|chown|chmod)\b"
)
DELETES = re.compile(r"\bfind\b.*\s-(?:delete|exec(?:dir)?|ok)\b|\bsed\b.*\s(?:-\w*i\b|--in-place)")
# Programs that act: what a step may be, and no gate.
ACTS = _words("mkdir cp mv rm rmdir touch ln install chmod tar unzip zip wget pip pip3 apt-get patch rsync tee sleep perl")
CONTROL = _words("if then else elif fi for while until do done case esac function select")
CODE = _words("def class import from return const let var async await new public private static func fn type interface select insert")
SIGNS = _words("= == := -> => : != <- +=")

# One token: an operator, a redirection, a bracket, or a word with its quotes. Each begins differently, so it is linear.
TOKEN = re.compile(
    r"[ \t]*(?:(?P<operator>&&|\|\||\|&|[|;\n]|&(?!>))|(?P<redirection>\d*(?:<<<|<<|>>|>\||&>>?|[<>](?!\()&?))|(?P<bracket>[()])"
    r"""|(?P<word>(?:[^\s'"\\;&|<>()]|\\.|'[^']*'|"(?:[^"\\]|\\.)*"|(?:(?<=\$)|[<>])\((?:[^()]|\([^()]*\))*\))+))"""
)
NAME = re.compile(r"(?:[a-z_~.$][\w.~$]*|[\w.~$-]*/[\w./~@$+-]*|[a-z][\w.+-]*|Rscript|\[\[?)")
BACKGROUND = re.compile(r"(?<![&>|<])&(?![&>\d])")
ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.S)


@dataclass(frozen=True, slots=True)
class Part:
    """One simple command: its words without assignments and redirections, and the operator before it."""

    words: tuple[str, ...]
    after: str = ""

    @property
    def line(self) -> str:
        return " ".join(self.words)


def parse(span: str) -> tuple[Part, ...]:
    """The simple commands of a shell line, in order; () for what no shell would read as one (a name is one of one word)."""
    parts: list[Part] = []
    words: list[str] = []
    after, depth, position, skips, text = "", 0, 0, False, span.strip()
    while position < len(text):
        found = TOKEN.match(text, position)
        if found is None or found.end() == position:
            return ()
        position = found.end()
        if word := found["word"]:
            if not skips and (words or not (ASSIGNMENT.fullmatch(word) or word in ("!", "{", "time", "env", "command"))):
                words.append(word)
            skips = False
        elif found["redirection"]:
            skips = True
        elif found["bracket"]:
            if (found["bracket"] == "(") == bool(words) or skips:
                return ()  # "call(x)" is code; "( a )" is a shell's
            depth += 1 if found["bracket"] == "(" else -1
            if depth < 0:
                return ()
        else:
            if not words or skips:
                return ()
            parts.append(Part(tuple(words), after))
            words, after = [], found["operator"]
    if words:
        parts.append(Part(tuple(words), after))
    elif after not in (";", "&", "\n", ""):
        return ()
    parts = [part for part in parts if part.words != ("}",)]
    return () if depth or skips else tuple(parts)


def looks_like_a_command(span: str) -> bool:
    """Whether back-ticked text may be offered as a check: a command line, and no name, path, code or description."""
    parts = parse(span)
    if not parts or DESTRUCTIVE.search(span) or DELETES.search(span):
        return False
    if any(_acts(part) for part in parts):
        return False
    words = parts[0].words
    if not NAME.fullmatch(words[0]) or words[0] in CODE:
        return False
    if len(words) > 1 and (words[1] in SIGNS or words[1].startswith(("=", ":="))):
        return False
    if len(parts) == 1 and len(words) == 1:
        return words[0] in ALONE or (words[0].startswith("./") and not words[0].endswith("/"))
    described = len(parts) == 1 and len(words) > 2 and all(re.fullmatch(r"[A-Za-z,'’]+", word) for word in words)
    return not described or words[0] in CHECKERS


# A step that is a command and nothing else, or one that says to run it.
_WHOLE = re.compile(r"(?:(?:run|execute|call)\b[:\s]\s*)?(?P<ticks>`{1,2})(?P<span>[^`]+)(?P=ticks)\s*[.;]?", re.IGNORECASE)

_IN_BIN = re.compile(r"(?:[\w.-]+/)*bin/[\w.+-]+$")
_SHELLS = re.compile(r"""[>'"$]|\s-{1,2}\w""")  # what a command has, and a few names beside each other do not


def command_of_step(text: str) -> str:
    """The command that a step as a whole is, as in "`npm ci`" and "Run `npm ci`."; "" for prose, a name, a path or code."""
    found = _WHOLE.fullmatch(text.strip())
    if found is None:
        return ""
    span = found["span"].strip()
    parts = parse(span)
    if not parts or not NAME.fullmatch(parts[0].words[0]) or parts[0].words[0] in CODE:
        return ""
    words = parts[0].words
    if len(words) > 1 and (words[1] in SIGNS or words[1] in CODE or words[1].startswith(("=", ":="))):
        return ""
    if len(parts) == 1 and len(words) == 1 and ">" not in span:
        return span if words[0] in ALONE or _is_local(words) else ""
    known = words[0] in CHECKERS | PREPARES | READERS | ACTS or words[0].startswith("./") or _IN_BIN.match(words[0])
    return span if known or len(parts) > 1 or _SHELLS.search(span) else ""



def why_not_run(span: str) -> str:
    """Why back-ticked text is not run by itself; "" for a command line whose exit code is a verdict."""
    if DESTRUCTIVE.search(span) or DELETES.search(span):
        return "it changes or removes things, and a gate only looks"
    parts = parse(span)
    if not parts:
        return "it is no command line that a shell can read"
    if any(part.words[0] in CONTROL for part in parts):
        return "it is a small script, so it runs only when you say so"
    if BACKGROUND.search(span):
        return "“&” leaves it running, so nobody learns how it ends"
    if any(part.after == "||" and part.words[0] in PREPARES for part in parts):
        return "what follows “||” makes it end well whatever happens"
    reason = "nothing in it says yes or no: its programs end well whatever they see"
    verdict = False
    for part in parts:
        if part.words[0] in PREPARES or part.words[0] in READERS:
            if len(parts) == 1:
                return f"{part.words[0]} ends well whatever it sees"
            continue
        program = _program(part.words)
        if _acts(part):
            return "git is asked to change something there, and a gate only looks"
        if program in NEEDED_OPTION and not NEEDED_OPTION[program].search(part.line):
            reason = f"{program} ends well whatever it finds, unless an option asks otherwise"
        elif program and (len(part.words) > 1 or len(parts) > 1 or program in ALONE or _is_local(part.words)):
            verdict = True
        elif not verdict:
            return _unknown(part, alone=len(parts) == 1)
    return "" if verdict else reason


def _acts(part: Part) -> bool:
    return part.words[0] == "git" and not GIT_LOOKS.match(part.line)


def _program(words: Sequence[str]) -> str:
    """The known program that a simple command runs, whichever folder it is in; "" for none that is known."""
    _, slash, name = words[0].rpartition("/")
    if re.fullmatch(r"python3\.\d+", name):
        name = "python3"
    if _is_local(words):
        return name
    if slash and len(words) == 1 and not words[0].startswith(("./", "bin/", "scripts/", ".venv/bin/", "venv/bin/")):
        return ""  # a path alone is a file that is spoken of
    return name if name in CHECKERS else ""


def _is_local(words: Sequence[str]) -> bool:
    return words[0].startswith("./") and (len(words) > 1 or words[0].endswith((".sh", ".py")))


def _unknown(part: Part, *, alone: bool) -> str:
    if alone and len(part.words) == 1:
        return "it may be a name as well as a command"
    return f"{part.words[0][:60]} is no program that is known to say yes or no by its exit code"


def is_command(span: str) -> bool:
    """Whether back-ticked text is a command line whose exit code is a verdict, rather than a name, a path or an act."""
    return not why_not_run(span)


def programs_of(commands: Sequence[str]) -> set[str]:
    """The programs that the simple commands of these lines begin with."""
    return {part.words[0] for command in commands for part in parse(command)}
