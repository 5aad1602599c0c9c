"""The documentation is built without a warning, and the reference has every public name."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rtae
import rtae.analysis
import rtae.codec
import rtae.live
import rtae.segment

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", folder]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder


def test_every_public_name_is_in_the_reference(site):
    page = (site / "api" / "index.html").read_text()
    headings = set(re.findall(r'<h\d id="rtae\.([\w.]+)"', page))
    names = {name.rpartition(".")[2] for name in headings}
    modules = (rtae, rtae.live, rtae.codec, rtae.segment, rtae.analysis)
    public = {name for module in modules for name in module.__all__} - {"__version__"}
    assert len(public) > 40 and public - names == set()
    # Docstrings come as sections, not as running text.
    assert page.count("doc-section-title") > 20


def test_every_page_is_reached_from_the_first(site):
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")} - {"index"}
    linked = set(re.findall(r"\]\((\w+)\.md", (ROOT / "docs" / "index.md").read_text()))
    assert pages and pages - linked == set()
