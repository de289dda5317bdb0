"""The Keras part of `matrix.py`: `matrix_keras.py make FOLDER [fast]` or `matrix_keras.py judge JOBS VERDICTS`.

`make` saves every model in each form that the framework has, in a folder with `values.json`: the inputs, the outputs
that the framework computes, and the names of the layers. Forms that the framework itself cannot load are removed.
`judge` loads the files of netc that `JOBS` lists, and writes how much their outputs differ to `VERDICTS`.
"""

import importlib.util
import json
import os
import sys
import time
import zlib
from pathlib import Path
from types import ModuleType

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true")

import h5py
import keras
import numpy as np

import matrix_models
from matrix_models import KERAS_3, cases, classes_without_model, flatten

if KERAS_3:
    import conftest  # noqa: F401  Sets initial weights to NaN.
    from keras.src.backend.common import global_state

    pack = keras.tree.pack_sequence_as
else:
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    pack = tf.nest.pack_sequence_as


def fresh_names():
    """Resets the numbering of names, without the slow rest of `clear_session`."""
    if KERAS_3:
        global_state.set_global_attribute("object_name_uids", None)
    else:
        keras.backend.reset_uids()


# Making.


def make_all(folder, fast):
    """Saves the models, and a log of those that the framework cannot make, save or load."""
    log = {"classes without a model": classes_without_model(), "not made": {}, "not loaded": {}}
    for number, case in enumerate(cases()):
        if fast and case.kind != "features" and number % 6:
            continue
        place = folder / f"{number:03d}"
        try:
            fresh_names()
            model = case.make()
        except Exception as error:  # The framework does not have the class or argument.
            log["not made"][f"{case.row}: {case.text}"] = reason(error)
            continue
        place.mkdir(parents=True)
        try:
            make(place, case, model)
        except Exception as error:
            log["not made"][f"{case.row}: {case.text}"] = reason(error)
            for file in place.iterdir():
                file.unlink()
            place.rmdir()
    for place in sorted(folder.iterdir()):
        for form in forms(place):
            try:
                check(place, load_form(place, form))
            except Exception as error:
                values = json.loads((place / "values.json").read_text())
                log["not loaded"][f"{values['row']}: {values['text']}, {form}"] = reason(error)
                for name in FORMS[form]:
                    (place / name).rename(place / f"unloaded_{name}")
    if not KERAS_3:
        converter = tfjs_converter()
        for path in sorted(folder.glob("*/m.h5")):
            try:
                convert_to_tfjs(converter, path.parent)
            except Exception as error:  # For example two weights with the same name.
                log["not loaded"][f"{path.parent.name}, tfjs"] = reason(error)
    (folder / "log.json").write_text(json.dumps(log, indent=1))


# The forms in which a model is saved, and their files.
FORMS = {
    "h5": ["m.h5"],
    "keras": ["m.keras"],
    "json": ["m.json", "m.weights.h5"],
    "json-h5": ["m.legacy.json", "m.legacy.h5"],
}


def forms(place):
    return [form for form, names in FORMS.items() if all((place / name).exists() for name in names)]


def make(place, case, model):
    randomise(model, zlib.crc32(case.text.encode()))
    inputs = [number for number in numbers_for(model)]
    outputs = run(model, inputs)
    if not all(np.isfinite(y).all() for y in arrays(outputs) if y.dtype.kind == "f"):
        raise ValueError("the outputs are not finite")
    subject = getattr(model, "subject", None) or case.cut
    values = {
        "row": case.row, "text": case.text, "kind": case.kind, "cut": subject, "layers": named_layers(model),
        "class": type(model).__name__,
        "losses": len(model.losses), "structure": structure(outputs), "input_names": input_names(model),
        "inputs": [plain(x) for x in inputs], "outputs": [plain(y) for y in arrays(outputs)],
    }  # fmt: skip
    saves = {
        "m.keras": lambda path: model.save(path),
        "m.h5": lambda path: model.save(path),
        "m.json": lambda path: Path(path).write_text(model.to_json()),
        "m.weights.h5": lambda path: model.save_weights(path),
    }
    if not KERAS_3:
        saves["m.legacy.json"] = saves["m.json"]
        saves["m.legacy.h5"] = saves["m.weights.h5"]
    values["not saved"] = {}
    for name, save in saves.items():
        try:
            save(str(place / name))
        except Exception as error:
            values["not saved"][name] = reason(error)
            (place / name).unlink(missing_ok=True)
    (place / "values.json").write_text(json.dumps(values))


