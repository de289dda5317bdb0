"""HDF5 files of h5py: netc reads the weights, or rejects the file and names how they are stored."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

from harness import assert_close, load, netc, netc_run, run

KERNEL = np.arange(12, dtype="float32").reshape(4, 3)
PLACE = "layers/dense/vars/0"
NODE = {"class_name": "__keras_tensor__", "config": {"shape": [None, 4], "dtype": "float32", "keras_history": ["x", 0, 0]}}
MODEL = {
    "module": "keras.src.models.functional",
    "class_name": "Functional",
    "config": {
        "name": "m",
        "layers": [
            {
                "module": "keras.layers", "class_name": "InputLayer", "name": "x", "inbound_nodes": [],
                "config": {"batch_shape": [None, 4], "dtype": "float32", "name": "x"},
            },
            {
                "module": "keras.layers", "class_name": "Dense", "name": "d1",
                "config": {"name": "d1", "units": 3, "activation": "linear", "use_bias": False, "dtype": "float32"},
                "inbound_nodes": [{"args": [NODE], "kwargs": {}}],
            },
        ],
        "input_layers": [["x", 0, 0]],
        "output_layers": [["d1", 0, 0]],
    },
}  # fmt: skip


def keras_file(path, edit, config=None, **options):
    """A model whose file of weights is changed by `edit`."""
    weights = io.BytesIO()
    with h5py.File(weights, "w", **options) as file:
        file[PLACE] = KERNEL
        edit(file)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(MODEL) if config is None else config)
        archive.writestr("model.weights.h5", weights.getvalue())
    return path


def stored(dtype="f4", values=KERNEL, **options):
    """Stores the kernel as a dataset of this kind; without values, the dataset is never written."""

    def edit(file):
        del file[PLACE]
        dataset = file.create_dataset(PLACE, (4, 3), dtype, **options)
        if values is not None:
            dataset[: len(values)] = values

    return edit


def low_level(edit_properties):
    """Stores the kernel as a dataset with properties for which h5py has no option."""

    def edit(file):
        del file[PLACE]
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        edit_properties(properties)
        group, space = file["layers/dense/vars"].id, h5py.h5s.create_simple((4, 3))
        made = h5py.h5d.create(group, b"0", h5py.h5t.IEEE_F32LE, space, properties)
        h5py.Dataset(made)[...] = KERNEL

    return edit


def implicit(properties):
    properties.set_chunk((2, 3))
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)


def named_type(file):
    file["type"] = np.dtype("f4")
    stored(file["type"])(file)


def nothing(file):
    pass


# File formats that libraries before HDF5 2.0 read.
BOUNDS = [("earliest", "v114"), ("v114", "v114")]
FILLED = np.full((4, 3), 2.5, "float32")
READ = {
    "plain": (nothing, KERNEL),
    "one chunk": (stored(chunks=(4, 3)), KERNEL),
    "chunks": (stored(chunks=(2, 2)), KERNEL),
    "unlimited": (stored(chunks=(2, 3), maxshape=(None, 3)), KERNEL),
    "filters": (stored(chunks=(2, 3), compression="gzip", shuffle=True, fletcher32=True), KERNEL),
    "lzf": (stored(chunks=(2, 3), compression="lzf"), KERNEL),
    "implicit": (low_level(implicit), KERNEL),
    "compact": (low_level(lambda properties: properties.set_layout(h5py.h5d.COMPACT)), KERNEL),
    "named type": (named_type, KERNEL),
    "half": (stored("f2"), KERNEL),
    "big-endian": (stored(">f4"), KERNEL),
    "big-endian chunks": (stored(">f8", chunks=(2, 3), compression="gzip"), KERNEL),
    "never written": (stored(values=None), np.zeros((4, 3), "float32")),
    "never written, with a fill value": (stored(values=None, fillvalue=2.5), FILLED),
    "never written, big-endian": (stored(">f4", values=None, fillvalue=2.5), FILLED),
    "never written, in chunks": (stored(values=None, chunks=(2, 3), fillvalue=2.5), FILLED),
    "never written, unlimited": (
        stored(values=None, chunks=(2, 3), maxshape=(None, None), fillvalue=2.5), FILLED
    ),
    "half written": (stored(values=KERNEL[:2], chunks=(2, 3), fillvalue=2.5), np.vstack([KERNEL[:2], FILLED[:2]])),
}  # fmt: skip


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("case", READ)
def test_stored_weights_are_read(case, bounds, tmp_path):
    edit, kernel = READ[case]
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    path = keras_file(tmp_path / "m.keras", edit, libver=bounds)
    assert_close(netc_run(path, {"x": x}, tmp_path), [x @ kernel])
    netc(path, "-o", tmp_path / "again.keras")
    assert_close(run(load(tmp_path / "again.keras"), [x]), [x @ kernel])


@pytest.mark.parametrize("options", [{}, {"chunks": (2, 3), "maxshape": (None, 3)}])
def test_empty_arrays_are_kept(options, tmp_path):
    place = "layers/own/vars/0"
    own = json.dumps(MODEL).replace('"class_name": "Dense"', '"class_name": "Own"').replace("keras.layers", "mine")
    own = own.replace('"module": "mine", "class_name": "InputLayer"', '"module": "keras.layers", "class_name": "InputLayer"')

    def edit(file):
        del file[PLACE]
        file.create_dataset(place, (0, 3), "f4", **options)

    path = keras_file(tmp_path / "m.keras", edit, own)
    netc(path, "-o", tmp_path / "again.keras")
    with zipfile.ZipFile(tmp_path / "again.keras") as archive, h5py.File(archive.open("model.weights.h5")) as file:
        assert file[place].shape == (0, 3) and file[place].dtype == np.float32


def test_user_block_is_skipped(tmp_path):
    x = np.ones((1, 4), "float32")
    path = keras_file(tmp_path / "m.keras", nothing, userblock_size=1024)
    assert_close(netc_run(path, {"x": x}, tmp_path), [x @ KERNEL])
    with h5py.File(tmp_path / "m.h5", "w", userblock_size=2048) as file:
        file.attrs["model_config"] = json.dumps(MODEL)
        file.attrs["keras_version"] = "3.0.0"
    assert "Functional" in netc("inspect", tmp_path / "m.h5", "--weights", path).stdout


def linked(link):
    def edit(file):
        file["kernel"] = KERNEL
        del file[PLACE]
        file[PLACE] = link

    return edit


def group_linked(file):
    file.move("layers/dense", "dense")
    file["layers/dense"] = h5py.SoftLink("/dense")


def ordered(link, others=0):
    """Adds a link to a group of the new format, which stores many links differently from few."""

    def edit(file):
        group = file.create_group("layers/ordered", track_order=True)
        for i in range(others):
            group[f"v{i}"] = KERNEL
        group["link"] = link

    return edit


def virtual(file):
    del file[PLACE]
    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[...] = h5py.VirtualSource("other.h5", "x", (4, 3))
    file.create_virtual_dataset(PLACE, layout)


def many(n, removed=(), link=None):
    """Adds a group with `n` links, removes some, and may add a soft link."""

    def edit(file):
        group = file.create_group("layers/many")
        for i in range(n):
            group[f"v{i}"] = file[PLACE]
        if link is not None:
            group["link"] = link
        group["gone"] = h5py.SoftLink("/nowhere")
        for name in ["gone", *removed]:
            del group[name]

    return edit


def truth_values(file):
    """Stores a byte that is neither 0 nor 1 as a boolean."""
    del file[PLACE]
    file.create_dataset(PLACE, (4, 3), bool, chunks=(4, 3))[...] = np.full((4, 3), 2, "u1").view(bool)


SOFT, OUT = h5py.SoftLink("/kernel"), h5py.ExternalLink("other.h5", "/kernel")
REFUSED = {
    "soft link among 3000": (many(3000, link=SOFT), ["layers/many/link", "a soft link to `/kernel`"]),
    "soft link after removed ones": (
        many(50, [f"v{i}" for i in range(45)], SOFT), ["layers/many/link", "a soft link to `/kernel`"]
    ),
    "soft link after a removed one": (many(3, ["v0"], SOFT), ["layers/many/link", "a soft link to `/kernel`"]),
    "soft link with a path too long for its group": (
        ordered(h5py.SoftLink("/" + "k" * 10_000), 300), ["layers/ordered", "the links of this group cannot be listed"]
    ),
    "soft link": (linked(SOFT), [PLACE, "a soft link to `/kernel`"]),
    "soft link to a group": (group_linked, ["layers/dense", "a soft link to `/dense`"]),
    "external link": (linked(OUT), [PLACE, "an external link to `/kernel` of the file `other.h5`"]),
    "soft link in a group of the new form": (ordered(SOFT), ["layers/ordered/link", "a soft link to `/kernel`"]),
    "soft link among many": (ordered(SOFT, 300), ["layers/ordered/link", "a soft link to `/kernel`"]),
    "external link among many": (ordered(OUT, 20), ["layers/ordered/link", "an external link to `/kernel`"]),
    "external storage": (
        lambda file: (file.pop(PLACE), file.create_dataset(PLACE, (4, 3), "f4", external=[("raw.bin", 0, 48)])),
        [PLACE, "external storage"],
    ),
    "truth values": (truth_values, ["d1/vars/0", "booleans other than 0 and 1"]),
    "virtual": (virtual, [PLACE, "a virtual dataset"]),
    "szip": (stored(chunks=(4, 3), compression="szip"), [PLACE, "filter 4 (szip)"]),
}  # fmt: skip


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("case", REFUSED)
def test_unsupported_storage_is_named(case, bounds, tmp_path):
    edit, parts = REFUSED[case]
    path = keras_file(tmp_path / "m.keras", edit, libver=bounds)
    error = netc(path, "-o", tmp_path / "x.keras", code=1).stderr
    assert all(part in error for part in [str(path), *parts]), error


def test_layout_of_hdf5_2_is_rejected(tmp_path):
    edit = stored(chunks=(2, 3), compression="gzip")
    path = keras_file(tmp_path / "m.keras", edit, libver="latest")
    if h5py.version.hdf5_version_tuple >= (2, 0, 0):
        assert "its layout has version 5" in netc("inspect", path, code=1).stderr
    else:
        netc("inspect", path)


def test_version_2_b_tree_of_chunks_is_rejected(tmp_path):
    edit = stored(chunks=(2, 3), maxshape=(None, None))
    error = netc("inspect", keras_file(tmp_path / "new.keras", edit, libver="latest"), code=1).stderr
    assert PLACE in error and "a version 2 B-tree" in error
    netc("inspect", keras_file(tmp_path / "old.keras", edit, libver="earliest"))


@pytest.mark.parametrize("libver", ["earliest", "v114", "latest"])
@pytest.mark.parametrize("n", [2, 50, 3000, 20_000])
def test_groups_with_many_and_removed_links_are_read(n, libver, tmp_path):
    def edit(file):
        group = file.create_group("layers/many", track_order=n == 50)
        for i in range(n):
            group.create_group(f"a_name_that_is_long_{i}")
        group["gone"] = h5py.SoftLink("/nowhere")
        del group["gone"], group["a_name_that_is_long_1"]

    x = np.ones((1, 4), "float32")
    path = keras_file(tmp_path / "m.keras", edit, libver=libver)
    assert_close(netc_run(path, {"x": x}, tmp_path), [x @ KERNEL])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_json_with_byte_order_mark_or_utf_16_is_read(encoding, tmp_path):
    marks = {"utf-16-le": "\ufeff", "utf-16-be": "\ufeff"}
    config = (marks.get(encoding, "") + json.dumps(MODEL)).encode(encoding)
    x = np.ones((1, 4), "float32")
    path = keras_file(tmp_path / "m.keras", nothing, config)
    assert_close(netc_run(path, {"x": x}, tmp_path), [x @ KERNEL])
    (tmp_path / "model.json").write_bytes(config)
    netc(tmp_path / "model.json", "--weights", path, "-o", tmp_path / "again.keras")
    assert_close(run(load(tmp_path / "again.keras"), [x]), [x @ KERNEL])


def test_cyclic_groups_are_rejected(tmp_path):
    """A group that contains itself is visited once."""

    def edit(file):
        file["layers/dense/again"] = file["layers"]

    error = netc("inspect", keras_file(tmp_path / "m.keras", edit), code=1).stderr
    assert "links that form a cycle" in error or "more objects than it has room for" in error
