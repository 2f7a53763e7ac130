"""What people say to an agent while it works: files in the attempt's directory, each read once (docs/agents.md, "Steering").

The ticker puts a message there, and the runner takes it. Both may be killed at any line: a message that is there, or was read, is
not put there again. The text never goes through a shell, and the sandbox shows no part of the inbox.
"""

from __future__ import annotations

import os

from subagents.contract import ContractError, dump_json, read_json_file, write_atomic
from subagents.record import record

FOLDER = "inbox"
MESSAGE_BYTES = 256 * 1024
TELLS = frozenset({"claude"})  # backends whose agent is told while it works

WORDS = """A person says while you work ({by}, {at}). It counts more than the plan where the two differ:

<message>
{text}
</message>"""


@record
class Letter:
    """A message: its number within the attempt, who says it and when (ISO 8601), and the text."""

    number: int
    by: str
    at: str
    text: str

    def words(self) -> str:
        """As the agent reads it."""
        return WORDS.format(by=self.by, at=self.at, text=self.text)


def put(attempt_dir: str, letter: Letter) -> None:
    """Put a message into the inbox, unless it is there or was read. Raises OSError."""
    if os.path.exists(_path(attempt_dir, letter.number)) or was_read(attempt_dir, letter.number):
        return
    os.makedirs(os.path.join(attempt_dir, FOLDER), mode=0o700, exist_ok=True)
    write_atomic(_path(attempt_dir, letter.number), dump_json({"by": letter.by, "at": letter.at, "text": letter.text}))


def was_read(attempt_dir: str, number: int) -> bool:
    """Whether the runner has taken the message."""
    return os.path.exists(_path(attempt_dir, number) + ".read")


def take(attempt_dir: str) -> list[Letter]:
    """The messages that nobody has read yet, in order; they count as read from now on. A file that is none is left alone."""
    try:
        names = os.listdir(os.path.join(attempt_dir, FOLDER))
    except OSError:
        return []
    found = []
    for number in sorted(int(name.removesuffix(".json")) for name in names if name.endswith(".json") and name[:-5].isdigit()):
        path = _path(attempt_dir, number)
        try:
            data = read_json_file(path, MESSAGE_BYTES) or {}
            letter = Letter(number, str(data["by"]), str(data["at"]), str(data["text"]))
            os.rename(path, path + ".read")
        except (ContractError, OSError, KeyError, TypeError):
            continue
        found.append(letter)
    return found


def put_answer(attempt_dir: str, number: int, text: str, by: str) -> None:
    """Put the answer to the agent's question `number` there, once. Raises OSError."""
    path = _path(attempt_dir, number, "answer")
    if not os.path.exists(path):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        write_atomic(path, dump_json({"text": text, "by": by}))


def answer_to(attempt_dir: str, number: int) -> tuple[str, str] | None:
    """(the answer to the agent's question `number`, who gave it); None while there is none."""
    try:
        data = read_json_file(_path(attempt_dir, number, "answer"), MESSAGE_BYTES)
        return None if data is None else (str(data["text"]), str(data["by"]))
    except (ContractError, OSError, KeyError, TypeError):
        return None


def _path(attempt_dir: str, number: int, kind: str = "") -> str:
    return os.path.join(attempt_dir, FOLDER, f"{kind}{number:04d}.json")
