"""Models that netc cannot run: it still reads, cuts and copies them. The files load, and the stages compose."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from harness import assert_close, inputs_of, load, netc, randomise, run, run_chain, split


def cuts(path):
    return [cut["name"] for cut in json.loads(netc("cuts", path, "--json").stdout)]


def test_quantized_attention_is_read_cut_and_copied(tmp_path):
    x = keras.Input((6, 8), name="x")
    model = keras.Model(x, layers.Dense(2, name="end")(layers.MultiHeadAttention(2, 4, name="attention")(x, x)))
    model.quantize("int8")
    model.save(tmp_path / "m.keras")
    netc("inspect", tmp_path / "m.keras")
    assert cuts(tmp_path / "m.keras") == ["attention"]
    manifest = split(tmp_path / "m.keras", "attention", tmp_path / "s")
    assert manifest["stages"][1]["inputs"][0]["dtype"] == "float32"
    netc(tmp_path / "m.keras", "-o", tmp_path / "copy.keras")
    np.save(tmp_path / "x.npy", np.zeros((1, 6, 8), "float32"))
    refused = netc("run", tmp_path / "m.keras", "--input", tmp_path / "x.npy", code=1)
    assert "layer `attention`" in refused.stderr and "quantized" in refused.stderr


def recurrent(name, extent):
    x = keras.Input((7, extent))
    return keras.Model(x, layers.GRU(4, return_sequences=True)(layers.Dense(extent)(x)), name=name)


def two_levels(words, floats):
    x = keras.Input((7, 6))
    middle = keras.Model(x, layers.Dense(6)(recurrent("deep", 6)(x)), name="middle")
    return layers.LSTM(3, name="last")(middle(layers.Embedding(9, 6, mask_zero=True)(words)))


def one_after_the_other(words, floats):
    y = recurrent("first", 6)(layers.Embedding(9, 6, mask_zero=True)(words))
    return layers.LSTM(3, name="last")(recurrent("second", 4)(y))


def after_masking(words, floats):
    y = layers.GRU(6, return_sequences=True)(layers.Dropout(0.1)(layers.Masking(0.5)(floats)))
    return layers.Dense(2)(recurrent("inner", 6)(y))


def with_and_without(words, floats):
    inner = recurrent("inner", 6)
    return layers.Add()([inner(layers.Embedding(9, 6, mask_zero=True)(words)), inner(floats)])


def merged(words, floats):
    y = layers.Embedding(9, 6, mask_zero=True)(words)
    y = layers.Add()([y, layers.Masking(0.5)(floats), layers.Dropout(0.1)(y)])
    return layers.Dense(2)(recurrent("inner", 6)(y))


def joined(words, floats):
    y = layers.Embedding(9, 3, mask_zero=True)(words)
    return layers.Dense(2)(recurrent("inner", 12)(layers.Concatenate()([y, floats, layers.Dropout(0.1)(y)])))


def two_inputs(words, floats):
    x, y = keras.Input((7, 6)), keras.Input((7, 6))
    inner = keras.Model([x, y], layers.GRU(3)(layers.Add()([x, y])), name="inner")
    return layers.Dense(2)(inner([layers.Embedding(9, 6, mask_zero=True)(words), floats]))


@pytest.mark.parametrize("make", [two_levels, one_after_the_other, after_masking, with_and_without, merged, joined, two_inputs])
def test_nested_models_receive_masks(make, tmp_path):
    words, floats = keras.Input((7,), dtype="int32", name="words"), keras.Input((7, 6), name="floats")
    y = make(words, floats)
    model = randomise(keras.Model([words, floats], [y, floats * 2.0]))
    model.save(tmp_path / "m.keras")
    rng = np.random.default_rng(1)
    values = {"words": rng.integers(0, 3, (2, 7)).astype("int32"), "floats": rng.normal(size=(2, 7, 6)).astype("float32")}
    values["floats"][:, 4:] = 0.5
    expected = run(model, [values[t.name] for t in model.inputs])
    netc(tmp_path / "m.keras", "-o", tmp_path / "copy.keras")
    netc(tmp_path / "m.keras", "--pass", "inline", "-o", tmp_path / "inline.keras")
    for name in ("copy", "inline"):
        again = load(tmp_path / f"{name}.keras")
        assert_close(run(again, [values[t.name] for t in again.inputs]), expected)
    for i, cut in enumerate(cuts(tmp_path / "m.keras")):
        split(tmp_path / "m.keras", cut, tmp_path / f"s{i}")
        assert_close(run_chain(tmp_path / f"s{i}", values), expected)


@keras.saving.register_keras_serializable("netc_tests")
class TiedHead(layers.Layer):
    def __init__(self, embedding=None, **kwargs):
        super().__init__(**kwargs)
        self.embedding = embedding

    def call(self, x):
        return keras.ops.matmul(x, keras.ops.transpose(self.embedding.embeddings))

    def get_config(self):
        return {**super().get_config(), "embedding": keras.saving.serialize_keras_object(self.embedding)}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "embedding": keras.saving.deserialize_keras_object(config["embedding"])})


def test_tied_layers_stay_in_one_stage(tmp_path):
    words = keras.Input((5,), dtype="int32", name="words")
    embedding = layers.Embedding(9, 4, name="embedding")
    y = TiedHead(embedding, name="head")(layers.GRU(4, return_sequences=True, name="middle")(embedding(words)))
    model = randomise(keras.Model(words, layers.Dense(2, name="end")(y)))
    model.save(tmp_path / "m.keras")
    assert cuts(tmp_path / "m.keras") == ["head"]
    refused = netc(tmp_path / "m.keras", "--pass", "split=middle", "-o", tmp_path / "s", code=1)
    assert "`head` and `embedding` share weights" in refused.stderr
    values = inputs_of(model)
    split(tmp_path / "m.keras", "head", tmp_path / "s")
    assert_close(run_chain(tmp_path / "s", values), run(model, values.values()))
