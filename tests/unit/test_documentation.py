"""The Markdown pages: their links have targets, and README's code runs."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

import prunescope
import synthetic
from prunescope.files import write_parquet

REPOSITORY = Path(prunescope.__file__).parents[3]
FOLDERS = ("", "docs", "config", "results", "profiles", "tests/gpu")
PAGES = [path for folder in FOLDERS for path in sorted((REPOSITORY / folder).glob("*.md"))]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")


def prose(page: Path) -> str:
    """The text of a page without code blocks and inline code."""
    return re.sub(r"`[^`\n]*`", "``", FENCED.sub("", page.read_text()))


def anchors(page: Path) -> set[str]:
    """The anchors that code hosts generate from a page's headings."""
    headings = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken(page: Path) -> list[str]:
    """The links of a page to files or headings that do not exist."""
    found = []
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path if path else page
        inside = Path(os.path.normpath(target)).is_relative_to(REPOSITORY)
        if not (inside and target.exists()) or (anchor and anchor not in anchors(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_links_lead_somewhere(page):
    assert not broken(page)


def test_broken_links_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr("test_documentation.REPOSITORY", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("# A `key` of it\n[a](#a-key-of-it) [b](#b) [c](no.md) `[d](no.md)` [e](page.md#a)\n")
    assert broken(page) == ["#b", "no.md", "page.md#a"]


def test_every_page_is_in_the_index():
    index = REPOSITORY / "docs/README.md"
    linked = {(index.parent / link.partition("#")[0]).resolve() for link in LINK.findall(prose(index))}
    pages = {*(REPOSITORY / "docs").glob("*.md"), *(REPOSITORY / "docs").glob("*.ipynb")} - {index}
    assert pages <= linked


def test_the_readme_is_short_and_its_python_runs(tmp_path, monkeypatch, capsys):
    text = (REPOSITORY / "README.md").read_text()
    assert text.count("\n") <= 150
    write_parquet(
        tmp_path / "results/digits-lenet/similarity.parquet",
        synthetic.stored(synthetic.similarity(3, ["relu1", "output"], [0, 1], ["cca"]), ["relu1", "output"]),
    )
    monkeypatch.chdir(tmp_path)
    blocks = [code for language, code in FENCED.findall(text) if language == "python"]
    assert len(blocks) == 3
    for code in blocks:
        exec(code, {})
        assert capsys.readouterr().out.strip(), code
