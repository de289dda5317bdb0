"""Runs what a page of the book shows, in order: the commands of its `console` blocks and its `python` blocks.

    NETC=target/release/netc python tests/interop/page.py docs/guide/transfer-learning.md FOLDER

Python blocks share their variables. One that begins with `# NAME.py` is written to that file instead, for a command to
run. A command that ends in `&` runs until the page ends; the next one waits for its first line. What commands print is
compared by `tests/pages.rs`, which has no Keras and leaves the Python out.
"""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$|^<!-- (setup)\n(.*?)^-->$", re.MULTILINE | re.DOTALL)


def parts(page):
    """The kinds and texts of the page's blocks, and the line each begins at."""
    for match in BLOCK.finditer(page):
        kind, text = (match[1], match[2]) if match[1] else (match[3], match[4])
        yield kind, text, page.count("\n", 0, match.start()) + 1


def commands(kind, text):
    """The commands of a block, and whether each shows that it fails."""
    if kind == "setup":
        return [(line, False) for line in text.splitlines()]
    shown = re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]
    return [(command.splitlines()[0], "\nerror: " in command) for command in shown]


def environment(folder):
    """A folder of tools: `netc`, and this Python."""
    tools = folder / ".bin"
    tools.mkdir()
    netc = Path(os.environ.get("NETC", ROOT / "target/release/netc")).resolve()
    (tools / "netc").symlink_to(netc)
    (tools / "python").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    (tools / "python").chmod(0o755)
    for name in ["layers", "examples"]:
        (folder / name).symlink_to(ROOT / name)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    backend = os.environ.get("KERAS_BACKEND", "jax")
    return {"PATH": f"{tools}:{os.environ['PATH']}", "PORT": str(port), "KERAS_BACKEND": backend}


def run(page, folder):
    os.environ.update(environment(folder))
    os.chdir(folder)
    variables, running = {}, []
    try:
        for kind, text, line in parts(page.read_text()):
            name = re.match(r"# (\w+\.py)\n", text)
            if kind == "python" and name:
                Path(name[1]).write_text(text)
            elif kind == "python":
                # As many lines first as are above the block, so that an error names the line of the page.
                exec(compile("\n" * line + text, page, "exec"), variables)
            else:
                for command, fails in commands(kind, text):
                    start(command, fails, running)
    finally:
        for process in running:
            process.kill()


def start(command, fails, running):
    if command.endswith(" &"):
        # Without a shell in between, so that the process itself is ended.
        process = subprocess.Popen(command.removesuffix(" &").split(), stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout.readline(), f"`{command}` ended before it printed anything"
        return
    code = subprocess.run(["bash", "-c", command]).returncode
    assert (code != 0) == fails, f"`{command}`: exit {code}"


if __name__ == "__main__":
    run(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve())
