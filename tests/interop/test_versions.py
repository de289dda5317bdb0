"""Files of the first Keras 3 pass through netc, and the results load in the first and in the newest Keras 3."""

import subprocess
from pathlib import Path

import pytest

import environments
import harness
import versions_models
from harness import assert_round_trip, netc

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def old_python():
    """The Python of an environment with the first Keras 3."""
    return environments.environment("keras-3.0", "requirements-old.txt")


def old(python, what, folder):
    command = [python, HERE / "versions_models.py", what, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def split_all(folder):
    """Writes every model in the folder back, and splits it."""
    for make, cut in versions_models.CUTS.items():
        path = folder / f"{make.__name__}.keras"
        assert_round_trip(path, folder).rename(folder / f"{make.__name__}.again.keras")
        harness.split(path, cut, folder / make.__name__)
        netc("diff", path, folder / make.__name__ / "manifest.json")


def test_files_of_the_first_keras(old_python, tmp_path):
    old(old_python, "save", tmp_path)
    split_all(tmp_path)
    old(old_python, "check", tmp_path)
    versions_models.check(tmp_path)


def test_files_of_the_newest_keras(tmp_path):
    versions_models.save(tmp_path)
    split_all(tmp_path)
    versions_models.check(tmp_path)
