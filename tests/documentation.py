"""Checks the links of the built documentation, when ExDoc has written its pages (`make docs`).

    python3 tests/documentation.py FOLDER

ExDoc warns of references to what does not exist in the code, but follows no link to a place in a
page, and none that is written in HTML. Links to other sites are not followed. It needs nothing but
the standard library.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Loaded by every page of ExDoc, and written where a site is published in several versions.
_OPTIONAL = frozenset({"docs_config.js"})

#: Attributes that name a place or a file, by element.
_TARGETS = {"a": "href", "link": "href", "img": "src", "script": "src"}


@dataclass
class Page(HTMLParser):
    """The places in a page, and the links of it."""

    places: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the element's place and its link."""
        attributes = dict(attrs)
        self.places.update(it for it in (attributes.get("id"), attributes.get("name")) if it)
        if link := attributes.get(_TARGETS.get(tag, "")):
            self.links.append(link)


def read(path: Path) -> Page:
    """Reads a page."""
    page = Page()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def broken(folder: Path) -> Iterator[tuple[str, str]]:
    """The pages of a folder with each of their links that leads nowhere."""
    pages = {path.resolve(): read(path) for path in sorted(folder.glob("*.html"))}
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc or link in _OPTIONAL:
                continue
            target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
            place = unquote(parts.fragment)
            lost = place and target in pages and place not in pages[target].places
            if lost or not target.is_file():
                yield path.name, link


def report(found: Iterable[tuple[str, str]]) -> list[str]:
    """One line for each link, with the pages that have it: a menu's is in all of them."""
    by_link: dict[str, list[str]] = {}
    for page, link in found:
        by_link.setdefault(link, []).append(page)
    return [
        f"broken link {link} in {pages[0]}"
        + (f" and {len(pages) - 1} other pages" if len(pages) > 1 else "")
        for link, pages in by_link.items()
    ]


def main(arguments: Sequence[str]) -> int:
    """Prints the broken links of a folder."""
    folder = Path(arguments[0])
    if not (folder / "index.html").is_file():
        print(f"{folder} holds no documentation: it has no index.html", file=sys.stderr)
        return 2
    lines = report(broken(folder))
    print("\n".join(lines) if lines else f"no broken links in {folder}")
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
