"""What the output of a test runner says beside its exit code: that no test ran, or that some failed. Pure."""

from __future__ import annotations

import re

from subagents.contract import GateStatus
from subagents.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from subagents.contract import GateOutcome


@record
class Runner:
    """A runner of tests: the command that starts it, what it says of tests that passed, and of those that it passed over."""

    command: re.Pattern[str]
    ran: re.Pattern[str]
    passed_over: re.Pattern[str]


# Where a command begins: what only mentions a runner (`grep pytest setup.cfg`) starts none.
BEGIN = r"(?:^|[;&()\n]|\b(?:then|do|else|exec|time|nice)\s)\s*(?:env\s+)?(?:\w+=\S*\s+)*(?:[\w.-]+\s+run\s+)?"
MODULE = r"(?:\S*/)?(?:python[\d.]*\s+(?:-\w+\s+)*?|coverage\s+run\s+(?:\S+\s+)*?)-m\s+"
DOTS = r"^[.sxX]*\.[.sxX]*\s+\[100%\]\s*$"  # all that pytest prints where its settings are quiet, too
NODE = r"(?:(?:npx|bunx|pnpm|yarn)\s+(?:exec\s+|dlx\s+|-\S+\s+)*)?(?:\S*/)?"
RUNNERS = tuple(
    Runner(re.compile(f"{BEGIN}(?:{command})(?![\\w./-])"), re.compile(ran, re.MULTILINE), re.compile(passed_over, re.MULTILINE))
    for command, ran, passed_over in (
        (rf"(?:{MODULE}|\S*/)?(?:pytest|py\.test)", rf"\d+ x?passed|{DOTS}", r"\d+ (skipped|deselected|xfailed)|no tests (ran|collected)"),
        (
            rf"{MODULE}unittest",
            r"Ran (?P<all>[1-9]\d*) tests?\b(?![\s\S]*\((?:[^()]*, )?(?:skipped|expected failures)=(?P=all)[,)])",
            r"(skipped|expected failures)=[1-9]|NO TESTS RAN",
        ),
        (
            r"(?:\S*/)?(?:python[\d.]*\s+(?:-\w+\s+)*(?:\S*/)?)?manage\.py\s+test",
            r"Ran (?P<every>[1-9]\d*) tests?\b(?![\s\S]*\((?:[^()]*, )?(?:skipped|expected failures)=(?P=every)[,)])"
            r"|[1-9]\d* passed\b.* in \d",
            r"skipped|Ran 0 tests|NO TESTS RAN",
        ),
        # A file in which no test ran, because it has none or ended early, counts as one test of its name.
        (
            r"(?:\S*/)?node\s+(?:--\S+\s+)*?--test",
            r"^\s*(?:ok \d+ - |[✔√] )(?!\S+\.[cm]?[jt]sx?(?: \(|\s*$))(?!.*# (?:SKIP|TODO)\b)",
            r"(#|ℹ) (skipped|todo|pass) [1-9]|(#|ℹ) tests 0",
        ),
        (r"(?:\S*/)?cargo\s+(?:\+\S+\s+)?(?:test|t)", r"test result: \w+\. [1-9]\d* passed", r"test result: \w+\. 0 passed"),
        # Gates have it name each test (environment.NAMED_BY_GO): a package whose tests are all skipped, or that ended itself, is "ok" too.
        (r"(?:\S*/)?go\s+test\s(?:.*\s)?-json\b", r'"Action":"pass",[^\n]*"Test":', r'"Action":"skip"|no test files|no tests to run'),
        (r"(?:\S*/)?go\s+test", r"--- PASS: |^Benchmark\S+\s+\d+\s", r"--- SKIP: |no test files|no tests to run"),
        (rf"{NODE}jest", r"^Tests:.*\b[1-9]\d* passed", r'^Tests:|No tests found|"numPassedTests": ?0\b'),
        (rf"{NODE}vitest", r"Tests\s+.*\b[1-9]\d* passed", r'Tests\s+\d|No test files found|"numPassedTests": ?0\b'),
        (rf"{NODE}mocha", r"\b[1-9]\d* passing", r'\b0 passing|\d+ pending|"passes": ?0\b'),
    )
)
# What it would say goes elsewhere, or it was asked for something else than tests.
SAYS_NOTHING = re.compile(
    r"[>|]|\$\(|--(version|help|fixtures|markers|quiet|silent|no-run|json|reporter\S*|no-summary|test-reporter\S*)\b|-(h|V|[a-z]*qq+)\b"
    r"|-R\s|-q .*-q\b|no:terminal"
    r"|\bgo\s+test\s(.*\s)?-(c\b|(test\.)?v=false\b)|\bGOFLAGS="
)
RUNS_NONE = re.compile(
    r"--(collect-only|co|setup-plan|listTests|list-tests)\b|\b(cargo|vitest)\b.*\s(--)?list\b|\bgo\s+test\s(.*\s)?-list\b"
)
# What runners print of themselves, whoever started them: a make target, a script.
NONE_RAN = re.compile(
    "|".join(
        (
            r"^(?:=+ )?no tests (?:ran|collected) in |^(?:=+ )?\d+ (?:skipped|deselected|xfailed)(?:, \d+ [a-z]+)* in \d",  # pytest
            r"^Ran 0 tests in |^NO TESTS RAN",  # unittest
            r"^(?:#|ℹ) pass 0$|^1\.\.0\b|^ok \d+ .*# (?:SKIP|TODO)\b",  # node --test, TAP
            r"^No tests? (?:found|files found), exiting with code 0|^Tests:\s+\d+ (?:skipped|todo)\b|^\s*Tests\s+\d+ (?:skipped|todo)\b",
            r"^\s+0 passing \(|\"numPassedTests\": ?0\b|<testsuites?\b[^>]{0,500}\btests=\"0\"",  # mocha, JSON and JUnit reports
            r"^test result: ok\. 0 passed|\[no test files\]$|\[no tests to run\]$|^DONE 0 tests|^error: no tests to run",  # cargo, go
            r"^0 (?:runs|tests|examples|successes)\b[ ,/]+0 (?:assertions|failures)|^There are no tests to run",  # Ruby, Elixir, Lua
            r"^Ran 0 tests containing 0 assertions|^Executed 0 tests|^Result: NOTESTS|^Files=0, Tests=0",  # Clojure, Swift, Perl
            r"^No tests executed!|^No tests ran\.|^No tests were found!!!",  # PHP, Dart, ctest
            r"^No test is available in |No tests to run\.$",  # .NET, Maven
            r"^> Task :\S*test NO-SOURCE$|^ ?0 pass$|^ok \| 0 passed|^No tests found\b",  # Gradle, bun, deno
            r"^No tasks were (?:executed|run)\b|^\s*Tasks:\s+0 successful, 0 total|^None of the selected packages has a ",  # workspaces
        )
    ),
    re.MULTILINE,
)
# What runners say of tests that passed, whoever started them. pytest's own word above is looser: here "1 passed" may be another's.
SOME_RAN = re.compile(
    "|".join(f"(?:{runner.ran.pattern})" for runner in RUNNERS[1:])
    + rf"|^(?:=+ )?(?:\d+ [a-z]+, )*[1-9]\d* passed\b.* in \d|{DOTS}"
    r"|^[1-9]\d* examples?, 0 failures|^\d+ (?:runs|tests), [1-9]\d* assertions|^[1-9]\d* tests?, 0 failures|^OK \([1-9]\d* tests?"
    r"|^Passed!\s+- Failed:\s+0, Passed:\s+[1-9]|^(?:\[INFO\] )?Tests run: [1-9]|tests passed, 0 tests failed out of [1-9]"
    r"|^Files=\d+, Tests=[1-9]|^ok \d+\b(?!.*# (?:SKIP|TODO)\b)(?! - \S+\.[cm]?[jt]sx?\s*$)"
    r"|^Executed [1-9]\d* tests?|^All tests passed!|^ ?[1-9]\d* pass$"
    r"|^ok \| [1-9]\d* passed|^[1-9]\d* successes? / 0 failures|^Ran [1-9]\d* tests? containing|^\s*Tasks:\s+[1-9]\d* successful",
    re.MULTILINE,
)
# make and its like found nothing to do, such as where a folder has the target's name.
IDLE = re.compile(
    r"\s*(?:(?:make(?:\[\d+\])?|task|ninja): (?:Nothing to be done for .*|.* is up to date\.?|Entering directory .*|Leaving directory .*"
    r"|no work to do\.)\s*)+"
)
SOME_FAILED = re.compile(
    r"^(=+ )?\d+ failed\b.* in \d[\d.]*s|^FAILED \((failures|errors)=\d|^Tests:\s+\d+ failed|^\s*Tests\s+\d+ failed|^test result: FAILED\."
    r"|^(#|ℹ) fail [1-9]|^\s+[1-9]\d* failing$|^--- FAIL: |^FAILURES!$|^\d+ examples?, [1-9]\d* failures?",
    re.MULTILINE,
)
COLOURS = re.compile(r"\x1b\[[\d;]*m")
# Ends well whatever came before.
NEVER_FAILS = re.compile(
    r"(?:true|:|/bin/true|exit\s+0|return\s+0|echo\b[^|&>]*|printf\b[^|&>]*"
    r"""|(?:node|deno|bun)\s+(?:-e|--eval|eval)\s+["'](?:\s*console\.\w+\([^()]*\);?|\s*process\.exit\(0?\);?)*\s*["']"""
    r"""|python[\d.]*\s+-c\s+["'](?:\s*(?:print\([^()]*\)|pass|exit\(0?\));?)*\s*["'])"""
)
HARMLESS = re.compile(r"\s*(?:&>|\d?>>?)\s*(?:/dev/null|&\d)")
INNER = re.compile(r"""(?:/bin/|/usr/bin/)?(?:ba|da|z)?sh\s+-([a-z]*c)\s+["'](.*)["']""", re.DOTALL)
QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|\\.""")

# Commands within a command whose output is an argument: they do not decide how it ends. What is assigned does.
ARGUMENTS = re.compile(r"(?<=[\w\s])\$\((?:[^()]|\([^()]*\))*\)")


def told_of_tests(outcome: GateOutcome) -> GateOutcome:
    """The outcome of a command that ended well, as far as what it printed bears it out; every other one as it is.

    A runner that told of no test was ended by the code that it ran (`os._exit(0)`): failed. Where it ran none, or passed all
    over, or its failures were swallowed, nobody can say that it holds: unverified.
    """
    if outcome.status != GateStatus.PASSED:
        return outcome
    command, said = outcome.command, COLOURS.sub("", outcome.output)
    if why := cannot_fail(command):
        return unsure(outcome, f"the command cannot fail: {why}")
    if "!" not in command.split() and (failed := SOME_FAILED.search(said)):
        return unsure(outcome, f"it ended well, but what it ran told of failed tests: {failed[0].strip(' =')[:80]}")
    if IDLE.fullmatch(said):
        return unsure(outcome, f"it did nothing: {said.strip().splitlines()[0][:80]}")
    runner = next((each for each in RUNNERS if each.command.search(command)), None)
    if runner is None:
        if NONE_RAN.search(said) and not SOME_RAN.search(said):
            return unsure(outcome, "no test ran, or it names none that did")
        return outcome
    if RUNS_NONE.search(command):
        return unsure(outcome, "the command lists tests and runs none")
    if runner.ran.search(said):
        return outcome
    if runner.passed_over.search(said):
        return unsure(outcome, "no test ran, or none is named: all were passed over")
    if SAYS_NOTHING.search(command):
        return outcome
    note = "it ended well and told of no test that ran: something ended it before it was done"
    return replace(outcome, status=GateStatus.FAILED, note=note)


# A script that does what its arguments say: it compares one of them, keeps it for later, or runs it. One that only hands them on
# to its runner does the same whatever they are. Then, what asks it for tests.
DISPATCHES = re.compile(
    r"""\b(?:case|if|elif|while|for|test)\b[^\n]*\$\{?[1-9@*]|\[[^\n]*\$\{?[1-9@*][^\n]*\]|\b\w+=["']?\$\{?[1-9@*]"""
    r"""|(?:^|[;&|]|\bexec|\beval|\bthen|\bdo)[ \t]*["']?\w*\$\{?[1-9@*]""",
    re.MULTILINE,
)
NAMES_OF_FILES = re.compile(r"\S*(?:/|\.\w+)\S*")
ASKS_FOR_TESTS = re.compile(r"\b(?:tests?|specs?|checks?|verify|ci|unit|e2e)\b")


def told_by_scripts(outcome: GateOutcome, within: Sequence[str]) -> GateOutcome:
    """The outcome of a command that ended well, and runs a runner of tests by a script: unverified where no test is named.

    `within` are the texts of what the command runs: scripts, recipes of make (`judges_files.commands_within`).
    """
    command, said = outcome.command, COLOURS.sub("", outcome.output)
    if SOME_RAN.search(said) or any(runner.command.search(command) for runner in RUNNERS):
        return outcome
    found = [
        (line.strip(" \t@-+"), runner)
        for text in within
        if not DISPATCHES.search(text) or ASKS_FOR_TESTS.search(NAMES_OF_FILES.sub(" ", command))
        for line in text.split("\n")
        for runner in RUNNERS
        if runner.command.search(line.lstrip(" \t@-+"))
    ]
    if not found or any(SAYS_NOTHING.search(line) or runner.ran.search(said) for line, runner in found):
        return outcome
    return unsure(outcome, f"it runs `{found[0][0][:80]}`, and no test that ran is named: none did, or something ended it early")


def unsure(outcome: GateOutcome, note: str) -> GateOutcome:
    """The outcome as one that nobody can be sure of, with why."""
    return replace(outcome, status=GateStatus.UNVERIFIED, note=f"{outcome.note}; {note}" if outcome.note else note)


def cannot_fail(command: str, *, strict: bool = True) -> str:
    """Why a shell's command line ends well whatever it runs, such as "`|| true` …"; "" when it can fail.

    `strict`: it runs under `set -euo pipefail`, as gates do; scripts of package.json do not.
    """
    if inner := INNER.fullmatch(command.strip()):
        return cannot_fail(inner[2], strict="e" in inner[1].removesuffix("c"))
    command = HARMLESS.sub("", command.strip())
    plain = ARGUMENTS.sub(_hidden, QUOTED.sub(_hidden, command))
    if strict and re.search(r"\bset\s+\+(?:[a-z]*e|o\s+errexit)\b", plain):
        strict = False
    statements = [part.strip(" \t(){}") for part in re.split(r";|\n", plain) if part.strip(" \t(){}")]
    if not statements:
        return ""
    last = statements[-1]
    if re.search(r"(?<![&>])&$", last):
        return "it goes on in the background"
    *before, final = re.split(r"\|\|", last)
    if before and NEVER_FAILS.fullmatch(final.strip()):
        return f"`|| {final.strip()}` ends it well whatever came before"
    if all(_never_fails(part) for part in _chained(command, plain, last if not strict else "")) and not (strict and plain == "true"):
        return f"`{last}` ends it well whatever is there"
    if not strict and re.search(r"\|\s*(tee|cat)\b[^|&]*$", last):
        return f"the end of its pipe decides: `{last.rpartition('|')[2].strip()}`"
    return ""


def _hidden(found: re.Match[str]) -> str:
    return "_" * len(found[0])


def _chained(command: str, plain: str, last: str) -> Iterator[str]:
    """The simple commands of a line, or of its last statement: `plain` is the line with its quotes hidden, `last` that statement there."""
    at = plain.rindex(last) if last else 0
    for part in re.finditer(r"(?:(?!&&)[^;\n])+", plain[at:]):
        if words := command[at + part.start() : at + part.end()].strip(" \t&(){}"):
            yield words


def _never_fails(part: str) -> bool:
    return NEVER_FAILS.fullmatch(part) is not None or NEVER_FAILS.fullmatch(QUOTED.sub("_", part)) is not None


NPM_SCRIPT = re.compile(
    r"(?:^|[;&(\n])\s*(?:npm|pnpm|yarn|bun)\s+(?:(?:--prefix|-C|--cwd)[ =](\S+)\s+)?"
    r"(?:-\S+\s+)*(?:run(?:-script)?\s+)?(?:-\S+\s+)*([\w:.-]+)"
)


ONE_SCRIPT = re.compile(r"(?:npm|pnpm|yarn|bun)\s+(?:-\S+\s+)*(?:run(?:-script)?\s+|test\b|t\b)[^;&|<>$`]*")
SCRIPTS_FOLLOWED = 5


def scripts_of(command: str) -> Iterator[tuple[str, str]]:
    """(folder, name) of the scripts of package.json that a command runs by itself."""
    for found in NPM_SCRIPT.finditer(command):
        yield found[1] or "", {"t": "test", "tst": "test"}.get(found[2], found[2])


def script_cannot_fail(scripts: Mapping[str, object], name: str, command: str) -> str:
    """Why the script `name`, which `command` runs, ends well whatever is there; "" when it can fail.

    Scripts that only run another one are followed.
    """
    for _ in range(SCRIPTS_FOLLOWED):
        script = scripts.get(name)
        if script is None:
            return f"there is no script {name}" if "--if-present" in command else ""
        if not isinstance(script, str):
            return ""
        if not script.strip():
            return "it is empty"
        if why := cannot_fail(script, strict=False):
            return why
        only = ONE_SCRIPT.fullmatch(script.strip())
        if only is None:
            return ""
        [(_, name)] = list(scripts_of(only[0]))[:1] or [("", "")]
        command = script
    return ""
