"""The main use cases of netc, checked with Keras."""

import json

import jax
import keras
import numpy as np
import pytest
from keras import layers
from keras.src.utils.naming import to_snake_case

import harness
from graph import Graph
from harness import assert_close, inputs_of, load, netc, randomise, run, save


@pytest.fixture(scope="module")
def resnet152(tmp_path_factory):
    """The file of the built-in ResNet-152 with `Scale` layers."""
    path = tmp_path_factory.mktemp("resnet152") / "r.keras"
    netc("zoo:resnet152_scale", "-o", path)
    yield path
    path.unlink()


def assert_chain(path, folder, model=None):
    """Asserts that the stages in the folder compose to the whole: up to rounding in Keras, bit for bit in netc."""
    model = model or load(path)
    values = inputs_of(model, batch=1)
    assert_close(harness.run_chain(folder, values), run(model, values.values()))
    report = netc("diff", path, folder / "manifest.json", "--layers", harness.SCALE, "--json").stdout
    assert json.loads(report)["bit_equal"]


def crossing(manifest, stage=1):
    return [i["name"] for i in manifest["stages"][stage]["inputs"] if "stage" in i["source"]]


# A cut inside a branch of a network with custom layers.


def test_resnet152_with_scale_cut_in_a_branch(resnet152, tmp_path):
    manifest = harness.split(resnet152, "res3a_branch2a", tmp_path, "--layers", harness.SCALE, "--verify")
    assert len(manifest["stages"]) == 2 and len(crossing(manifest)) == 2
    assert {o["name"] for o in manifest["stages"][0]["outputs"]} == {"res3a_branch2a", "res2c_relu"}
    assert manifest["verification"]["bit_equal"]
    assert_chain(resnet152, tmp_path)


def test_unsupported_scale_splits_losslessly(resnet152, tmp_path):
    whole, weights = harness.layers_of(harness.config_of(resnet152)), by_layer(resnet152)
    harness.split(resnet152, "res3a_branch2a", tmp_path)
    seen = []
    for stage in sorted(tmp_path.glob("*.keras")):
        for name, layer in harness.layers_of(harness.config_of(stage)).items():
            seen.append(name)
            assert {**layer, "inbound_nodes": None} == {**whole[name], "inbound_nodes": None}
        for name, arrays in by_layer(stage).items():
            assert len(arrays) == len(weights[name])
            assert all(harness.same_bytes(a, b) for a, b in zip(arrays, weights[name]))
    assert sorted(seen) == sorted(whole), "each layer is in one stage"
    harness.assert_round_trip(resnet152, tmp_path)


def by_layer(path):
    """The weights of each layer. A layer's group is named after its class and numbered."""
    arrays, found = harness.weights_of(path), {}
    ordinal = {}
    for name, layer in harness.layers_of(harness.config_of(path)).items():
        group = to_snake_case(layer["class_name"])
        count = ordinal[group] = ordinal.get(group, -1) + 1
        prefix = f"layers/{group}_{count}/" if count else f"layers/{group}/"
        found[name] = [array for place, array in arrays.items() if place.startswith(prefix)]
    assert sum(map(len, found.values())) == len(arrays)
    return found


def test_running_unsupported_scale_names_it(resnet152):
    message = netc("run", resnet152, code=1).stderr
    assert "scale_conv1" in message and "--layers" in message


# From a layer to the end.


def test_resnet50_from_a_layer_to_the_end(application, tmp_path):
    path = application("ResNet50")
    harness.split(path, "conv5_block1_out", tmp_path)
    whole, last = load(path), load(tmp_path / "ResNet50.stage1.keras")
    both = keras.Model(whole.inputs, [whole.get_layer("conv5_block1_out").output, whole.output])
    between, expected = run(both, inputs_of(whole, batch=1).values())
    assert_close(run(last, [between]), [expected])
    assert len(last.layers) == len(Graph(whole).above("conv5_block1_out"))


# Shared layers.


