"""Diffs as a page shows them: numbers, what changed inside a line, two sides, colours of code."""

from hypothesis import given
from hypothesis import strategies as st

from batches.core.text.diff import compared, read_diff, side_by_side
from batches.core.text.highlight import style_lines

DIFF = """diff --git a/x.py b/x.py
index 1..2 100644
--- a/x.py
+++ b/x.py
@@ -3,4 +3,5 @@ def part():
 import os
-    return first(1)
-gone
+    return second(1)
+
+-- not a header
 last
diff --git a/y.txt b/y.txt
new file mode 100644
--- /dev/null
+++ b/y.txt
@@ -0,0 +1 @@
+hello
\\ No newline at end of file
"""


def test_lines_carry_the_numbers_of_their_sides():
    first, second = read_diff(DIFF).files
    assert [(line.kind, line.old, line.new) for line in first.lines] == [
        *(("hunk", None, None), ("", 3, 3), ("del", 4, None), ("del", 5, None)),
        *(("add", None, 4), ("add", None, 5), ("add", None, 6), ("", 6, 7)),
    ]
    assert (first.name, first.added, first.removed, first.what) == ("x.py", 3, 2, "modified")
    assert (second.added, second.what) == (1, "created")


def test_only_the_words_that_differ_are_marked():
    lines = compared(read_diff(DIFF).files[0].lines)
    marked = [[line.text[start:end] for start, end in line.marks] for line in lines]
    assert marked[2] == ["first"] and marked[4] == ["second"]
    assert not any(marked[3] + marked[5]), "lines with nothing in common are not compared"


def test_side_by_side_sets_what_was_replaced_beside_its_replacement():
    pairs = [(left and left.text, right and right.text) for left, right in side_by_side(read_diff(DIFF).files[0].lines)]
    assert pairs[2:5] == [("    return first(1)", "    return second(1)"), ("gone", ""), (None, "-- not a header")]


@given(st.lists(st.tuples(st.sampled_from("+- "), st.text(alphabet="ab (\t\x1b<", max_size=12)), max_size=20))
def test_nothing_is_lost_on_either_side(rows):
    text = "diff --git a/x b/x\n@@ -1 +1 @@\n" + "".join(f"{sign}{line}\n" for sign, line in rows)
    lines = compared(read_diff(text).files[0].lines)
    pairs = list(side_by_side(lines))
    for at, sign in ((0, "+"), (1, "-")):
        seen = [pair[at].text for pair in pairs if pair[at] is not None and pair[at].kind != "hunk"]
        assert seen == [line for mark, line in rows if mark != sign]
    assert all(0 <= start < end <= len(line.text) for line in lines for start, end in line.marks)


def test_code_is_coloured_by_the_name_of_its_file_and_long_lines_stay_plain():
    (styles,) = style_lines("a.py", ["def part():  # why"])
    assert (0, 3, "s-keyword") in styles and (13, 18, "s-comment") in styles
    assert style_lines("a.unknown", ["def"]) is None
    assert style_lines("a.js", ["x" * 2_000]) is None


def test_a_diff_is_split_into_files_and_the_rest_is_counted():
    text = "diff --git a/x.py b/x.py\n--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-old\n+new\n+more\ndiff --git a/y b/y\n@@ -0,0 +1 @@\n+y\n"
    diff = read_diff(text)
    assert [(file.name, file.added, file.removed) for file in diff.files] == [("x.py", 2, 1), ("y", 1, 0)]
    assert read_diff(text, limit=5).left_out == 5
