"""What the stand-in's model answers about an idea, in each way that it can go well or wrong."""

from typing import Any

from tests.subagents.messages_api import Refused, Reply, Scenario, Text, Tool, Turn, answer, said

QUESTIONS = [
    {"question": "Which format?", "answers": ["JSON", "YAML"]},
    {"question": "For whom?", "answers": ["Everybody", "Administrators"]},
]


def phase(title: str, **changes: Any) -> dict[str, Any]:
    given = {
        "title": title,
        "goal": f"{title} is done",
        "complexity": "low",
        "hours": 1.5,
        "files": [{"path": "README.md", "new": False}],
        "depends_on": [],
        "steps": [f"Do {title}."],
        "gates": [{"text": "It is there", "command": "test -f README.md"}],
    }
    return given | changes


def plan(*phases: dict[str, Any], title: str = "Export the data", **more: Any) -> dict[str, Any]:
    return {"title": title, "overview": "As JSON, for everybody.", "phases": list(phases), **more}


GOOD = plan(
    phase("Write it", files=[{"path": "export.py", "new": True}]),
    phase("Describe it", depends_on=[1], files=[{"path": "export.py", "new": False}, {"path": "README.md", "new": False}]),
)


def asked_for(turn: Turn) -> str:
    """What the newest prompt asks for, by its words."""
    texts = [str(message["content"]) for message in turn.body["messages"] if message["role"] == "user"]
    kinds = {
        "what you must ask the person": "questions",
        "Write the plan for it": "plan",
        "Write the whole plan anew": "revision",
        "Translate a document": "translation",
    }
    found = [(text.rfind(words), kind) for text in ["\n".join(texts)] for words, kind in kinds.items() if words in text]
    return max(found)[1]


def drafts(plan_answer: dict[str, Any] = GOOD, **others: Any) -> Scenario:
    """A model that asks QUESTIONS, then answers with the plan; `others` are its answers to other requests."""
    answers = {"questions": {"questions": QUESTIONS}, "plan": plan_answer, "revision": plan_answer} | others

    def scenario(turn: Turn) -> Reply:
        last = str(turn.body["messages"][-1]["content"])
        if "tool_result" not in last and turn.number == 0:
            return said(Text("I look."), Tool("Glob", {"pattern": "*.md"}))
        return said(answer(**answers[asked_for(turn)]))

    return scenario


def refuses(turn: Turn) -> Reply:
    return Reply((Text("I cannot help with that."),), stop_reason="refusal")


def says_nothing_of_use(turn: Turn) -> Reply:
    return said(Text("Here is my plan: do it."))


def costs_too_much(turn: Turn) -> Reply:
    return Reply((Text("I think."), Tool("Glob", {"pattern": "*.md"})), output_tokens=400_000)


SCENARIOS: dict[str, Scenario] = {
    "drafts": drafts(),
    "refuses": refuses,
    "says_nothing_of_use": says_nothing_of_use,
    "costs_too_much": costs_too_much,
    "no_phases": drafts(plan()),
    "circle": drafts(plan(phase("One", depends_on=[2]), phase("Two", depends_on=[1]))),
    "refused_key": lambda turn: Refused(401, "authentication_error", "invalid x-api-key"),
}
