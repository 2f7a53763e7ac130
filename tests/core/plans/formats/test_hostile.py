"""Documents made to be slow or broken: a reader answers, in time, whatever the signs of a format promise."""

import time

import pytest

from batches.core.plans.formats import FORMATS, Document
from batches.core.plans.reader import read_plan

SIZE = 100_000
DOCUMENTS = {
    "tasks without end": "---\nplan: 1\n---\n<objective>\n<tasks>\n" + "<task type='auto'>\n" * (SIZE // 19),
    "runs above blank lines": "# P\n\n### Task 1: A\n\n- [ ] **Step 1: B**\n\n" + ("Run: `a`\n" + "\n" * 400) * (SIZE // 410),
    "a table's dashes": "# P\n\n## Phase 1: A\n\n- a\n\n## Phase 2: B\n\n- b\n\n| a |\n" + "-" * 9000 + "x\n| b |\n",
    "blanks in titles": "# P\n\n" + "".join(f"- [ ] {n}. a{' ' * 9000}(depends on: x\n" for n in range(1, 12)),
    "notes of tasks": "# Epic: a\n\n## Tasks Created\n" + "".join(f"- [ ] {n}.md - a{' ' * 9000}b (parallel\n" for n in range(1, 12)),
    "headings done": "# P\n\n" + "".join(f"## Phase {n}: {'(done ' * 1500}\n\n- a\n\n" for n in range(1, 12)),
    "deep boxes": "# P\n\n" + "".join(f"{' ' * (2 * (n % 18))}- [ ] {n}. a\n" for n in range(1, 3000)),
    "stories": "# E\n\nAcceptance Criteria\n\n" + "### Story 1.1: a\n\n**Given** b\n\n" * (SIZE // 40),
    "spec-kit": "# T\n\n"
    + "".join(f"## Phase {n}: Part {n}\n\n- [ ] T{n:03} a (depends on T001)\n\n" for n in range(1, 400))
    + "## Dependencies\n\n"
    + "- Phase 1 blocks Phase 2 before Phase 3\n" * 500,
    "json without end": '{"userStories": [' * 5000,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_hostile_document_answers_in_time(name):
    started = time.process_time()
    read_plan(DOCUMENTS[name])
    assert time.process_time() - started < 2.0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "- [ ] ",
        "#",
        "# \n##",
        "---\ntodos:\n---",
        "---\ntodos: [3, {}]\n---\n",
        "[{}]",
        '{"tasks": [{"id": null, "title": 3, "subtasks": 4}]}',
    ],
)
def test_no_reader_raises_on_what_is_hardly_there(text):
    for known in FORMATS:
        document = Document(text)
        if known.recognise(document):
            known.read(document)
