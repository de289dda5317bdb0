"""netc and Keras compute the same for generated models with every layer and every shape of graph."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODELS = os.environ.get("NETC_KERAS_MODELS", ROOT / "target/debug/examples/keras_models")
FIRST, COUNT, STEPS = 0, int(os.environ.get("NETC_GENERATED_MODELS", 60)), 10


def compare(folder, count, *options):
    """Compares Keras and netc on `count` models."""
    subprocess.run([str(MODELS), str(folder), str(FIRST), str(count), str(STEPS), *options], check=True)
    command = [sys.executable, str(Path(__file__).with_name("generated.py")), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{count} models\n", done.stdout


def test_generated_models_match_keras(tmp_path):
    compare(tmp_path, COUNT)


def test_reduced_models_match_keras(tmp_path):
    compare(tmp_path, COUNT // 2, "reduced")
