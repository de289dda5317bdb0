"""Hostile files: netc rejects them quickly, with memory in proportion to the file.

netc runs in 900 MB of address space, too little for the memory that these files ask for. It is killed after 30 seconds,
long before it could follow them to the end. Reading the largest file may take 410 MB, and the command's allocator
reserves as much address space again.
"""

import json
import resource
import subprocess
import zipfile
import zlib

import keras
import numpy as np
import pytest

from harness import NETC
from test_hdf5 import KERNEL, MODEL, PLACE, keras_file

ADDRESS_SPACE = 900 << 20


def inspect(path):
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE, ADDRESS_SPACE))  # noqa: E731
    return subprocess.run([NETC, "inspect", path], capture_output=True, text=True, timeout=30, preexec_fn=limit)


def refused(path, *parts):
    ran = inspect(path)
    assert ran.returncode == 1 and ran.stderr.startswith("error: "), ran.stderr[-500:]
    assert len(ran.stderr) < 8200
    for part in parts:
        assert part in ran.stderr, ran.stderr


def config_file(path, config):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", b"")
    return path


def test_json_that_inflates_to_far_more_than_the_file(tmp_path):
    config = json.dumps(MODEL)[:-1] + ', "z": [' + "0," * (125 << 20) + "0]}"
    refused(config_file(tmp_path / "m.keras", config), "`config.json` inflates to too much for the size of the file")


def test_json_of_many_values(tmp_path):
    path = tmp_path / "m.json"
    path.write_text('{"class_name": "Functional", "z": [' + "0," * (4 << 20) + "0]}")
    # 8 MB of text need about sixteen times as much memory.
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (450 << 20, 450 << 20))  # noqa: E731
    ran = subprocess.run([NETC, "inspect", path], capture_output=True, text=True, preexec_fn=limit)
    assert ran.returncode == 1 and "error: " in ran.stderr, ran.stderr[-500:]


def test_many_links_to_one_header(tmp_path):
    def edit(file):
        for i in range(60):
            file[PLACE].attrs.create(f"a{i}", np.zeros(60000, "u1"))
        for i in range(20000):
            file[f"zz/l{i}"] = file[PLACE]

    refused(keras_file(tmp_path / "m.keras", edit), "too many of its links lead to the same place")


def test_links_to_a_group_of_links(tmp_path):
    def edit(file):
        file["T"] = np.dtype("f4")
        group = file.create_group("B")
        for i in range(30000):
            group[f"t{i}"] = file["T"]
        for i in range(2000):
            file[f"C/g{i}"] = group

    refused(keras_file(tmp_path / "m.keras", edit), "too many of its links lead to the same place")


@pytest.mark.parametrize("rows, links", [(7 << 18, 0), (1 << 13, 2000)])
def test_chunks_that_inflate_to_more_than_the_dataset(tmp_path, rows, links):
    def edit(file):
        del file[PLACE]
        options = {"chunks": (rows, 512), "maxshape": (None, None), "compression": "gzip", "compression_opts": 9}
        dataset = file.create_dataset(PLACE, (4, 3), "f4", **options)
        deflate = zlib.compressobj(9)
        zeros = [deflate.compress(b"\0" * (1 << 20)) for _ in range(rows * 2048 >> 20)]
        dataset.id.write_direct_chunk((0, 0), b"".join([*zeros, deflate.flush()]), 0)
        for i in range(links):
            file[f"zz/l{i}"] = dataset

    refused(keras_file(tmp_path / "m.keras", edit), "too")


def test_long_names_are_shortened_in_messages(tmp_path):
    config = json.loads(json.dumps(MODEL))
    config["config"]["output_layers"] = [["d" * (5 << 20), 0, 0]]
    refused(keras_file(tmp_path / "m.keras", lambda file: None, json.dumps(config)), "…")


def test_lowering_stops_at_max_steps(tmp_path):
    x = keras.Input((50, 3))
    keras.Model(x, keras.layers.LSTM(2, name="lstm")(x)).save(tmp_path / "m.keras")
    lower = lambda *more: subprocess.run(  # noqa: E731
        [NETC, tmp_path / "m.keras", "--pass", "lower", *more], capture_output=True, text=True
    )
    assert lower().returncode == 0
    ran = lower("--max-steps", "100")
    assert ran.returncode == 1 and "layer `lstm` would make the program larger than 100 ops" in ran.stderr, ran.stderr


def test_harmless_file_is_read(tmp_path):
    ran = inspect(keras_file(tmp_path / "m.keras", lambda file: None))
    assert ran.returncode == 0 and str(KERNEL.size) in ran.stdout, ran.stderr