def tfjs_converter():
    """The part of `tensorflowjs_converter` that reads `.h5` files."""
    root = Path(importlib.util.find_spec("tensorflowjs").submodule_search_locations[0])
    # Empty packages, because the real ones import frameworks that this part does not need.
    for name, path in (("tensorflowjs", root), ("tensorflowjs.converters", root / "converters")):
        sys.modules[name] = ModuleType(name)
        sys.modules[name].__path__ = [str(path)]
    return importlib.import_module("tensorflowjs.converters.keras_h5_conversion")


def convert_to_tfjs(converter, place):
    """Writes the folder `tfjs` like `tensorflowjs_converter`."""
    with h5py.File(place / "m.h5") as file:
        topology, groups = converter.h5_merged_saved_model_to_tfjs_format(file)
    (place / "tfjs").mkdir()
    converter.write_artifacts(topology, groups, str(place / "tfjs"))


def load_form(place, form):
    if form in ("h5", "keras"):
        return load(place / FORMS[form][0])
    architecture, weights = FORMS[form]
    with keras.src.saving.serialization_lib.SafeModeScope(False):
        model = keras.models.model_from_json((place / architecture).read_text(), custom_objects=custom())
    model.load_weights(place / weights)
    return model


def check(place, model):
    """Raises unless the model computes the outputs recorded in the folder."""
    values = json.loads((place / "values.json").read_text())
    verdict = compare(run(model, in_order(model, values)), values)
    if "error" not in verdict or verdict["error"] > 1e-6:
        raise ValueError(f"the framework computes something else from its own file: {verdict}")


def named_layers(model, path=""):
    """The classes of all layers by path, including those of nested models."""
    found = {}
    for layer in getattr(model, "operations" if KERAS_3 else "layers", None) or model.layers:
        found[path + layer.name] = type(layer).__name__
        if hasattr(layer, "layers"):
            found |= named_layers(layer, f"{path}{layer.name}/")
        elif hasattr(getattr(layer, "layer", None), "layers"):
            found |= named_layers(layer.layer, f"{path}{layer.name}/")
    return found


def randomise(model, seed):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        name, shape, dtype = weight.name, tuple(weight.shape), np.dtype(getattr(weight.dtype, "name", weight.dtype)).name
        if not dtype.startswith("float") or "seed" in name:
            continue
        weight.assign(rng.uniform(0.5, 1.5, shape).astype(dtype) if "variance" in name else rng.normal(0, 0.4, shape).astype(dtype))
    for layer in getattr(model, "layers", []):
        if type(layer).__name__ == "Normalization":
            layer.finalize_state()


def numbers_for(model):
    rng = np.random.default_rng(0)
    for tensor in getattr(model, "inputs", None) or [np.zeros((2, 4), "float32")]:
        dtype = getattr(tensor.dtype, "name", tensor.dtype)
        shape = [2 if i == 0 else 5 if extent is None else extent for i, extent in enumerate(tensor.shape)]
        if dtype == "string":
            yield rng.choice(["a", "b", "c"], shape)
        elif dtype == "bool":
            # The first step always counts.
            yield np.concatenate([np.ones((*shape[:-1], 1), bool), rng.random((*shape[:-1], shape[-1] - 1)) < 0.7], axis=-1)
        elif "int" in dtype:
            # Padding is at the end.
            yield np.sort(rng.integers(0, 6, shape), axis=-1)[..., ::-1].astype(dtype)
        else:
            yield rng.normal(size=shape).astype(dtype)


def plain(array):
    array = np.asarray(array)
    kind = array.dtype.name if array.dtype.kind != "U" else "string"
    numbers = array.astype("float64") if kind not in ("string",) else array
    return {"shape": list(array.shape), "dtype": kind, "values": numbers.ravel().tolist()}


def array_of(recorded):
    values = np.array(recorded["values"]).reshape(recorded["shape"])
    return values if recorded["dtype"] == "string" else values.astype(recorded["dtype"])


# Running.


def custom():
    """The custom classes and functions, and a class that tf.keras 2.15 forgets to list."""
    forgotten = {} if KERAS_3 else {"SpectralNormalization": keras.layers.SpectralNormalization}
    return {name: item for name, item in vars(matrix_models).items() if name in matrix_models.CUSTOM} | forgotten


def load(path):
    options = {"safe_mode": False} if KERAS_3 or path.suffix == ".keras" else {}
    return keras.models.load_model(str(path), compile=False, custom_objects=custom(), **options)


