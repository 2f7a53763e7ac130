"""The plotting script comes from here, for ever, and compressed where the installation made a copy."""

import gzip

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from whitenoise.middleware import WhiteNoiseMiddleware

from ce_web import static_files

PLOTLY_NAME = settings.CE_PLOTLY_NAME

pytestmark = pytest.mark.django_db  # closing an answer looks after the database's connections


def served(rf, **headers):
    middleware = WhiteNoiseMiddleware(lambda request: None)
    return middleware(rf.get(f"/static/{PLOTLY_NAME}", **headers))


def test_the_plotting_script_is_kept_by_browsers_for_ever(rf):
    answer = served(rf)
    assert answer.status_code == 200 and answer["Content-Type"].startswith("text/javascript")
    assert "immutable" in answer["Cache-Control"] and "max-age=315360000" in answer["Cache-Control"]
    answer.close()


def test_a_compressed_copy_is_served_where_there_is_one(rf, tmp_path, monkeypatch):
    source = tmp_path / "plotly.min.js"
    source.write_text("window.Plotly = {};" * 50)
    monkeypatch.setattr(static_files, "plotly_source", lambda: source)
    plain = served(rf, HTTP_ACCEPT_ENCODING="gzip")
    assert not plain.has_header("Content-Encoding")
    plain.close()
    static_files.compress_plotly()
    answer = served(rf, HTTP_ACCEPT_ENCODING="gzip")
    assert answer["Content-Encoding"] == "gzip"
    assert gzip.decompress(b"".join(answer.streaming_content)) == source.read_bytes()
    answer.close()


def test_no_other_file_of_the_package_can_be_asked_for():
    assert finders.find(PLOTLY_NAME)
    assert not any(finders.find(name) for name in ("plotly.min.js", "widgetbundle.js", f"x/{PLOTLY_NAME}"))
