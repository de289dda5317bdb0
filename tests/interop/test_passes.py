"""Passes whose results Keras can check: freezing, extracting, inlining, changing the layout."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from graph import Graph
from harness import assert_close, build_application, inputs_of, load, netc, netc_run, randomise, run, save
from test_files import MODELS, begins_with_a_model, model_in_model, parallel_branches, shared_model, two_levels


def below(graph, name):
    """The layers that compute a call, itself included."""
    part = graph.first_part(name)
    return {n.operation.name for n in graph.nodes if id(n) in part and not n.is_input}


def every_layer(model, name):
    """The layer of that name and all layers inside it, without input layers."""
    return [each for each in model.get_layer(name)._flatten_layers() if not isinstance(each, layers.InputLayer)]


def check_frozen(path, call, frozen, folder):
    """Checks that `freeze` froze exactly the layers `frozen`, with all layers inside them."""
    netc(path, "--pass", f"freeze={call}", "-o", folder / "frozen.keras")
    model = load(folder / "frozen.keras")
    names = {layer.name for layer in model.layers if not isinstance(layer, layers.InputLayer)}
    for name in names:
        assert {layer.trainable for layer in every_layer(model, name)} == {name not in frozen}, name
    original = load(path)
    left = [w for n in names - frozen for w in original.get_layer(n).trainable_weights]
    assert len(model.trainable_weights) == len({id(w) for w in left})
    values = inputs_of(original, batch=1)
    assert_close(run(model, values.values()), run(original, values.values()), 0.0)


def test_freezing_inception_below_mixed9(application, tmp_path):
    path = application("InceptionV3")
    frozen = below(Graph(load(path)), "mixed9")
    assert "conv2d" in frozen and "predictions" not in frozen
    check_frozen(path, "mixed9", frozen, tmp_path)
    listed = netc("layers", path, "--below", "mixed9").stdout.split()
    assert set(listed) - {"input_layer"} == frozen


@pytest.mark.parametrize("make", [parallel_branches, model_in_model, two_levels, shared_model, begins_with_a_model])
def test_freezing_below_each_layer(make, tmp_path):
    path = save(randomise(make()), tmp_path / "m.keras")
    graph = Graph(load(path))
    for name in graph.calls.keys():
        if "@" not in name:
            check_frozen(path, name, below(graph, name), tmp_path)


def test_freezing_wrappers_freezes_inner_layers(tmp_path):
    x = keras.Input((5, 4), name="steps")
    y = layers.TimeDistributed(layers.Dense(4), name="each")(x)
    y = layers.Bidirectional(layers.LSTM(3), name="both")(y)
    path = save(randomise(keras.Model(x, layers.Dense(2, name="last")(y))), tmp_path / "m.keras")
    check_frozen(path, "both", {"each", "both"}, tmp_path)


def test_unfreeze_makes_the_other_layers_trainable(tmp_path):
    model = randomise(model_in_model())
    model.trainable = False
    path = save(model, tmp_path / "m.keras")
    netc(path, "--pass", "freeze{at=tower,unfreeze}", "-o", tmp_path / "f.keras")
    found = load(tmp_path / "f.keras")
    assert [layer.name for layer in found.layers if layer.trainable and layer.weights] == [found.layers[-1].name]
    assert len(found.trainable_weights) == 2


def between(model, names):
    """A model that returns the results of the named calls."""
    graph = Graph(model)
    return keras.Model(model.inputs, [graph.calls[n].output_tensors[0] for n in names])


@pytest.mark.parametrize("part", ["activation_46..avg_pool", "mixed3..mixed5", "before:activation_46..mixed6"])
def test_extracted_part_computes_the_same(application, part, tmp_path):
    path = application("InceptionV3")
    netc(path, "--pass", f"extract={part}", "-o", tmp_path / "part.keras")
    whole, found = load(path), load(tmp_path / "part.keras")
    names = [t._keras_history.operation.name for t in found.inputs]
    *given, expected = run(between(whole, [*names, part.split("..")[1]]), inputs_of(whole, batch=1).values())
    assert_close(run(found, given), [expected])
    assert set(layer.name for layer in found.layers) - set(names) <= {layer.name for layer in whole.layers}


@pytest.mark.parametrize("make", [m for m in MODELS if "model" in m.__name__ or "level" in m.__name__])
def test_inlining_nested_models_keeps_values(make, tmp_path):
    model = randomise(make())
    path = save(model, tmp_path / "m.keras")
    netc(path, "--pass", "inline", "--verify", "-o", tmp_path / "flat.keras")
    flat, values = load(tmp_path / "flat.keras"), inputs_of(model)
    assert not any(isinstance(layer, keras.Model) for layer in flat.layers)
    assert_close(run(flat, values.values()), run(model, values.values()))
    assert sum(np.prod(w.shape) for w in flat.weights) == sum(np.prod(w.shape) for w in model.weights)


def small_inception():
    """Branches, a residual connection and both poolings, channels first. Keras makes `Flatten` channels last."""

    def conv(x, filters, size, name, **options):
        x = layers.Conv2D(filters, size, padding="same", use_bias=False, name=name, **options)(x)
        return layers.ReLU(name=f"{name}_relu")(layers.BatchNormalization(axis=1, name=f"{name}_bn")(x))

    image = keras.Input((3, 24, 20), name="image")
    x = conv(layers.ZeroPadding2D(2, name="pad")(image), 8, 3, "stem", strides=2)
    pooled = layers.AveragePooling2D(3, 1, padding="same", name="average")(x)
    branches = [conv(x, 4, 1, "one"), conv(conv(x, 4, 1, "reduce"), 6, 3, "three"), conv(pooled, 6, 1, "pooled")]
    mixed = layers.Concatenate(axis=1, name="mixed")(branches)
    y = layers.Add(name="added")([mixed, layers.DepthwiseConv2D(3, padding="same", name="depthwise")(mixed)])
    y = layers.MaxPooling2D(3, 2, name="max")(layers.PReLU(shared_axes=[2, 3], name="prelu")(y))
    return keras.Model(image, layers.Dense(5, name="logits")(layers.Flatten(name="flat")(y)))


def inception_v3():
    return build_application("InceptionV3")


@pytest.fixture
def channels_first():
    keras.config.set_image_data_format("channels_first")
    yield
    keras.config.set_image_data_format("channels_last")


@pytest.mark.parametrize("make, placed", [(small_inception, 16), (inception_v3, 214)])
def test_channels_first_network_needs_one_transpose(make, placed, channels_first, tmp_path):
    """The transpose is at the input. The end needs none: it flattens with channels last, or takes means."""
    path = save(randomise(make()), tmp_path / "m.keras")
    told = netc(path, "--pipeline", "lower,layout,dce", "--verify", "-o", tmp_path / "last.nir").stdout
    told = " ".join(told.split())
    counts = re.search(r"transposes: (?:\d+ before, )?(\d+) added, \d+ cancelled, (\d+) left", told)
    assert counts and [int(n) for n in counts.groups()] == [placed, 1], told
    assert "outputs are equal bit for bit" in told
    assert "channels_first" not in (tmp_path / "last.nir").read_text().split("func @main")[1]
    model = load(path)
    values = inputs_of(model, batch=1)
    assert_close(netc_run(tmp_path / "last.nir", values, tmp_path), run(model, values.values()))
