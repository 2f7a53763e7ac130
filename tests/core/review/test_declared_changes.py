"""Declared against actual files, and what a project's settings refuse."""

import pytest

from batches.core.review.declared_changes import FileRow, compare_files, refusal, undeclared

ALLOW = {"undeclared_edits": "allow", "deletions": "allow"}


def test_every_changed_path_and_every_untouched_declaration_has_a_row_the_odd_ones_first():
    rows = compare_files(["src/", "docs/*.md", "never.txt"], ["src/a.py", "odd.txt"], ["docs/x.md"], ["gone.txt"])
    assert rows == (
        FileRow("gone.txt", "deleted", False),
        FileRow("odd.txt", "created", False),
        FileRow("docs/x.md", "modified", True),
        FileRow("src/a.py", "created", True),
        FileRow("never.txt", "untouched", True),
    )


def test_a_directory_or_glob_declares_what_lies_in_it():
    assert undeclared(["src/", "*.md"], ["src/deep/a.py", "README.md", "srcs/b.py"]) == ["srcs/b.py"]


def test_by_default_everything_passes():
    assert refusal([], ["a"], ["b"], ["c"], **ALLOW) == ""


def test_any_deletion_is_refused_where_deletions_fail_declared_or_not():
    said = refusal(["b", "c"], [], ["b"], ["c"], **ALLOW | {"deletions": "fail"})
    assert said.startswith("Not merged: 1 file was deleted: c. Retry the phase")


def test_undeclared_changes_of_every_kind_are_refused_by_name_where_they_fail():
    said = refusal(["a"], ["a", "new"], ["edited"], ["gone"], **ALLOW | {"undeclared_edits": "fail"})
    assert "3 files were changed that the plan does not declare: edited, gone, new." in said


def test_a_deletion_is_named_once_when_both_settings_refuse_it():
    said = refusal([], [], [], ["gone"], undeclared_edits="fail", deletions="fail")
    assert said.count("gone") == 1


@pytest.mark.parametrize("setting", ["undeclared_edits", "deletions"])
def test_a_sentence_names_some_files_and_counts_the_rest(setting: str):
    said = refusal([], [], [], [f"f{number:02}" for number in range(30)], **ALLOW | {setting: "fail"})
    assert "30 files were" in said and "f19 and 10 more." in said and "f20" not in said


@pytest.mark.parametrize("deletions", ["allow", "fail"])
def test_where_nothing_was_deleted_or_deletions_are_allowed_nothing_is_said_of_them(deletions: str):
    gone = ["src/a.py"] if deletions == "allow" else []
    assert refusal(["src/a.py"], [], ["src/a.py"], gone, undeclared_edits="allow", deletions=deletions) == ""