@pytest.mark.parametrize(
    "cuts, tensors",
    [("tower_pool1@0", 1), ("tower_conv2@1", 1), ("tower_pool1@0+tower_pool1@1", 2), ("tower_embedding@1", 1),
     ("tower_embedding@0+tower_embedding@1", 2), ("difference", 1), ("tower_pool2@0,difference", 1)],
)  # fmt: skip
def test_siamese_in_the_tower_and_after_it(cuts, tensors, tmp_path):
    path = tmp_path / "s.keras"
    netc("zoo:siamese", "-o", path)
    manifest = harness.split(path, cuts, tmp_path / "out", "--verify=2")
    assert len(crossing(manifest)) == tensors
    assert_chain(path, tmp_path / "out")
    whole = harness.weights_of(path)
    for stage in (tmp_path / "out").glob("*.keras"):
        towers = [name for name in harness.layers_of(harness.config_of(stage)) if name.startswith("tower_conv")]
        kernels = [w for w in harness.weights_of(stage).values() if w.ndim == 4]
        assert len(towers) == len(kernels) <= 3, "a shared layer is one layer, stored once"
        assert all(any(harness.same_bytes(k, w) for w in whole.values()) for k in kernels)


# Several stages.


@pytest.mark.parametrize(
    "cuts", ["mixed3,mixed7", "mixed7,mixed3", "mixed2,mixed5,mixed9", "conv2d_4,mixed5,mixed9_0,avg_pool"]
)
def test_several_stages(cuts, application, tmp_path):
    path = application("InceptionV3")
    manifest = harness.split(path, cuts, tmp_path)
    assert len(manifest["stages"]) == cuts.count(",") + 2
    layers_of = lambda file: list(harness.layers_of(harness.config_of(file)))
    owned = [name for stage in manifest["stages"] for name in layers_of(tmp_path / stage["file"])]
    assert sorted(owned) == sorted(layers_of(path)), "each layer is in one stage"
    if cuts == "mixed3,mixed7":
        assert_chain(path, tmp_path)


def test_repeated_splits_are_independent(tmp_path):
    path = tmp_path / "m.keras"
    netc("zoo:mobilenet_v2", "-o", path)
    before = path.read_bytes()
    first = harness.split(path, "block_4_add,block_12_expand", tmp_path / "a")
    harness.split(path, "block_8_add", tmp_path / "b")
    again = harness.split(path, "block_4_add,block_12_expand", tmp_path / "c")
    assert first == again and path.read_bytes() == before
    for stage in first["stages"]:
        assert (tmp_path / "a" / stage["file"]).read_bytes() == (tmp_path / "c" / stage["file"]).read_bytes()
    assert_chain(path, tmp_path / "a")
    assert_chain(path, tmp_path / "b")


# Questions about the graph.


@pytest.mark.parametrize("layer", ["mixed9", "conv2d_80", "avg_pool"])
def test_layers_above_and_below(layer, application):
    path = application("InceptionV3")
    graph = Graph(load(path))
    above = netc("layers", path, "--above", layer).stdout.split()
    assert set(above) == graph.above(layer) and len(above) == len(set(above))
    below = netc("layers", path, "--below", layer).stdout.split()
    part = graph.first_part(layer)
    assert set(below) == {graph.names[id(n)] for n in graph.nodes if id(n) in part}
    if layer == "mixed9":
        assert len(above) == 34


def test_cuts_of_inception(application, tmp_path):
    path = application("InceptionV3")
    found = json.loads(netc("cuts", path, "--json").stdout)
    graph = Graph(load(path))
    assert {cut["name"] for cut in found} == graph.one_tensor_cuts()
    middle = next(cut for cut in found if cut["name"] == "mixed4")
    manifest = harness.split(path, "mixed4", tmp_path)
    (tensor,) = manifest["stages"][1]["inputs"]
    assert tensor["shape"] == middle["shape"] == [None, 17, 17, 768]
    assert tensor["bytes_per_example"] == middle["bytes_per_example"]
    assert middle["parameters_before"] == manifest["stages"][0]["parameters"]
    assert middle["parameters_after"] == manifest["stages"][1]["parameters"]
    assert netc("diff", path, tmp_path / "manifest.json").stdout


