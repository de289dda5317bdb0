"""Models of Keras 1 and 2 (tests/legacy), and HDF5 files of Keras 3, checked with Keras 3."""

import json
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import harness
from harness import LEGACY, assert_close, inputs_of, load, netc, netc_run, randomise, run, run_chain, split



def recorded(name):
    with np.load(LEGACY / f"{name}.npz") as arrays:
        return [[arrays[k] for k in arrays.files if k.startswith(kind)] for kind in ("in", "out")]


@pytest.mark.parametrize(
    "name",
    [
        "nested", "spread_names", "chain", "bare_list", "functions", "recurrent", "open_steps", "slashes",
        "keras1_image", "keras1_text", "keras1_nested",
    ],
)
def test_keras_3_matches_keras_2(name, tmp_path):
    netc(LEGACY / f"{name}.h5", "-o", tmp_path / "modern.keras")
    inputs, outputs = recorded(name)
    assert_close(run(load(tmp_path / "modern.keras"), inputs), outputs)


@pytest.mark.parametrize(("name", "cut"), [("nested", "tokens"), ("chain", "relu6"), ("recurrent", "each"), ("open_steps", "each"), ("slashes", "conv1/bn")])
def test_stages_of_a_keras_2_model_compose_in_keras_3(name, cut, tmp_path):
    manifest = split(LEGACY / f"{name}.h5", cut, tmp_path)
    inputs, outputs = recorded(name)
    by_name = dict(zip([i["name"] for i in manifest["inputs"]], inputs))
    assert_close(run_chain(tmp_path, by_name), outputs)


def small():
    x = image = keras.Input((9, 9, 3), name="image")
    inner_in = keras.Input((9, 9, 3))
    inner = keras.Model(inner_in, layers.BatchNormalization()(layers.Conv2D(3, 3, padding="same")(inner_in)))
    x = layers.Add()([inner(x), inner(image)])
    x = keras.Sequential([layers.Conv2D(4, 3, activation="hard_sigmoid"), layers.Dropout(0.2)])(x)
    x = layers.Reshape((49, 4))(x)
    x = layers.MultiHeadAttention(2, 3)(x, x)
    return keras.Model(image, layers.Dense(3)(layers.GlobalAveragePooling1D()(x)))


def test_hdf5_of_keras_3_is_read(tmp_path):
    model = randomise(small())
    model.save(tmp_path / "model.h5")
    values = inputs_of(model)
    expected = run(model, values.values())
    assert_close(netc_run(tmp_path / "model.h5", values, tmp_path), expected)
    netc(tmp_path / "model.h5", "-o", tmp_path / "again.keras")
    assert_close(run(load(tmp_path / "again.keras"), values.values()), expected)


def test_keras_matches_tensorflow_js(tmp_path):
    folder = LEGACY.parent / "tfjs/nested"
    values = json.loads((folder / "values.json").read_text())
    inputs, outputs = ([np.array(t["values"], "float32").reshape(t["shape"]) for t in values[k]] for k in ("inputs", "outputs"))
    netc(folder / "model.json", "-o", tmp_path / "m.keras")
    assert_close(run(load(tmp_path / "m.keras"), inputs), outputs)
    split(folder / "model.json", "tower@0", tmp_path)
    assert_close(run_chain(tmp_path, {"x": inputs[0]}), outputs)


OLD = "hard_sigmoid"

GATED = [
    ((5,), [layers.Dense(4, activation=OLD), layers.Activation(OLD), layers.Dense(3), keras.Sequential([layers.Dense(3)])]),
    ((6, 6, 3), [layers.Conv2D(4, 3, activation=OLD), layers.Conv2DTranspose(3, 2, activation=OLD),
                 layers.DepthwiseConv2D(2, activation=OLD), layers.SeparableConv2D(4, 2, activation=OLD)]),
    ((7, 3), [layers.LSTM(4, recurrent_activation=OLD, return_sequences=True), layers.SimpleRNN(3, activation=OLD)]),
    ((7, 3), [layers.GRU(4, activation=OLD, recurrent_activation=OLD, return_sequences=True),
              layers.GRU(3, recurrent_activation=OLD, reset_after=False)]),
    ((4, 6, 6, 2), [layers.ConvLSTM2D(3, 3, recurrent_activation=OLD)]),
    ((7, 3), [layers.TimeDistributed(layers.Dense(3, activation=OLD)),
              layers.Bidirectional(layers.GRU(3, recurrent_activation=OLD),
                                   backward_layer=layers.GRU(3, activation=OLD, go_backwards=True))]),
]


