"""Adds files written by the real Keras and h5py to the seeds of the readers.

Usage: python keras_seeds.py FOLDER, in an environment with Keras (tests/interop/requirements.txt). The files differ
from netc's own: HDF5 of the oldest version, zip members in another order, shared and nested models.
"""

import io
import os
import sys
import tempfile
import zipfile
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "jax")

import h5py
import keras
import numpy as np
from keras import layers


def functional():
    x = keras.Input((5, 4, 2), name="image")
    shared = layers.Conv2D(2, 2, padding="same", activation="relu")
    y = layers.Add()([shared(x), shared(x[:, ::-1])])
    y = layers.BatchNormalization()(y) * 2.0
    tower = keras.Sequential([layers.Dense(3), layers.LayerNormalization()], name="tower")
    pooled = layers.GlobalAveragePooling2D()(tower(y))
    return keras.Model({"image": x}, {"a": layers.Dense(2)(pooled), "b": keras.ops.mean(y, axis=-1)})


def sequential():
    return keras.Sequential(
        [keras.Input((6,)), layers.Reshape((3, 2)), layers.LSTM(2), layers.Dropout(0.5), layers.Softmax()]
    )


def text():
    x = keras.Input((4,), dtype="int32")
    y = layers.Embedding(5, 4)(x)
    y = layers.MultiHeadAttention(2, 2)(y, y)
    return keras.Model(x, layers.Flatten()(layers.Conv1D(2, 2, dtype="float16")(y)))


def files():
    """Yields a name and the bytes of a model as .keras and as .h5."""
    with tempfile.TemporaryDirectory() as folder:
        for i, model in enumerate([functional(), sequential(), text()]):
            if i == 0:
                # Both formats store the optimizer's state.
                model.compile("adam", "mse")
                model.optimizer.build(model.trainable_variables)
            archive, hdf5 = Path(folder, "model.keras"), Path(folder, "model.h5")
            model.save(archive)
            model.save(hdf5)
            yield f"keras{i}", archive.read_bytes(), hdf5.read_bytes()


def rewritten(weights, name, libver=None, **storage):
    """Rewrites the HDF5 file with another version of the format or another storage of datasets."""
    out = io.BytesIO()
    with h5py.File(io.BytesIO(weights)) as old, h5py.File(out, "w", libver=libver) as new:
        def copy(path, item):
            if isinstance(item, h5py.Dataset):
                chunked = storage if item.shape else {}
                copied = new.create_dataset(path, data=item[()], **chunked)
            else:
                copied = new.require_group(path)
            copied.attrs.update(item.attrs)

        old.visititems(copy)
    return name, out.getvalue()


def main(folder):
    def save(target, name, data):
        (folder / target).mkdir(parents=True, exist_ok=True)
        (folder / target / name).write_bytes(data)

    for name, data, hdf5 in files():
        archive = zipfile.ZipFile(io.BytesIO(data))
        weights = archive.read("model.weights.h5")
        save("keras_zip", name, data)
        save("keras_h5", name, hdf5)
        save("keras_config", name, archive.read("config.json"))
        save("hdf5", name, weights)
        save("weights_file", name, weights)
        save("hdf5", *rewritten(weights, f"{name}_latest", libver="latest"))
        save("hdf5", *rewritten(weights, f"{name}_deflated", compression="gzip", shuffle=True, fletcher32=True))
        save("hdf5", *rewritten(weights, f"{name}_chunked", libver="latest", chunks=True))
    for dtype in ["<f4", ">i2", "?", "<c8", "<U3", "<M8[s]"]:
        file = io.BytesIO()
        np.save(file, np.zeros((2, 3), dtype, order="F"))
        save("npy", f"numpy_{ord(dtype[0])}{dtype[1:3]}", file.getvalue())
    for write, name in [(np.savez, "numpy"), (np.savez_compressed, "numpy_deflated")]:
        file = io.BytesIO()
        write(file, a=np.arange(6.0), b=np.zeros((0, 2), "i1"))
        save("npz", name, file.getvalue())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
