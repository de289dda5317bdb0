"""Layers inside layers from tf.keras 2.15: netc reads both of its formats, and the files of netc load and compute the
same."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness import assert_close, load, netc, netc_run, run, run_chain, split

HERE = Path(__file__).parent
MODELS = ["attention", "spectral", "cells", "wrapped", "graph", "inner"]
# The layer to cut each model at.
CUT = "first"


def in_keras_2(python, what, folder):
    done = subprocess.run([python, HERE / "composite_models.py", what, folder], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="session")
def saved(tf_python, tmp_path_factory):
    """The folder of models that Keras 2 saved."""
    folder = tmp_path_factory.mktemp("composite")
    in_keras_2(tf_python, "save", folder)
    return folder


def recorded(folder, name):
    with np.load(folder / f"{name}.npz") as data:
        return data["in0"], data["out0"]


@pytest.mark.parametrize("format", ["keras", "h5"])
def test_netc_runs_a_wrapped_model(format, saved, tmp_path):
    x, expected = recorded(saved, "graph")
    assert_close(netc_run(saved / f"graph.{format}", {"x": x}, tmp_path), [expected])


@pytest.mark.parametrize("format", ["keras", "h5"])
@pytest.mark.parametrize("name", MODELS)
def test_keras_3_matches_tf_keras(name, format, saved, tmp_path):
    x, expected = recorded(saved, name)
    netc(saved / f"{name}.{format}", "-o", tmp_path / "new.keras")
    assert_close(run(load(tmp_path / "new.keras"), [x]), [expected])
    split(saved / f"{name}.{format}", CUT, tmp_path / "stages", "--format", "keras")
    assert_close(run_chain(tmp_path / "stages", {"x": x}), [expected])


def test_tf_keras_loads_rewritten_files(tf_python, saved):
    for name in MODELS:
        netc(saved / f"{name}.h5", "-o", saved / f"{name}.again.h5")
        split(saved / f"{name}.h5", CUT, saved / f"{name}.stages", "--format", "h5")
    in_keras_2(tf_python, "check", saved)