@pytest.mark.parametrize("case", range(len(GATED)))
def test_hard_sigmoid_of_keras_2_converts_to_keras_3(case, tmp_path):
    shape, chain = GATED[case]
    model = randomise(keras.Sequential([keras.Input(shape), *chain]))
    model.save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file.attrs["keras_version"] = b"2.12.0"
    values = inputs_of(model)
    netc(tmp_path / "m.h5", "-o", tmp_path / "m.keras")
    found = run(load(tmp_path / "m.keras"), values.values())
    assert_close(netc_run(tmp_path / "m.h5", values, tmp_path), found)
    assert not np.allclose(found[0], run(model, values.values())[0], rtol=1e-5), "the function differs"


def chain_in(kind, name="inner"):
    """A nested model: two trainable layers with statistics between them."""
    x = inner_in = keras.Input((4,))
    parts = [layers.Dense(4, name="first"), layers.BatchNormalization(name="bn"), layers.Dense(4, name="last")]
    if kind == "Sequential":
        return keras.Sequential([keras.Input((4,)), *parts], name=name)
    for part in parts:
        x = part(x)
    return keras.Model(inner_in, x, name=name)


def around(inner):
    image = keras.Input(inner.inputs[0].shape[1:])
    return keras.Model(image, layers.Dense(2)(inner(inner(image))))


def frozen(kind, *names):
    """Keras lists trainable weights first. This freezes the named layers, or the whole inner model."""
    inner = chain_in(kind)
    for name in names:
        (inner.get_layer(name) if name else inner).trainable = False
    return around(inner)


def frozen_but(kind, name):
    model = frozen(kind, None)
    model.get_layer("inner").get_layer(name).trainable = True
    return model


def frozen_wrappers():
    x = inner_in = keras.Input((5, 4))
    x = layers.TimeDistributed(layers.Dense(4), trainable=False)(x)
    x = layers.LSTM(4, return_sequences=True, trainable=False)(x)
    x = layers.MultiHeadAttention(2, 3, trainable=False)(x, x)
    x = layers.Attention(use_scale=True, score_mode="concat")([x, x])
    x = layers.Attention(use_scale=True, score_mode="concat")([x, x])
    return around(keras.Model(inner_in, layers.Dense(4)(x)))


def same_names():
    """Ambiguous names: a model named like a layer in it, and layers with the same name in two models."""
    return around(keras.Sequential([keras.Input((4,)), chain_in("Functional", "last"), chain_in("Sequential", "first")], name="bn"))


@pytest.mark.parametrize(
    "make",
    [
        small,
        lambda: frozen("Functional", "first"),
        lambda: frozen("Functional", None),
        lambda: frozen("Sequential", "first", "bn"),
        lambda: frozen_but("Functional", "last"),
        lambda: frozen_but("Sequential", "last"),
        frozen_wrappers,
        same_names,
    ],
)
def test_hdf5_written_by_netc_loads_in_keras(make, tmp_path):
    model = randomise(make())
    model.save(tmp_path / "model.keras")
    netc(tmp_path / "model.keras", "-o", tmp_path / "model.h5")
    again = load(tmp_path / "model.h5")
    values = inputs_of(model)
    assert_close(run(again, values.values()), run(model, values.values()))
    netc(tmp_path / "model.h5", "-o", tmp_path / "again.h5")
    assert (tmp_path / "again.h5").read_bytes() == (tmp_path / "model.h5").read_bytes()


def low_rank():
    dense = layers.Dense(4)
    model = keras.Sequential([keras.Input((4,)), dense])
    dense.enable_lora(2)
    return model


def quantised():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(4)])
    model.quantize("int8")
    return model


def halves():
    return keras.Sequential([keras.Input((4,)), layers.Dense(4, dtype="bfloat16")])


@pytest.mark.parametrize("make", [low_rank, quantised, halves])
def test_models_that_keras_cannot_load_from_hdf5_are_rejected(make, tmp_path):
    make().save(tmp_path / "model.keras")
    assert "write the model as .keras" in netc(tmp_path / "model.keras", "-o", tmp_path / "model.h5", code=1).stderr


def test_mirrored_theano_kernels_are_rejected(tmp_path):
    (tmp_path / "m.h5").write_bytes((LEGACY / "chain.h5").read_bytes())
    with h5py.File(tmp_path / "m.h5", "a") as file:
        file["model_weights"].attrs["backend"] = "theano"
    assert "theano" in netc(tmp_path / "m.h5", code=1).stderr
    netc(LEGACY / "chain.h5", "-o", tmp_path / "m.json")
    assert "theano" in netc(tmp_path / "m.json", "--weights", tmp_path / "m.h5", code=1).stderr


