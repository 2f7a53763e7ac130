"""Templates can be read and reviewed like code, and what is only for their readers is not sent."""

import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from ce_web.template_loader import squeeze

ROOT = Path(__file__).resolve().parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))


def test_a_worker_has_imported_and_compiled_all_pages_before_its_first_visitor(tmp_path):
    program = (
        "import sys, ce_web.wsgi; from django.template import engines; from django.urls import get_resolver;"
        "print(len(engines['django'].engine.template_loaders[0].get_template_cache), 'batches.pages.batches.batch' in sys.modules,"
        " 'batches' in get_resolver().namespace_dict)"
    )
    own = {"CE_DATA_DIR": str(tmp_path), "DATABASE_URL": f"sqlite:///{tmp_path}/db.sqlite3", "DJANGO_SETTINGS_MODULE": "ce_web.settings"}
    environment = os.environ | own
    found = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    compiled, imported, addresses = found.stdout.split()
    assert int(compiled) >= len(TEMPLATES) and (imported, addresses) == ("True", "True")


def test_lines_are_short():
    lines = [(path.name, line) for path in TEMPLATES for line in path.read_text(encoding="utf-8").splitlines()]
    assert sum(len(line) for _, line in lines) / len(lines) < 60
    assert [(name, line) for name, line in lines if len(line) > 160] == []


def sentences(source: str) -> set[str]:
    """What is written for people, of six words and more: texts between tags, labels and hints, in lower case."""
    source = re.sub(r"\{#.*?#\}", "", source)
    source = re.sub(r"\{\{.*?\}\}", "…", source)
    source = re.sub(r"\s*\{%.*?%\}\s*", "|", source, flags=re.DOTALL)
    hints = re.findall(r'(?:aria-label|title|placeholder)="([^"]*)"', source)
    texts = re.sub(r'<(?:"[^"]*"|[^<>"])*>', "|", source).split("|")
    found = set()
    for sentence in (part for text in (*texts, *hints) for part in re.split(r"(?<=[.!?:;])\s", text)):
        words = re.findall(r"[\w’'-]+", sentence.lower())
        if len(words) >= 6:
            found.add(" ".join(words))
    return found


def test_no_sentence_stands_in_two_templates():
    places = defaultdict(list)
    for path in TEMPLATES:
        for sentence in sentences(path.read_text(encoding="utf-8")):
            places[sentence].append(str(path.relative_to(ROOT)))
    assert {sentence: names for sentence, names in places.items() if len(names) > 1} == {}


SHAPES = {"banners", "box", "brief", "detail", "foot", "head", "info", "item", "mark", "misc", "part", "place", "row", "rows", "status"}


def shapes(name: str) -> set[str]:
    """The words in the name of a template that say where something stands on a page, and not what it says."""
    return set(name.removesuffix(".html").strip("_").split("_")) & SHAPES


def test_a_template_is_called_by_what_it_says():
    """Who has seen words on a page finds their file by its name: `_repairs` and `_disk_nearly_full`, not `_banners`."""
    assert {path.name: found for path in TEMPLATES if (found := shapes(path.name))} == {}
    assert shapes("_list_foot.html") == {"foot"}


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("<ul>\n  <li>a</li>\n\n  <li>b</li>\n</ul>\n", "<ul> <li>a</li> <li>b</li> </ul>"),
        ("{% load ce %}\n<p>\n  one\n  two\n</p>", "{% load ce %}<p> one two </p>"),
        ("a\n{% if x %}\n  b\n{% endif %}\nc", "a{% if x %} b{% endif %} c"),
        ("a{% if x %}, b{% endif %}", "a{% if x %}, b{% endif %}"),
        ("a\n{% pill x %}\nb", "a {% pill x %} b"),
        ("<pre>\n a\n\n b\n</pre>\n<p>\n</p>", "<pre>\n a\n\n b\n</pre> <p> </p>"),
        ('<textarea\n  id="x">\n a</textarea>', '<textarea\n  id="x">\n a</textarea>'),
    ],
)
def test_indentation_is_not_sent_and_what_can_be_seen_is(written, sent):
    assert squeeze(written) == sent
