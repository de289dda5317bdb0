"""Parts of models take and return their tensors in the structure of the whole model."""

import keras
import numpy as np
import pytest
from keras import layers as L

from harness import load, netc, randomise, save, split

X = np.random.default_rng(0).normal(size=(3, 4)).astype("float32")


def two_heads(path):
    """A model from a dict to a dict, whose keys are in another order than its layers."""
    age = keras.Input((4,), name="age")
    h = L.Dense(3, name="h")(age)
    score, label = L.Dense(1, name="s1")(h), L.Dense(2, name="s2")(h)
    return save(randomise(keras.Model({"age": age}, {"z_score": score, "a_label": label})), path)


def stages(path, cut, folder):
    manifest = split(path, cut, folder)
    return [load(folder / stage["file"]) for stage in manifest["stages"]]


def assert_same(found, expected):
    assert type(found) is type(expected) and len(found) == len(expected)
    for key in expected if isinstance(expected, dict) else range(len(expected)):
        assert np.array_equal(found[key], expected[key]), key


def test_stages_take_and_return_the_dicts_of_the_whole(tmp_path):
    path = two_heads(tmp_path / "m.keras")
    first, last = stages(path, "h", tmp_path / "out")
    expected = load(path)({"age": X})
    assert_same(last(first({"age": X})), expected)
    last.compile("sgd", loss={"z_score": "mse", "a_label": "mse"})
    last.fit(first({"age": X}), expected, verbose=0)


@pytest.mark.parametrize("part", ["h..", "..h"])
def test_extracted_parts_keep_the_dict_of_the_shared_end(part, tmp_path):
    path = two_heads(tmp_path / "m.keras")
    netc(path, "--pass", f"extract={part}", "-o", tmp_path / "part.keras")
    whole, model = load(path), load(tmp_path / "part.keras")
    h = keras.Model(whole.inputs, whole.get_layer("h").output)({"age": X})
    if part == "..h":
        assert np.array_equal(model({"age": X}), h)
    else:
        assert_same(model(h), whole({"age": X}))


def test_last_stage_returns_a_list_in_the_order_of_the_whole(tmp_path):
    x = keras.Input((4,), name="x")
    h = L.Dense(3, name="h")(x)
    early = L.Dense(2, name="early")(h)
    late = L.Dense(1, name="late")(early)
    path = save(randomise(keras.Model(x, [late, early])), tmp_path / "m.keras")
    first, last = stages(path, "h", tmp_path / "out")
    assert_same(last(first(X)), load(path)(X))


def test_stage_with_some_outputs_returns_a_dict_of_them(tmp_path):
    x = keras.Input((4,), name="x")
    early = L.Dense(2, name="early")(x)
    h = L.Dense(3, name="h")(early)
    model = keras.Model(x, {"early": early, "late": L.Dense(1, name="late")(h)})
    path = save(randomise(model), tmp_path / "m.keras")
    first, last = stages(path, "h", tmp_path / "out")
    expected = load(path)(X)
    found_early, h = first(X)
    assert np.array_equal(found_early, expected["early"])
    assert_same(last(h), {"late": expected["late"]})
