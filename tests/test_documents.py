"""Documents say what the code does."""

import re

from tests.installation import ROOT

READS = re.compile(r"""(?:env_\w+\(|environ(?:\.get\(|\[))\s*["']([A-Z][A-Z_]+)["']""")


def read_by_the_code() -> set[str]:
    files = (ROOT / "ce_web" / "settings.py", ROOT / "ce_web" / "env.py")
    return {name for file in files for name in READS.findall(file.read_text(encoding="utf-8"))}


def listed_in_the_document() -> list[str]:
    return re.findall(r"^\| `([A-Z_]+)` \|", (ROOT / "docs" / "settings.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_every_variable_that_is_read_is_in_the_settings_document_once():
    listed = listed_in_the_document()
    assert {"SECRET_KEY", "CE_DATA_DIR", "CE_SLOTS"} <= read_by_the_code()
    assert sorted(listed) == sorted(read_by_the_code())


def test_links_between_documents_lead_somewhere():
    broken = []
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            if not (document.parent / target).exists():
                broken.append(f"{document.name}: {target}")
    assert not broken


def test_commands_in_the_readme_exist():
    commands = set(re.findall(r"manage\.py ([a-z_]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    known = {path.stem for path in (ROOT / "batches" / "management" / "commands").glob("*.py")}
    assert commands and commands <= known | {"migrate"}


def test_every_document_is_in_an_index():
    """The index in reading order, and the dated index of decisions."""
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in (ROOT / "docs").glob("*.md") if page.name != "README.md" and f"({page.name})" not in index] == []
    decisions = ROOT / "docs" / "decisions"
    dated = (decisions / "README.md").read_text(encoding="utf-8")
    assert [page.name for page in decisions.glob("*.md") if page.name != "README.md" and f"({page.name})" not in dated] == []


def test_files_that_guides_name_exist():
    missing, path = [], re.compile(r"`((?:batches|subagents|ce_web|tests|templates|docs|examples|bench)/[\w./-]*)`")
    for guide in ("CONTRIBUTING.md", "AGENTS.md", "docs/glossary.md", "docs/architecture.md"):
        for name in path.findall((ROOT / guide).read_text("utf-8")):
            if not (ROOT / name).exists():
                missing.append(f"{guide}: {name}")
    assert not missing


def test_the_glossary_is_in_order_and_defines_each_word_once():
    words = re.findall(r"^\| ([^|]+?) \| (?!meaning)[^-]", (ROOT / "docs" / "glossary.md").read_text("utf-8"), re.MULTILINE)
    assert len(words) > 40 and words == sorted(set(words), key=str.lower)
