"""The Python that the book shows runs with the real Keras, on the files that the page's commands write."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [page for page in sorted((ROOT / "docs").glob("**/*.md")) if "\n```python\n" in page.read_text()]


def test_the_guide_has_python():
    assert {"first-split", "transfer-learning", "deploy"} <= {page.stem for page in PAGES}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_page(page, tmp_path):
    # In a process of its own: there, layers are initialised as in the user's Keras.
    runner = Path(__file__).with_name("page.py")
    done = subprocess.run([sys.executable, runner, page, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
