"""What the output of a test runner says beside its exit code: that no test ran, or that some failed. Pure."""

from __future__ import annotations

import re

from subagents.contract import GateStatus
from subagents.record import record, replace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from subagents.contract import GateOutcome


@record
class Runner:
    """A runner of tests: the command that starts it, what it says of tests that passed, and of those that it passed over."""

    command: re.Pattern[str]
    ran: re.Pattern[str]
    passed_over: re.Pattern[str]


# Where a command begins: what only mentions a runner (`grep pytest setup.cfg`) starts none.
BEGIN = r"(?:^|[;&(\n]|\b(?:then|do|else|exec|time|nice)\s)\s*(?:env\s+)?(?:\w+=\S*\s+)*(?:[\w.-]+\s+run\s+)?"
MODULE = r"(?:\S*/)?(?:python[\d.]*\s+(?:-\w+\s+)*?|coverage\s+run\s+(?:\S+\s+)*?)-m\s+"
NODE = r"(?:(?:npx|bunx|pnpm|yarn)\s+(?:exec\s+|dlx\s+|-\S+\s+)*)?(?:\S*/)?"
RUNNERS = tuple(
    Runner(re.compile(f"{BEGIN}(?:{command})(?![\\w./-])"), re.compile(ran, re.MULTILINE), re.compile(passed_over, re.MULTILINE))
    for command, ran, passed_over in (
        (rf"(?:{MODULE}|\S*/)?(?:pytest|py\.test)", r"\d+ x?passed", r"\d+ (skipped|deselected|xfailed)|no tests (ran|collected)"),
        (
            rf"{MODULE}unittest",
            r"Ran (?P<all>[1-9]\d*) tests?\b(?![\s\S]*\((?:[^()]*, )?(?:skipped|expected failures)=(?P=all)[,)])",
            r"(skipped|expected failures)=[1-9]|NO TESTS RAN",
        ),
        (r"(?:\S*/)?node\s+(?:--\S+\s+)*?--test", r"(#|ℹ) pass [1-9]", r"(#|ℹ) (skipped|todo) [1-9]|(#|ℹ) tests 0"),
        (r"(?:\S*/)?cargo\s+(?:\+\S+\s+)?(?:test|t)", r"test result: \w+\. [1-9]\d* passed", r"test result: \w+\. 0 passed"),
        (r"(?:\S*/)?go\s+test", r"^ok\s(?!.*no tests to run)", r"no test files|no tests to run"),
        (rf"{NODE}jest", r"^Tests:.*\b[1-9]\d* passed", r"^Tests:|No tests found"),
        (rf"{NODE}vitest", r"Tests\s+.*\b[1-9]\d* passed", r"Tests\s+\d|No test files found"),
        (rf"{NODE}mocha", r"\b[1-9]\d* passing", r"\b0 passing|\d+ pending"),
    )
)
# What it would say goes elsewhere, or it was asked for something else than tests.
SAYS_NOTHING = re.compile(
    r"[>|]|\$\(|--(version|help|fixtures|markers|quiet|silent|no-run|list|json|reporter\S*)\b|-(h|V|[a-z]*qq+)\b|-q .*-q\b|no:terminal"
)
RUNS_NONE = re.compile(r"--(collect-only|co|setup-plan|listTests)\b")
# What runners print of themselves, whoever started them: a make target, a script.
NONE_RAN = re.compile(
    r"^(=+ )?no tests (ran|collected) in |^No tests? (found|files found), exiting with code 0|^Ran 0 tests in |^NO TESTS RAN"
    r"|^\s+0 passing \(",
    re.MULTILINE,
)
SOME_FAILED = re.compile(
    r"^(=+ )?\d+ failed\b.* in \d[\d.]*s|^FAILED \((failures|errors)=\d|^Tests:\s+\d+ failed|^\s*Tests\s+\d+ failed|^test result: FAILED\."
    r"|^(#|ℹ) fail [1-9]|^\s+[1-9]\d* failing$|^--- FAIL: |^FAILURES!$|^\d+ examples?, [1-9]\d* failures?",
    re.MULTILINE,
)
COLOURS = re.compile(r"\x1b\[[\d;]*m")
# Ends well whatever came before.
NEVER_FAILS = re.compile(r"(?:true|:|/bin/true|exit\s+0|return\s+0|echo\b[^|&>]*|printf\b[^|&>]*)")
INNER = re.compile(r"""(?:/bin/|/usr/bin/)?(?:ba|da|z)?sh\s+-([a-z]*c)\s+["'](.*)["']""", re.DOTALL)
QUOTED = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'|\\.""")


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
    runner = next((each for each in RUNNERS if each.command.search(command)), None)
    if runner is None:
        if NONE_RAN.search(said) and not any(each.ran.search(said) for each in RUNNERS):
            return unsure(outcome, "no test ran")
        return outcome
    if RUNS_NONE.search(command):
        return unsure(outcome, "the command lists tests and runs none")
    if runner.ran.search(said) or SAYS_NOTHING.search(command):
        return outcome
    if runner.passed_over.search(said):
        return unsure(outcome, "no test ran: all were passed over")
    note = "it ended well and told of no test that ran: something ended it before it was done"
    return replace(outcome, status=GateStatus.FAILED, note=note)


def unsure(outcome: GateOutcome, note: str) -> GateOutcome:
    """The outcome as one that nobody can be sure of, with why."""
    return replace(outcome, status=GateStatus.UNVERIFIED, note=f"{outcome.note}; {note}" if outcome.note else note)


def cannot_fail(command: str, *, strict: bool = True) -> str:
    """Why a shell's command line ends well whatever it runs, such as "`|| true` …"; "" when it can fail.

    `strict`: it runs under `set -euo pipefail`, as gates do; scripts of package.json do not.
    """
    if inner := INNER.fullmatch(command.strip()):
        return cannot_fail(inner[2], strict="e" in inner[1].removesuffix("c"))
    plain = QUOTED.sub(lambda found: "_" * len(found[0]), command.strip())
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
    if all(NEVER_FAILS.fullmatch(part) for part in (statements if strict else statements[-1:])) and not (strict and plain == "true"):
        return f"`{last}` ends it well whatever is there"
    if not strict and re.search(r"\|\s*(tee|cat)\b[^|&]*$", last):
        return f"the end of its pipe decides: `{last.rpartition('|')[2].strip()}`"
    return ""


NPM_SCRIPT = re.compile(
    r"(?:^|[;&(\n])\s*(?:npm|pnpm|yarn|bun)\s+(?:(?:--prefix|-C|--cwd)[ =](\S+)\s+)?"
    r"(?:-\S+\s+)*(?:run(?:-script)?\s+)?(?:-\S+\s+)*([\w:.-]+)"
)


def scripts_of(command: str) -> Iterator[tuple[str, str]]:
    """(folder, name) of the scripts of package.json that a command runs by itself."""
    for found in NPM_SCRIPT.finditer(command):
        yield found[1] or "", {"t": "test", "tst": "test"}.get(found[2], found[2])
