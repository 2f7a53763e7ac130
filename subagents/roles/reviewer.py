"""Reviews one PRP: what the server's rules found, whether its document is there, and what only a reader can judge."""

from __future__ import annotations

import os

from subagents.checkout import Checkout
from subagents.contract import ContractError, GateKind, GateSpec, GateStatus, ResultStatus, TaskResult, replace
from subagents.documents import NotADocument, read_document
from subagents.open_repository import attached_repository
from subagents.roles.ask_model import ask, failed, use_of
from subagents.work_shown import diff_to_read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from subagents.contract import TaskSpec
    from subagents.reporting import Reporter
    from subagents.workspace import Repository

NOT_JUDGED = "not judged: no model is configured"
SAID_CHARACTERS = 2_000  # of a checker's output, in a finding
FINDING_FIELDS = frozenset({"severity", "category", "place", "message", "suggestion"})


def review(spec: TaskSpec, reporter: Reporter) -> TaskResult:
    """Report on the PRP at `payload["path"]` of the base commit, with the `payload["findings"]` of the server's rules.

    `payload["work"]` {"base", "head"} are the commits of the phase's work and `payload["gates"]` what its gates said, both after
    execution only. `payload["changed"]` are files that the phase left, [] before execution: their syntax and lint are judged as they stand
    on the base commit. Commits nothing: the server makes one report of all PRPs. Raises ContractError for a payload of
    another shape, GitError, OSError.
    """
    path, findings = spec.payload.get("path"), _findings(spec.payload.get("findings"))
    if not isinstance(path, str):
        raise ContractError("payload", "needs path and findings")
    reporter.progress(0, f"Reviewing {path}", "review")
    text, missing = _document(spec, path)
    if missing:
        findings.append(missing)
    findings += _lint(spec, reporter, _changed(spec.payload.get("changed")))
    for finding in findings:
        reporter.note("warning", "finding", f"{finding['severity']}: {finding['place']}: {finding['message']}")
    repository = attached_repository(spec.repository)
    checkout = Checkout(repository, spec.checkout, f"{spec.attempt_dir}/index", spec.attempt_ref)
    told = replace(spec, payload={**spec.payload, "diff": _diff(spec, repository)})
    outcome = ask(told, reporter, checkout, (text or b"").decode("utf-8", "replace"))
    if outcome is not None and outcome.failure is not None:
        return failed(spec, reporter, outcome)
    semantic: dict[str, Any] = {"judged": False, "note": NOT_JUDGED}
    if outcome is not None:
        findings += _judged(spec, checkout.path, outcome.answer)
        semantic = {"judged": True, "note": outcome.answer["summary"], "opinions": outcome.answer["opinions"]}
    reporter.note("info", "semantic", semantic["note"])
    return TaskResult(
        task_id=spec.task_id,
        prp_id=spec.prp_id,
        status=ResultStatus.SUCCESS,
        attempt=spec.attempt,
        token=spec.token,
        base_commit=spec.base_commit,
        head_commit=spec.base_commit,
        report={
            "findings": findings,
            "document": {"path": path, "bytes": None if text is None else len(text)},
            "semantic": semantic,
        },
        **use_of(outcome),
    )


def _judged(spec: TaskSpec, checkout: str, answer: dict[str, Any]) -> list[dict[str, str]]:
    """A reader's findings and opinions as findings. What no file of the repository shows weighs nothing."""
    found = []
    for item in answer["findings"]:
        shown = _names_a_file(checkout, f"{item['place']} {item['evidence']}")
        severity = item["severity"] if shown else "info"
        evidence = f" Evidence: {item['evidence']}" if shown else " (It names no file of the repository as evidence.)"
        message = (item["message"].strip() + evidence)[:SAID_CHARACTERS]
        said = {"place": item["place"], "message": message, "suggestion": item["suggestion"]}
        found.append({"severity": severity, "category": "semantic", **said})
    texts = {gate["position"]: gate["text"] for gate in spec.payload.get("unverified", ())}
    for item in answer["opinions"]:
        if item["gate"] in texts:
            words = item["opinion"].replace("_", " ")
            message = f'In a reader\'s opinion "{texts[item["gate"]]}": {words}. {item["evidence"]}'[:SAID_CHARACTERS]
            severity = "minor" if item["opinion"] == "does_not_hold" else "info"
            place = f"{spec.prp_id}, gate {item['gate']}"
            found.append({"severity": severity, "category": "opinion", "place": place, "message": message, "suggestion": ""})
    return found


def _names_a_file(checkout: str, text: str) -> bool:
    words = (word.strip("`'\"()[]{}<>.,;:").split(":")[0] for word in text.split())
    root = os.path.realpath(checkout) + os.sep
    paths = (os.path.realpath(os.path.join(checkout, word)) for word in words if word and "\0" not in word)
    return any(path.startswith(root) and os.path.isfile(path) for path in paths)


def _document(spec: TaskSpec, path: str) -> tuple[bytes | None, dict[str, str] | None]:
    """The PRP's document as it stands on the branch, or a finding that says why there is none."""
    try:
        text = read_document(attached_repository(spec.repository), spec.base_commit, path)
    except NotADocument as problem:
        text, reason = None, str(problem)
    else:
        reason = f"The document is not on the batch's branch at {spec.base_commit[:12]}."
    if text is not None:
        return text, None
    advice = "Bring it back from the branch's history."
    return None, {"severity": "major", "category": "structure", "place": path, "message": reason, "suggestion": advice}


def _diff(spec: TaskSpec, repository: Repository) -> str:
    """What the phase changed, cut to a length; "" before execution, or when its commits are gone. Raises ContractError, GitError."""
    work = spec.payload.get("work")
    if not work:
        return ""
    if not isinstance(work, dict) or not all(isinstance(work.get(name), str) for name in ("base", "head")):
        raise ContractError("payload: work", "needs base and head, two commits")
    if any(repository.find_commit(work[name]) is None for name in ("base", "head")):
        return ""
    return diff_to_read(repository, work["base"], work["head"])


def _lint(spec: TaskSpec, reporter: Reporter, changed: list[str]) -> list[dict[str, str]]:
    """What the checkers say of the changed files on the merged tree, as at most one finding."""
    if not changed:
        return []
    from subagents.clean_checkout import CleanCheckout
    from subagents.gates import Judge

    reporter.progress(0, "Making the checkout of the merged commit", "checkout")
    clean = CleanCheckout(spec, attached_repository(spec.repository), spec.base_commit)
    gate = GateSpec(1, "Syntax and lint of the changed files", GateKind.SYNTAX)
    [outcome] = Judge(spec, clean, changed, reporter).judge((gate,))
    if outcome.status != GateStatus.FAILED:
        return []
    said = " ".join((outcome.output or outcome.note).split())[:SAID_CHARACTERS]
    message = f"`{outcome.command}` ended with exit code {outcome.exit_code}: {said}"
    place = f"{spec.prp_id}, changed files"
    return [{"severity": "major", "category": "lint", "place": place, "message": message, "suggestion": "Fix what the checker names."}]


def _changed(given: Any) -> list[str]:
    if not isinstance(given, list) or not all(isinstance(path, str) for path in given):
        raise ContractError("payload: changed", "is not a list of paths")
    return list(given)


def _findings(given: Any) -> list[dict[str, str]]:
    shaped = isinstance(given, list) and all(
        isinstance(item, dict) and set(item) == FINDING_FIELDS and all(isinstance(value, str) for value in item.values()) for item in given
    )
    if not shaped:
        raise ContractError("payload: findings", f"is not a list of findings with {', '.join(sorted(FINDING_FIELDS))}")
    return list(given)
