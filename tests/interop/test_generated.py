"""What netc computes of generated models of every layer and every shape of graph is what Keras computes."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MODELS = os.environ.get("NETC_KERAS_MODELS", ROOT / "target/debug/examples/keras_models")
FIRST, COUNT, STEPS = 0, int(os.environ.get("NETC_GENERATED_MODELS", 60)), 10


def test_lower_matches_keras(tmp_path):
    subprocess.run([str(MODELS), str(tmp_path), str(FIRST), str(COUNT), str(STEPS)], check=True)
    command = [sys.executable, str(Path(__file__).with_name("generated.py")), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{COUNT} models\n", done.stdout
