"""netc reads the seeds of the fuzz targets, which Keras and h5py write."""

import subprocess
import sys
from pathlib import Path

import pytest

from harness import netc

SCRIPT = Path(__file__).parents[2] / "fuzz/keras_seeds.py"


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    subprocess.run([sys.executable, str(SCRIPT), str(folder)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("target, suffix", [("keras_zip", "keras"), ("keras_h5", "h5"), ("keras_config", "json")])
def test_seeds_are_models(seeds, tmp_path, target, suffix):
    files = sorted((seeds / target).iterdir())
    assert len(files) == 3
    for file in files:
        model = tmp_path / f"{file.name}.{suffix}"
        model.write_bytes(file.read_bytes())
        netc("inspect", model)


def test_every_target_has_seeds(seeds):
    assert {path.name for path in seeds.iterdir()} == {
        "hdf5", "keras_config", "keras_h5", "keras_zip", "npy", "npz", "weights_file"
    }