def input_names(model):
    if not getattr(model, "inputs", None):
        return ["x"]
    return [t._keras_history[0].name for t in model.inputs]


def in_order(model, values):
    """The recorded inputs in the order of the model: by name, or as recorded if the names differ."""
    found, recorded = input_names(model), values["input_names"]
    inputs = [array_of(x) for x in values["inputs"]]
    if len(set(found)) == len(found) and sorted(found) == sorted(recorded):
        return [inputs[recorded.index(name)] for name in found]
    return inputs


def run(model, inputs):
    """The outputs for a list of inputs, which are packed into the structure that the model takes."""
    inputs = [tf.constant(x) for x in inputs] if not KERAS_3 else inputs
    given = getattr(model, "_inputs_struct" if KERAS_3 else "_nested_inputs", None)
    if isinstance(model, keras.Sequential) or given is None:
        return model(inputs[0], training=False)
    return model(pack(given, inputs), training=False)


def arrays(outputs):
    return [np.asarray(y) for y in flatten(outputs)]


def structure(outputs):
    """The structure of the outputs: one, a list, or the keys of a dictionary."""
    if isinstance(outputs, dict):
        return sorted(outputs)
    return "list" if isinstance(outputs, (list, tuple)) else "one"


def compare(outputs, values):
    """The largest difference relative to the largest number, or what else differs."""
    expected, found = [array_of(y) for y in values["outputs"]], arrays(outputs)
    if [f.shape for f in found] != [e.shape for e in expected]:
        return {"differs": f"shapes {[f.shape for f in found]} for {[e.shape for e in expected]}"}
    if [kind(f) for f in found] != [kind(e) for e in expected]:
        return {"differs": f"types {[f.dtype.name for f in found]} for {[e.dtype.name for e in expected]}"}
    errors = [error(f, e) for f, e in zip(found, expected)]
    return {"error": max(errors, default=0.0), "structure": structure(outputs)}


def kind(array):
    """The type; all integers are one, because JAX has 32 bits and TensorFlow 64."""
    return "integer" if array.dtype.kind in "iu" else array.dtype.name


def error(found, expected):
    if found.dtype.kind == "U" or found.size == 0:
        return 0.0 if (found == expected).all() else 9.0
    found, expected = found.astype("float64"), expected.astype("float64")
    worst = np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30)
    return float(worst) if np.isfinite(worst) else 9.0


# Judging.


def judge_all(folder, jobs):
    verdicts = {}
    for job in jobs:
        fresh_names()
        values = json.loads(Path(job["values"]).read_text())
        try:
            verdict = judge(Path(job["file"]), values)
        except Exception as error:
            verdict = {"refuses": reason(error)}
        verdicts[job["id"]] = verdict
    folder.write_text(json.dumps(verdicts))


def judge(path, values):
    if path.suffix == ".json":
        return judge_chain(path, values)
    model = load(path)
    verdict = compare(run(model, in_order(model, values)), values)
    return {**verdict, "losses": len(model.losses)}


def judge_chain(manifest, values):
    """Runs the stages in order."""
    described, made, last = json.loads(manifest.read_text()), [], None
    named = dict(zip(values["input_names"], (array_of(x) for x in values["inputs"])))

    def value(port):
        source = port["source"]
        return named[source["model_input"]] if "model_input" in source else made[source["stage"]][source["output"]]

    for number, stage in enumerate(described["stages"]):
        try:
            model = load(manifest.parent / stage["file"])
        except Exception as error:
            return {"refuses": f"stage {number}: {reason(error)}"}
        last = run(model, [value(port) for port in stage["inputs"]])
        made.append(arrays(last))
    outputs = [value(port) for port in described["outputs"]]
    whole = all(port["source"].get("stage") == len(made) - 1 for port in described["outputs"])
    return {**compare(outputs, values), "structure": structure(last) if whole and len(outputs) == len(made[-1]) else values["structure"]}


def reason(error):
    """The error's type and message, shortened."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]} ... {text[-160:]}" if len(text) > 330 else f"{type(error).__name__}: {text}"


if __name__ == "__main__":
    begin = time.time()
    if sys.argv[1] == "make":
        make_all(Path(sys.argv[2]), "fast" in sys.argv)
    else:
        judge_all(Path(sys.argv[3]), json.loads(Path(sys.argv[2]).read_text()))
    print(f"{sys.argv[1]}: {time.time() - begin:.0f} s in Keras {keras.__version__}")
