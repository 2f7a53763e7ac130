"""The body of a pull request: a batch's report as markdown. Values in, text out.

What agents and plans say stands in it as text: no mention, link to an issue, closing keyword or markup of theirs has an effect there.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from batches.core.gates.ledger import Entry, GateState, count_states, count_words
from batches.core.text.words import UNKNOWN, counted, duration, tokens, usd_sum, visible

MARK = "<!-- CE Web: batch {number} -->"
BODY_CHARACTERS = 60_000  # GitHub takes 65,536
GATES_SHOWN, FILES_SHOWN, LOOKS_SHOWN = 150, 60, 20
TEXT_CHARACTERS = 200
SPECIAL = re.compile(r"([\\`*_{}\[\]<>()#+!|~-])")
BREAK = "\u2060"  # invisible: parts a letter from what would make it a mention or a link


@dataclass(frozen=True, slots=True)
class Told:
    """What the result lacks: the address of the batch's page ("" if unknown), and {phase: risk of 100 in words}."""

    address: str
    risks: Mapping[str, str]
    declared: Mapping[str, Sequence[str]]


def title_of(number: int, title: str) -> str:
    """The title of a batch's pull request."""
    return f"{' '.join(visible(title).split())[:200]} (batch {number})"


def body_of(result: Mapping[str, Any], ledger: Sequence[Entry], told: Told) -> str:
    """The body, at most BODY_CHARACTERS. `result` is what reporting.batch_result gives."""
    entries: list[Mapping[str, Any]] = list(result["results"])
    done = sum(entry["status"] == "success" for entry in entries)
    cost = usd_sum(result["cost_usd"], result.get("unpriced", 0))
    page = f"[Batch {result['batch_id']}]({told.address})" if told.address else f"Batch {result['batch_id']}"
    parts = [
        MARK.format(number=result["batch_id"]),
        f"{page}: {counted(done, 'phase')} of {len(entries)} done in {duration(result['elapsed_seconds'])}. "
        f"Gates: {count_words(count_states(ledger)) or 'none'}. Tokens: {tokens(result['tokens_used'])}. Cost: {cost}.",
        *_to_look_at(result, entries, ledger),
        _phases(entries, told),
        _files(entries, told),
        _gates(ledger),
    ]
    body = "\n\n".join(part for part in parts if part) + "\n"
    if len(body) <= BODY_CHARACTERS:
        return body
    return body[: BODY_CHARACTERS - 60].rsplit("\n", 1)[0] + "\n\nThe rest is on the batch's page.\n"


def _to_look_at(result: Mapping[str, Any], entries: Sequence[Mapping[str, Any]], ledger: Sequence[Entry]) -> list[str]:
    lines = []
    if result.get("not_verified"):
        lines.append(f"Not everything is verified: {plain(result['not_verified'])}.")
    if undone := [entry["phase"] for entry in entries if entry["status"] != "success"]:
        lines.append(f"Not part of it, because not done: {', '.join(map(plain, undone))}.")
    for entry in entries:
        lines += [f"Phase {plain(entry['phase'])}: {plain(look)}" for look in entry["looks"]]
        if entry["accepted_by"]:
            lines.append(f"Phase {plain(entry['phase'])} was accepted as it is by {plain(entry['accepted_by'])}.")
    lines += [f"Gate failed: {plain(entry.text)}" for entry in ledger if entry.state is GateState.FAILED]
    collided = [conflict["file"] for conflict in result["conflicts"] if conflict["collided"]]
    lines += [f"Phases collided in {code(file)}." for file in collided]
    more = [f"{len(lines) - LOOKS_SHOWN} more on the batch's page."] if len(lines) > LOOKS_SHOWN else []
    return ["**To look at**", "\n".join(f"- {line}" for line in [*lines[:LOOKS_SHOWN], *more])] if lines else []


