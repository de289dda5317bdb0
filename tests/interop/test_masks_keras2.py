"""Masks at layers of several inputs in tf.keras 2.15: netc computes what it computes, no cut severs a mask, and netc
rejects conversions that Keras 3 would compute differently."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

import environments
from harness import assert_close, load, netc, netc_run, run

HERE = Path(__file__).parent
MERGES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"]
# Models that Keras 3 computes in the same way, and models that it does not.
ALIKE = ["Attention_two", "Attention_one", "AdditiveAttention_two", "AdditiveAttention_one", "Concatenate_steps"]
ALIKE += ["attention_two", "attention_one", "attention_causal"]
UNLIKE = [f"{name}_{of}" for name in MERGES for of in ("two", "one")] + ["attention_dropout", "encoder"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    command = [environments.tf_keras(), HERE / "masks_keras2_models.py", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


def recorded(folder, name):
    with np.load(folder / f"{name}.npz") as arrays:
        inputs = {key: arrays[key] for key in sorted(arrays.files) if key != "out"}
        return inputs, [arrays["out"]]


@pytest.mark.parametrize("end", ["h5", "keras"])
@pytest.mark.parametrize("name", ALIKE + UNLIKE)
def test_netc_matches_tf_keras(name, end, folder, tmp_path):
    inputs, outputs = recorded(folder, name)
    assert_close(netc_run(folder / f"{name}.{end}", inputs, tmp_path), outputs)


@pytest.mark.parametrize("name", ALIKE + UNLIKE)
def test_no_cut_severs_a_mask(name, folder, tmp_path):
    table = netc("cuts", folder / f"{name}.h5").stdout.splitlines()
    assert [line.split()[0] for line in table[1:]] == ["read"]
    refused = netc(folder / f"{name}.h5", "--pass", "split=mid", "-o", tmp_path, code=1)
    assert "the cut `mid` severs a mask" in refused.stderr


@pytest.mark.parametrize("name", ALIKE)
def test_keras_3_matches_tf_keras(name, folder, tmp_path):
    inputs, outputs = recorded(folder, name)
    netc(folder / f"{name}.h5", "-o", tmp_path / "new.keras")
    assert_close(run(load(tmp_path / "new.keras"), inputs.values()), outputs)


@pytest.mark.parametrize("name", UNLIKE)
def test_models_that_keras_3_computes_differently_are_rejected(name, folder, tmp_path):
    refused = netc(folder / f"{name}.h5", "-o", tmp_path / "new.keras", code=1)
    assert "Keras 2" in refused.stderr and "Keras 3" in refused.stderr