def hourglass():
    x = keras.Input((8,), name="x")
    y = layers.Dense(8, name="left")(x) + layers.Dense(8, name="right")(x)
    waist = layers.Dense(2, name="waist")(y)
    z = layers.Concatenate(name="wide")([layers.Dense(8, name="up")(waist), layers.Dense(8, name="down")(waist)])
    return keras.Model(x, layers.Dense(1, name="end")(z))


def test_each_listed_cut_crosses_one_tensor(tmp_path):
    path = save(randomise(hourglass()), tmp_path / "m.keras")
    model = load(path)
    found = [cut["name"] for cut in json.loads(netc("cuts", path, "--json").stdout)]
    assert "waist" in found and set(found) == Graph(model).one_tensor_cuts()
    for name in found:
        manifest = harness.split(path, name, tmp_path / name)
        sources = [i["source"] for i in manifest["stages"][1]["inputs"]]
        assert [s for s in sources if "stage" in s] == [{"stage": 0, "output": 0}]
        assert_chain(path, tmp_path / name, model)


BUILT_IN = "tiny mobilenet_v2 inception_v3 resnet50 squeezenet nasrnn bert resnext50 nasnet_a"


@pytest.mark.parametrize("name", BUILT_IN.split())
def test_built_in_architectures_load(name, tmp_path):
    """Keras and netc compute the same for a built-in architecture. Keras uses double precision, because on some
    processors its single precision is off by 2e-5 of the largest logit."""
    path = tmp_path / "m.keras"
    netc(f"zoo:{name}", "-o", path)
    model = load(path)
    values = inputs_of(model, batch=1)
    assert_close(harness.netc_run(f"zoo:{name}", values, tmp_path), in_double_precision(model, values.values()))


def in_double_precision(model, inputs):
    """The outputs of the model, computed in double precision and rounded once."""
    with jax.enable_x64(True):
        config = json.dumps(model.get_config()).replace('"float32"', '"float64"')
        double = type(model).from_config(json.loads(config), custom_objects=harness.CUSTOM)
        double.set_weights([weight.astype("float64") for weight in model.get_weights()])
        outputs = run(double, [x.astype("float64") if x.dtype == np.float32 else x for x in inputs])
    return [y.astype("float32") if y.dtype == np.float64 else y for y in outputs]


def backbone_in_a_head():
    """A network with branches, in a model in the model, as is common in transfer learning."""
    x = keras.Input((8, 8, 3), name="image")
    y = layers.Conv2D(4, 3, padding="same", name="conv")(x)
    z = layers.BatchNormalization(name="norm")(y)
    z = layers.Conv2D(4, 1, name="branch")(z)
    backbone = keras.Model(x, layers.Add(name="sum")([y, z]), name="backbone")
    image = keras.Input((8, 8, 3), name="photo")
    other = keras.Sequential([keras.Input((4,)), layers.Dense(3, name="dense")], name="head")
    encoder = keras.Model(image, layers.GlobalAveragePooling2D(name="pool")(backbone(image)), name="encoder")
    a, b = keras.Input((8, 8, 3), name="a"), keras.Input((8, 8, 3), name="b")
    return keras.Model([a, b], other(layers.Add(name="join")([encoder(a), encoder(b)])), name="siamese")


@pytest.mark.parametrize(
    "cut, nested",
    [
        ("encoder@1/backbone/branch", ["head"]),
        ("encoder@0/backbone/norm+encoder@1/backbone/conv", ["head"]),
        ("before:encoder@0/pool", ["backbone", "head"]),
    ],
)
def test_cut_inside_nested_models(cut, nested, tmp_path):
    model = randomise(backbone_in_a_head())
    path = save(model, tmp_path / "m.keras")
    values = inputs_of(model)
    manifest = harness.split(path, cut, tmp_path / "out")
    assert len(manifest["stages"]) == 2
    assert_close(harness.run_chain(tmp_path / "out", values), run(model, values.values()))
    assert "bit for bit" in netc("diff", path, tmp_path / "out" / "manifest.json").stdout
    last = load(tmp_path / "out" / manifest["stages"][1]["file"])
    assert [layer.name for layer in last.layers if hasattr(layer, "layers")] == nested, "no other model is dissolved"
