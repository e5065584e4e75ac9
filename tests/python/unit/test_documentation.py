"""The check of the built documentation, on pages of a few lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import documentation

INDEX = """
<a href="other.html#here">right</a> <a href="#top">right</a> <h1 id="top"></h1>
<a href="https://example.org/gone.html">another site</a> <a href="mailto:x@example.org">mail</a>
<a href="my%20page.html#a%2Fb">with encoded characters</a> <a href="docs_config.js">optional</a>
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A documentation without a fault."""
    (tmp_path / "index.html").write_text(INDEX)
    (tmp_path / "other.html").write_text('<p id="here"></p><img src="picture.png">')
    (tmp_path / "my page.html").write_text('<a name="a/b"></a><link href="style.css">')
    for name in ("picture.png", "style.css"):
        (tmp_path / name).touch()
    return tmp_path


def test_links_to_pages_places_and_files_that_there_are_pass(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert documentation.main([str(folder)]) == 0
    assert "no broken links" in capsys.readouterr().out


@pytest.mark.parametrize(
    "link",
    ["gone.html", "other.html#gone", "#gone", "my%20page.html#a", "../gone", "folder/other.html"],
)
def test_a_link_that_leads_nowhere_fails(
    folder: Path, link: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one.html", "two.html"):
        (folder / name).write_text(f'<a href="{link}">x</a>')
    assert documentation.main([str(folder)]) == 1
    assert capsys.readouterr().out == f"broken link {link} in one.html and 1 other pages\n"


@pytest.mark.parametrize("element", ['<img src="gone.png">', '<script src="gone.png"></script>'])
def test_files_of_a_page_are_links_too(folder: Path, element: str) -> None:
    (folder / "one.html").write_text(element)
    assert list(documentation.broken(folder)) == [("one.html", "gone.png")]


def test_a_folder_without_pages_is_no_documentation(tmp_path: Path) -> None:
    assert documentation.main([str(tmp_path)]) == 2
