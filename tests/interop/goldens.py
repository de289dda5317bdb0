"""Records what Keras computes for each layer and operation of `test_layers.py`, for `tests/golden.rs`.

    python tests/interop/goldens.py tests/golden

Run it in the environment of `requirements.txt`. Each file has the cases of one kind, numbered: the expression, the
`.keras` file, the inputs and the outputs. Weights and inputs are rounded to a few bits to keep the files small; outputs
are not rounded.
"""

import io
import json
import sys
import tempfile
import zipfile
from functools import partial
from pathlib import Path

import keras
import numpy as np

import test_layers as cases
from harness import inputs_of, randomise, run

KINDS = {
    "row": cases.ROW,
    "image": cases.IMAGE,
    "image_first": cases.IMAGE_FIRST,
    "steps": cases.STEPS,
    "volume": cases.VOLUME,
    "open_image": cases.OPEN_IMAGE,
    "open_steps": cases.OPEN_STEPS,
}


def layer(shape, expression):
    inputs = {name: keras.Input(shape, name=name) for name in "xyz"}
    outputs = eval(expression, cases.NAMES, dict(inputs))
    return keras.Model([t for name, t in inputs.items() if name in cases.names_in(expression)], outputs)


def activation(name):
    x = keras.Input(cases.ROW, name="x")
    return keras.Model(x, [keras.layers.Activation(name)(x * 4.0), keras.layers.Dense(6, activation=name)(x)])


def rounded(array, step):
    floats = array.dtype.kind == "f"
    return (np.round(array * step) / step).astype(array.dtype) if floats else array


def coarse(model):
    for weight in randomise(model).weights:
        array = np.asarray(weight)
        # Variances, which are divisors, stay away from 0.
        weight.assign(np.maximum(rounded(array, 32), 1 / 32) if "variance" in weight.path else rounded(array, 32))
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return model


def quantised(shape, expression, inputs):
    """A model with 8-bit weights. `inputs` configures how its inputs are quantised; `None` is the default of Keras."""
    x = keras.Input(shape, name="x")
    model = coarse(keras.Model(x, eval(expression, cases.NAMES, {"x": x})))
    model.quantize("int8", config=inputs and keras.quantizers.Int8QuantizationConfig(**inputs))
    return model


def file_of(model, folder):
    """The bytes of the model's file, without its timestamp."""
    model.save(folder / "m.keras")
    with zipfile.ZipFile(folder / "m.keras") as saved:
        members = {name: saved.read(name) for name in saved.namelist()}
    members["metadata.json"] = json.dumps({"keras_version": keras.__version__})
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return out.getvalue()


def record(path, models, temporary):
    arrays = {}
    for i, (text, make) in enumerate(models):
        keras.utils.clear_session()
        model = make()
        inputs = [rounded(array, 16) for array in inputs_of(model).values()]
        arrays[f"{i}/case"] = np.frombuffer(text.encode(), "uint8")
        arrays[f"{i}/model"] = np.frombuffer(file_of(model, temporary), "uint8")
        arrays |= {f"{i}/in{k}": array for k, array in enumerate(inputs)}
        arrays |= {f"{i}/out{k}": np.asarray(array) for k, array in enumerate(run(model, inputs))}
    np.savez_compressed(path, **arrays)


def kinds():
    for kind, shape in KINDS.items():
        lines = [line for of, line in cases.LINES if of == shape]
        yield kind, [(line, partial(lambda s, line: coarse(layer(s, line)), shape, line)) for line in lines]
    yield "activations", [(name, partial(lambda name: coarse(activation(name)), name)) for name in cases.ACTIVATIONS]
    narrow = keras.quantizers.AbsMaxQuantizer(value_range=(-15, 15), epsilon=1e-3)
    small = [(shape, line) for shape, line in cases.QUANTISED if shape != (3000,)]
    ways = [None, {"activation_quantizer": None}, {"activation_quantizer": narrow}]
    yield "quantised", [(line, partial(quantised, shape, line, way)) for shape, line in small for way in ways]


def main(folder):
    folder = Path(folder)
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        for kind, models in kinds():
            record(folder / f"{kind}.npz", models, Path(temporary))


if __name__ == "__main__":
    main(*sys.argv[1:])
