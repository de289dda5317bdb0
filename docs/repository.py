"""A preprocessor of mdBook: turns links that leave the book into links to the repository.

Pages link to sources by relative paths, which work in a checkout and wherever the repository is shown. In the built book
those files are missing, so the links lead to the repository that `book.toml` names.
"""

import json
import posixpath
import re
import sys

LINK = re.compile(r"\]\((\.\./[^)\s]+)\)")


def rewrite(items, repository):
    for item in items:
        if not isinstance(item, dict) or "Chapter" not in item:
            continue
        chapter = item["Chapter"]
        folder = posixpath.join("docs", posixpath.dirname(chapter["path"] or ""))

        def target(match):
            path = posixpath.normpath(posixpath.join(folder, match[1]))
            return match[0] if path.startswith("docs/") else f"]({repository}/blob/main/{path})"

        chapter["content"] = LINK.sub(target, chapter["content"])
        rewrite(chapter["sub_items"], repository)


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    context, book = json.load(sys.stdin)
    rewrite(book["items"], context["config"]["output"]["html"]["git-repository-url"])
    json.dump(book, sys.stdout)


main()
