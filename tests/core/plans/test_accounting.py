"""Every line of a document is accounted for: what no reader marks is prose for the agent, or listed as unread."""

from batches.core.plans.unread import Account, ReadAs

TEXT = """# Plan
intro

### Phase 1: A
prose
- a step
  more of it
- [ ] lost
      with a part

  and another
**Owner**: Ann
| a | b |
|---|---|
```sh
- not an item
```
* * *
"""


def test_what_is_not_marked_is_sorted_by_what_it_is():
    account = Account(TEXT.split("\n"))
    account.mark(ReadAs.TITLE, 1)
    account.mark(ReadAs.PHASE, 4)
    account.mark(ReadAs.STEP, 6, 7)
    read = account.close([(4, 18)])
    assert [(piece.line, piece.end_line, piece.kind.value) for piece in read.unread] == [
        (8, 11, "check-box"),
        (12, 12, "label"),
        (13, 14, "table"),
        (15, 17, "code"),
    ]
    assert [read.read_as(line).name for line in (2, 3, 5, 7, 9, 18, 19)] == [
        "OVERVIEW",
        "BLANK",
        "NOTES",
        "STEP",
        "UNREAD",
        "NOTES",
        "BLANK",
    ]
    assert read.unread[0].text.startswith("- [ ] lost\n")