def test_stages_in_hdf5_compose_to_the_whole(tmp_path):
    model = randomise(small())
    model.save(tmp_path / "model.h5")
    manifest = split(tmp_path / "model.h5", "add", tmp_path, "--format", "h5", "--verify")
    assert [stage["file"] for stage in manifest["stages"]] == ["model.stage0.h5", "model.stage1.h5"]
    values = inputs_of(model)
    assert_close(run_chain(tmp_path, values), run(model, values.values()))
    netc("merge", tmp_path / "manifest.json", "-o", tmp_path / "whole.h5")
    netc(tmp_path / "model.h5", "-o", tmp_path / "same.h5")
    assert (tmp_path / "whole.h5").read_bytes() == (tmp_path / "same.h5").read_bytes()


@pytest.mark.parametrize("weights", ["m.weights.h5", "m.h5", "m.keras"])
def test_json_with_separate_weights_is_read(weights, tmp_path):
    model = randomise(small())
    (tmp_path / "m.json").write_text(model.to_json())
    model.save_weights(tmp_path / weights) if weights == "m.weights.h5" else model.save(tmp_path / weights)
    values = inputs_of(model)
    expected = run(model, values.values())
    assert_close(netc_run(tmp_path / "m.json", values, tmp_path, "--weights", tmp_path / weights), expected)
    netc(tmp_path / "m.json", "-o", tmp_path / "again.json")
    again = (tmp_path / "again.json").read_text()
    assert {**json.loads(again), "compile_config": {}} == json.loads(model.to_json())
    assert keras.models.model_from_json(again).count_params() == model.count_params()


@pytest.mark.parametrize("kilobytes", [0.43, 1.2, 1000])
def test_sharded_weights_are_read(kilobytes, tmp_path):
    model = randomise(small())
    model.save(tmp_path / "m.keras")
    (tmp_path / "config.json").write_text(model.to_json())
    model.save_weights(tmp_path / "model.weights.json", max_shard_size=kilobytes / 2**20)
    weight_map = json.loads((tmp_path / "model.weights.json").read_text())["weight_map"]
    assert any(isinstance(shards, list) and len(shards) > 1 for shards in weight_map.values()) == (kilobytes == 0.43)
    with zipfile.ZipFile(tmp_path / "sharded.keras", "w") as archive:
        for path in [tmp_path / "config.json", *tmp_path.glob("model*weights*")]:
            archive.write(path, path.name)
    netc(tmp_path / "config.json", "--weights", tmp_path / "model.weights.json", "-o", tmp_path / "beside.keras")
    netc(tmp_path / "sharded.keras", "-o", tmp_path / "inside.keras")
    for name in ("beside.keras", "inside.keras"):
        harness.assert_same_weights(harness.weights_of(tmp_path / name), harness.weights_of(tmp_path / "m.keras"))
        load(tmp_path / name)
    values = inputs_of(model)
    split(tmp_path / "sharded.keras", "add", tmp_path)
    assert_close(run_chain(tmp_path, values), run(model, values.values()))


@pytest.mark.parametrize("name", ["nested", "chain", "recurrent"])
def test_json_of_keras_2_with_separate_weights_is_read(name, tmp_path):
    with h5py.File(LEGACY / f"{name}.h5") as file:
        config = json.loads(file.attrs["model_config"])
    # The output of `to_json` in Keras 2.
    (tmp_path / "m.json").write_text(json.dumps({**config, "keras_version": "2.15.0", "backend": "tensorflow"}))
    netc(tmp_path / "m.json", "--weights", LEGACY / f"{name}.h5", "-o", tmp_path / "m.keras")
    inputs, outputs = recorded(name)
    assert_close(run(load(tmp_path / "m.keras"), inputs), outputs)


@pytest.mark.parametrize("target", ["modern.keras", "again.h5"])
def test_keras_archive_of_keras_2_is_read(target, tmp_path):
    done = netc(LEGACY / "archive.keras", "-o", tmp_path / target)
    assert "the compile configuration and the optimizer's state are left out" in done.stdout
    assert "of the model `inner` the compile configuration" in done.stdout
    inputs, outputs = recorded("archive")
    assert_close(netc_run(tmp_path / target, {"x": inputs[0]}, tmp_path), outputs)
    if target == "modern.keras":
        model = load(tmp_path / target)
        assert not model.compiled
        assert_close(run(model, inputs), outputs)
    netc(LEGACY / "archive.keras", "--pass", "split=inner/dense", "-o", tmp_path / "out")
    assert_close(run_chain(tmp_path / "out", {"x": inputs[0]}), outputs)


def test_file_with_weights_only_is_recognised(tmp_path):
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.save_weights(tmp_path / "w.weights.h5")
    error = netc("inspect", tmp_path / "w.weights.h5", code=1).stderr
    assert "it holds weights without a model" in error
