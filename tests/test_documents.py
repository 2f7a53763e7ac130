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
    for document in (*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            if not (document.parent / target).exists():
                broken.append(f"{document.name}: {target}")
    assert not broken


def test_commands_in_the_readme_exist():
    commands = set(re.findall(r"manage\.py ([a-z_]+)", (ROOT / "README.md").read_text(encoding="utf-8")))
    known = {path.stem for path in (ROOT / "batches" / "management" / "commands").glob("*.py")}
    assert commands and commands <= known | {"migrate"}
