"""Files of tf.keras 2.15 whose calls have more than tensors: netc copies and cuts them for tf.keras, and converts them
to Keras 3."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness import assert_close, load, netc, netc_run, run, run_chain, split

HERE = Path(__file__).parent


def tf_keras(python, what, folder):
    command = [python, HERE / "tensorflow_models.py", what, folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tf_python, tmp_path_factory):
    """The folder of models."""
    folder = tmp_path_factory.mktemp("tensorflow")
    tf_keras(tf_python, "save", folder)
    return folder


def recorded(folder, name):
    """The inputs and outputs, with 32-bit integers, because JAX has no 64-bit ones."""
    with np.load(folder / f"{name}.npz") as arrays:
        by_kind = [[arrays[k] for k in sorted(arrays.files) if k.startswith(kind)] for kind in ("in", "out")]
    return [[a.astype("int32") if a.dtype == "int64" else a for a in arrays] for arrays in by_kind]


CUTS = {"states": "enc", "shared": "cut@0"}
INPUTS = {"twins": "xy", "remainders": "xy", "states": ["x", "h", "c", "image"], "shared": "x", "losses": "x", "functions": "x"}
FORMATS = [(name, end) for name in ("twins", "remainders", "states", "shared", "losses", "functions") for end in ("h5", "keras")]


def test_tf_keras_loads_rewritten_files(tf_python, folder):
    for name in ("twins", "remainders", "others", "states", "shared", "losses", "functions"):
        netc(folder / f"{name}.h5", "-o", folder / f"{name}.copy.h5")
        split(folder / f"{name}.h5", CUTS.get(name, "cut"), folder / name, "--format", "h5")
    tf_keras(tf_python, "check", folder)


@pytest.mark.parametrize(("name", "end"), FORMATS)
def test_keras_3_matches_tf_keras(name, end, folder, tmp_path):
    netc(folder / f"{name}.{end}", "-o", tmp_path / "modern.keras")
    inputs, outputs = recorded(folder, name)
    assert_close(run(load(tmp_path / "modern.keras"), inputs), outputs)


@pytest.mark.parametrize(("name", "end"), FORMATS)
def test_stages_in_keras_3_match_tf_keras(name, end, folder, tmp_path):
    split(folder / f"{name}.{end}", CUTS.get(name, "cut"), tmp_path)
    inputs, outputs = recorded(folder, name)
    assert_close(run_chain(tmp_path, dict(zip(INPUTS[name], inputs))), outputs)


@pytest.mark.parametrize("name", ["twins", "states", "shared", "losses"])
def test_netc_matches_tf_keras(name, folder, tmp_path):
    inputs, outputs = recorded(folder, name)
    assert_close(netc_run(folder / f"{name}.h5", dict(zip(INPUTS[name], inputs)), tmp_path), outputs)


def test_operations_missing_from_keras_3_are_named(folder, tmp_path):
    refused = netc(folder / "others.h5", "-o", tmp_path / "m.keras", code=1)
    assert "`tf." in refused.stderr and "`keras.ops` has no operation" in refused.stderr


def test_dropped_losses_are_named(folder, tmp_path):
    note = "the losses and metrics of `add_loss`, `add_metric` are dropped"
    assert note in netc(folder / "losses.h5", "-o", tmp_path / "m.keras").stdout
    assert note in netc(folder / "losses.h5", "--pass", "split=cut", "--format", "h5", "-o", tmp_path / "s").stdout
    assert note not in netc(folder / "losses.h5", "-o", tmp_path / "m.h5").stdout


INTEGERS = """
import sys, keras
x = keras.Input((4, 3), dtype="int32")
keras.Model(x, keras.layers.GlobalAveragePooling1D(name="own")(x)).save(sys.argv[1], save_format="h5")
"""


def test_average_of_integers_is_rejected_for_keras_3(tf_python, tmp_path):
    subprocess.run([tf_python, "-c", INTEGERS, tmp_path / "m.h5"], check=True, capture_output=True)
    error = netc(tmp_path / "m.h5", "-o", tmp_path / "m.keras", code=1).stderr
    assert "layer `own`: Keras 3 converts its integer inputs to floats" in error, error
