"""mdBook builds the book in `docs/`, and every link in it leads somewhere."""

import re
import subprocess
import sys
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
MDBOOK = Path(sys.executable).with_name("mdbook")
# Where links to files outside the book lead: `docs/repository.py` writes them.
REPOSITORY = re.search(r'git-repository-url = "(.*)"', (ROOT / "docs/book.toml").read_text())[1] + "/blob/main/"


@cache
def text(page):
    return page.read_text()


def is_dead(page, link):
    if link.startswith(REPOSITORY):
        return not (ROOT / link.removeprefix(REPOSITORY).split("#")[0]).exists()
    if "://" in link:
        return False
    file, _, anchor = link.partition("#")
    target = (page.parent / file).resolve() if file else page
    return not target.exists() or bool(anchor) and f'id="{anchor}"' not in text(target)


def test_every_link_of_the_book_leads_somewhere(tmp_path):
    done = subprocess.run([MDBOOK, "build", ROOT / "docs", "-d", tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARN" not in done.stderr, done.stderr
    pages = [page for page in sorted(tmp_path.rglob("*.html")) if page.name != "404.html"]
    assert len(pages) > 20
    links = [(page, link) for page in pages for link in re.findall(r' (?:href|src)="([^"]*)"', text(page))]
    assert any(link.startswith(REPOSITORY) for _, link in links)
    dead = [f"{page.relative_to(tmp_path)}: {link}" for page, link in links if is_dead(page, link)]
    assert not dead, "\n".join(dead)