def _phases(entries: Sequence[Mapping[str, Any]], told: Told) -> str:
    head = ["## Phases", "", "| phase | state | time | attempts | cost | risk |", "|---|---|---|---|---|---|"]
    rows = [
        f"| {plain(entry['phase'])} {plain(entry['title'])} | {_state(entry)} | {duration(entry['elapsed_seconds'])} "
        f"| {entry['attempts']} | {usd_sum(entry['cost_usd'], 0)} | {told.risks.get(entry['phase'], UNKNOWN)} |"
        for entry in entries
    ]
    return "\n".join([*head, *rows])


def _state(entry: Mapping[str, Any]) -> str:
    if entry["accepted_by"]:
        return "accepted by a person"
    return plain(str(entry["success"] or entry["status"]).replace("_", " "))


def _files(entries: Sequence[Mapping[str, Any]], told: Told) -> str:
    """What the plan declares against what git shows."""
    head = ["## Files", "", "| file | what happened | phase | declared |", "|---|---|---|---|"]
    rows = []
    for entry in entries:
        undeclared = set(entry["undeclared"])
        touched = set()
        for word in ("created", "modified", "deleted"):
            for path in entry[f"files_{word}"]:
                touched.add(path)
                rows.append(f"| {code(path)} | {word} | {plain(entry['phase'])} | {'**no**' if path in undeclared else 'yes'} |")
        if entry["status"] == "success":
            plan = [path for path in told.declared.get(entry["phase"], ()) if path not in touched and not set("*?[") & set(path)]
            rows += [f"| {code(path)} | not touched | {plain(entry['phase'])} | yes |" for path in plan if not _covers(path, touched)]
    more = [f"| {len(rows) - FILES_SHOWN} more | | | |"] if len(rows) > FILES_SHOWN else []
    return "\n".join([*head, *rows[:FILES_SHOWN], *more]) if rows else ""


def _covers(declared: str, touched: Iterable[str]) -> bool:
    """Whether a declared folder holds a file that was touched."""
    return any(path.startswith(declared.rstrip("/") + "/") for path in touched)


def _gates(ledger: Sequence[Entry]) -> str:
    """Each gate with its evidence: the command, its exit code, and the commit on which it was judged."""
    if not ledger:
        return ""
    rows = []
    for entry in ledger:
        check = entry.last
        where = f"phase {entry.phase}" if entry.phase else f"stage {entry.stage}"
        command = code(check.command) if check is not None and check.command else ""
        exit_code = "" if check is None or check.exit_code is None else f"exit {check.exit_code}"
        commit = f"on {code(check.commit[:12])}" if check is not None and check.commit else ""
        by = f"signed off by {plain(entry.sign_off.name)}" if entry.sign_off is not None else ""
        evidence = ", ".join(part for part in (" ".join(one for one in (command, exit_code, commit) if one), by) if part)
        rows.append(f"| {plain(where)} | {plain(entry.text)} | {plain(entry.state.replace('ticked', 'signed off'))} | {evidence} |")
    more = [f"| | {len(rows) - GATES_SHOWN} more | | |"] if len(rows) > GATES_SHOWN else []
    table = "\n".join(["| where | gate | state | evidence |", "|---|---|---|---|", *rows[:GATES_SHOWN], *more])
    return f"## Gates\n\n<details><summary>{counted(len(ledger), 'gate')}</summary>\n\n{table}\n\n</details>"


def plain(text: object) -> str:
    """Text as one short line of markdown in which nothing but the words has a meaning."""
    line = " ".join(visible(str(text)).split())[:TEXT_CHARACTERS]
    line = SPECIAL.sub(r"\\\1", line)
    line = re.sub(r"@(?=\w)", f"@{BREAK}", line)
    return re.sub(r"(\w)://", rf"\1:{BREAK}//", line).replace("\\#", f"\\#{BREAK}")


def code(text: object) -> str:
    """Text as code: a path or a command on one line, also inside a table."""
    line = " ".join(visible(str(text)).split())[:TEXT_CHARACTERS].replace("|", "\\|")
    fence = "`" * (1 + max((len(run) for run in re.findall(r"`+", line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}" if line else ""
