"""Every kind of Keras file round-trips through netc, and the stages of every cut compose in Keras."""

import zipfile

import keras
import numpy as np
import pytest
from keras import layers, ops

import harness
from graph import Graph
from harness import Affine, Scale, assert_close, assert_round_trip, inputs_of, load
from harness import netc, netc_run, randomise, run, save
from random_graphs import random_model

NOT_RUN = (Affine, Scale, layers.Lambda, layers.GRU, layers.LSTM, layers.Bidirectional)


def image():
    return keras.Input((6, 6, 3), name="image")


def row(name="row", width=4):
    return keras.Input((width,), name=name)


def tower(name="tower"):
    x = keras.Input((4,))
    shared = layers.Dense(4, name="twice")
    y = layers.Dense(4, activation="relu")(shared(shared(x)))
    return keras.Model(x, y + x, name=name)


def chain():
    return keras.Sequential([row(), layers.Dense(5, activation="relu"), layers.Dropout(0.5), layers.Dense(3)])


def chain_of_images():
    return keras.Sequential([
        image(), layers.Conv2D(4, 3), layers.BatchNormalization(), layers.ReLU(), layers.Conv2D(4, 3),
        layers.BatchNormalization(), layers.Flatten(), layers.Dense(2),
    ])  # fmt: skip


def chain_without_input():
    model = keras.Sequential([layers.Dense(5, name="z"), layers.Activation("gelu"), layers.Dense(3, name="a")])
    model.build((None, 4))
    return model


def chain_of_models():
    return keras.Sequential([row(), tower(), layers.Dense(4), chain_inside("part"), layers.Dense(2)])


def chain_inside(name):
    return keras.Sequential([keras.Input((4,)), layers.Dense(3), layers.Dense(4, name="last")], name=name)


def chain_that_ends_in_a_model():
    return keras.Sequential([row(), layers.Dense(4), tower()])


def lists():
    a, b = row("a"), row("b")
    x = layers.Add()([layers.Dense(4)(a), b])
    return keras.Model([b, a], [layers.Dense(2, name="z")(x), layers.Dense(3, name="y")(x), x])


def dictionaries():
    a, b, c = row("left"), row("right"), row("middle")
    x = layers.Concatenate()([a, b, c])
    inputs = {"zebra": a, "ant": b, "mole": c}
    return keras.Model(inputs, {"two": layers.Dense(2)(x), "one": layers.Dense(1)(x), "all": x})


def nested_structures():
    a, b, c = row("a"), row("b"), row("c")
    x = layers.Add()([a, b, c])
    return keras.Model({"pair": [a, b], "one": c}, {"p": [layers.Dense(2)(x), x], "q": layers.Dense(3)(x)})


def list_of_one():
    x = row()
    return keras.Model([x], [layers.Dense(2)(layers.Dense(3)(x))])


def shared_layers():
    a, b = row("a"), row("b")
    first, second = layers.Dense(4, name="first"), layers.Dense(4, name="second", activation="tanh")
    return keras.Model([a, b], layers.Subtract()([second(first(a)), second(first(b))]))


def shared_at_several_depths():
    x = row()
    a, b = layers.Dense(4, name="a"), layers.Dense(4, name="b")
    return keras.Model(x, layers.Dense(2)(a(b(a(b(layers.Dense(4, name="c")(x)))))))


def shared_across_branches():
    x = row()
    a, b, c = (layers.Dense(4, name=n) for n in "abc")
    left = b(a(x))
    right = a(c(b(x)))
    return keras.Model(x, [left + right, c(left)])


def shared_first_where_it_is_deepest():
    x = row()
    shared = layers.Dense(4, name="shared")
    deep = shared(layers.Dense(4)(layers.Dense(4)(x)))
    return keras.Model(x, [shared(x) + 1.0, layers.Dense(2)(deep)])


def operators():
    x, y = row("x"), row("y")
    z = (x + 1.0) * y - 2.0 / (abs(x) + 1.0)
    w = ops.concatenate([z, -x, ops.mean(y, axis=-1, keepdims=True)], axis=-1)
    return keras.Model([x, y], layers.Dense(3)(w[:, 1:-1]) ** 2)


def operations_of_several_results():
    x = row(width=6)
    a, b, c = ops.split(x, 3, axis=-1)
    d, e = ops.unstack(layers.Dense(2)(a * b), axis=-1)
    return keras.Model(x, [ops.expand_dims(d, 1) + c, e])


def custom_layers():
    x = row()
    y = Scale(name="unregistered")(Affine(name="registered")(x))
    y = layers.Dense(4)(Affine()(layers.Dense(4)(y)))
    return keras.Model(x, Scale(axis=1)(y) + x)


def recurrent_layers():
    x = keras.Input((5, 4), name="steps")
    y = layers.Bidirectional(layers.LSTM(3, return_sequences=True))(x)
    return keras.Model(x, layers.Dense(2)(layers.GRU(4)(layers.Dense(3)(y))))


def attention_layers():
    x = keras.Input((5, 4), name="steps")
    y = layers.MultiHeadAttention(2, 3, name="self")(x, x)
    z, scores = layers.MultiHeadAttention(2, 3, name="cross")(query=y, value=x, return_attention_scores=True)
    return keras.Model(x, [layers.LayerNormalization()(z + y), scores])


def model_in_model():
    x = row()
    return keras.Model(x, layers.Dense(2)(tower()(layers.Dense(4)(x))))


def ends_in_a_model():
    x = row()
    return keras.Model(x, tower()(layers.Dense(4)(x)))


def ends_in_two_calls_of_a_model():
    x = row()
    inner = tower()
    first = inner(layers.Dense(4)(x))
    return keras.Model(x, [inner(layers.Dense(4)(first)), first])


def begins_with_a_model():
    x = row()
    return keras.Model(x, layers.Dense(3)(tower()(x)))


def sequential_in_model():
    x = row()
    return keras.Model(x, layers.Dense(2)(chain_inside("part")(layers.Dense(4)(x))))


def ends_in_sequential():
    x = row()
    return keras.Model(x, chain_inside("part")(layers.Dense(4)(x)))


def shared_model():
    a, b = row("a"), row("b")
    inner = tower()
    return keras.Model([a, b], layers.Dense(1)(ops.abs(inner(a) - inner(b))))


def two_levels():
    x = keras.Input((4,))
    middle = keras.Model(x, layers.Dense(4)(tower("deep")(layers.Dense(4)(x))), name="middle")
    y = row()
    return keras.Model(y, layers.Dense(2)(middle(layers.Dense(4)(middle(y)))))


def model_with_several_ports():
    a, b = keras.Input((4,), name="p"), keras.Input((4,), name="q")
    x = layers.Dense(4)(a + b)
    inner = keras.Model([a, b], [x, layers.Dense(3)(x)], name="inner")
    u, v = row("u"), row("v")
    first, second = inner([layers.Dense(4)(u), v])
    third, fourth = inner([first, u])
    return keras.Model([u, v], [layers.Concatenate()([second, third]), fourth])


def model_with_dictionaries():
    a, b = keras.Input((4,), name="p"), keras.Input((4,), name="q")
    x = layers.Dense(4)(a - b)
    inner = keras.Model({"z": a, "y": b}, {"n": x, "m": layers.Dense(3)(x)}, name="inner")
    u, v = row("u"), row("v")
    out = inner({"y": layers.Dense(4)(u), "z": v})
    return keras.Model([u, v], [layers.Dense(2)(out["m"]), out["n"]])


def input_as_output():
    x, y = row("x"), row("y")
    return keras.Model([x, y], [layers.Dense(2)(x + y), y])


def output_from_the_middle():
    x = row()
    a = layers.Dense(4, name="early")(x)
    b = layers.Dense(4, name="late")(a)
    return keras.Model(x, [layers.Dense(2)(b), a])


def same_output_twice():
    x = row()
    a = layers.Dense(4)(x)
    b = layers.Dense(2)(a)
    return keras.Model(x, {"again": b, "first": b, "early": a})


def unused_input():
    x, y = row("used"), row("unused")
    return keras.Model([y, x], layers.Dense(2)(layers.Dense(3)(x)))


def created_backwards():
    late, middle, early = layers.Dense(2, name="late"), layers.Dense(3), layers.Dense(4, name="early")
    x = row()
    side = layers.Dense(3, name="side")
    return keras.Model(x, late(middle(early(x)) + side(x)))


def parallel_branches():
    x = image()
    a = layers.Conv2D(4, 1)(x)
    b = layers.Conv2D(4, 3, padding="same")(layers.Conv2D(3, 1)(x))
    c = layers.Conv2D(4, 1)(layers.AveragePooling2D(3, strides=1, padding="same")(x))
    d = layers.Concatenate()([c, a, b])
    return keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.BatchNormalization()(d))))


def layers_used_elsewhere():
    """Layers that are first called outside the model: the model has some of their calls."""
    x, other = row(), row("other")
    a, b = layers.Dense(4, name="a"), layers.Dense(4, name="b")
    b(a(other))
    y = b(a(x))
    a(y)
    return keras.Model(x, layers.Dense(2)(a(y + 1.0)))


def part_of_a_model():
    whole = parallel_branches()
    return keras.Model(whole.inputs, whole.layers[-4].output)


def mixed_types():
    tokens = keras.Input((5,), dtype="int32", name="tokens")
    x = layers.Embedding(10, 4)(tokens)
    weight = ops.expand_dims(ops.cast(tokens > 2, "float32"), -1)
    return keras.Model(tokens, layers.Dense(2)(ops.sum(x * weight, axis=1)))


def half_precision():
    x = row()
    y = layers.Dense(4, dtype="mixed_float16")(x)
    z = layers.Dense(4, dtype="mixed_float16")(y)
    return keras.Model(x, layers.Dense(2, dtype="float32")(z))


def open_extents():
    x = keras.Input((None, None, 3), name="image")
    y = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    z = layers.Conv2D(4, 3, padding="same")(y) + y
    return keras.Model(x, [layers.GlobalAveragePooling2D()(z), z])


def lambda_layer():
    x = row()
    y = layers.Lambda(lambda t: t * 2.0 + 1.0, output_shape=(4,))(layers.Dense(4)(x))
    return keras.Model(x, layers.Dense(2)(y))


MODELS = [v for v in list(globals().values()) if callable(v) and getattr(v, "__module__", "") == __name__]
MODELS = [m for m in MODELS if m not in (image, row, tower, chain_inside)]


def check_file(model, folder, cuts):
    """Checks the round trip, the outputs, and each of the cuts against the model."""
    path = save(model, folder / "m.keras")
    values = inputs_of(model)
    expected = run(model, values.values())

    again, original = load(assert_round_trip(path, folder)), load(path)
    assert [x.name for x in again.layers] == [x.name for x in original.layers]
    assert [(w.path, w.shape) for w in again.weights] == [(w.path, w.shape) for w in original.weights]
    assert_close(run(again, values.values()), expected)

    if not has_unknown(model):
        half = any("16" in str(layer.compute_dtype) for layer in model.layers)
        assert_close(netc_run(path, values, folder), expected, 4e-3 if half else 1e-5)

    graph = Graph(model)
    for i, cut in enumerate(cuts(graph)):
        check_cut(path, graph, cut, folder / f"cut{i}", values, expected)


def has_unknown(model):
    return any(isinstance(layer, NOT_RUN) for layer in model._flatten_layers())


def check_cut(path, graph, cut, folder, values, expected):
    """Checks that the stages compose in Keras and merge into the file, and that the graph confirms what crosses
    first."""
    first = cut.split(",")[0].split("+")
    part = graph.first_part(*first)
    manifest = harness.split(path, cut, folder)
    assert len(manifest["stages"]) == cut.count(",") + 2
    for stage in manifest["stages"]:
        assert stage["layers"] == len(load(folder / stage["file"]).layers), "as Keras counts them"
    inputs = [i for stage in manifest["stages"][1:] for i in stage["inputs"]]
    crossing = {i["source"]["output"] for i in inputs if i["source"].get("stage") == 0}
    assert len(crossing) == len({name for name in graph.crossing(part) if name[0] in graph.calls})
    assert_close(harness.run_chain(folder, values), expected)
    netc("merge", folder / "manifest.json", "-o", folder / "merged.keras")
    assert (folder / "merged.keras").read_bytes() == (path.parent / f"again_{path.name}").read_bytes()


def every_cut(graph):
    return [name for name in graph.calls if graph.is_cut(name)]


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_model(make, tmp_path):
    check_file(randomise(make()), tmp_path, every_cut)


def test_outputs_are_named_after_dictionary_keys(tmp_path):
    path = save(randomise(same_output_twice()), tmp_path / "m.keras")
    netc("run", path, "-o", tmp_path / "out.npz")
    with np.load(tmp_path / "out.npz") as out:
        assert out.files == ["again", "early", "first"]
    manifest = harness.split(path, "#1", tmp_path / "out")
    assert [output["name"] for output in manifest["outputs"]] == ["again", "early", "first"]


# Calls that netc cannot run, or not always. `x` and `y` are sequences of six steps of four features.
UNUSUAL = """
    layers.Conv1DTranspose(3, 2)(x)
    layers.GroupQueryAttention(4, 2, 2)(x, y)
    layers.TimeDistributed(layers.Dense(3))(x)
    layers.RNN([layers.LSTMCell(3), layers.GRUCell(2)])(x)
    layers.LSTM(3, return_sequences=True, return_state=True)(x)
    layers.LSTM(3)(x, initial_state=[x[:, 0, :3], y[:, 1, :3]])
    layers.LSTM(3)(layers.Masking(0.0)(x))
    layers.SpectralNormalization(layers.Dense(3))(x)
    layers.Pipeline([layers.Rescaling(0.5), layers.RandomFlip()])(x[:, :, None])
    layers.MultiHeadAttention(2, 3)(x, y, attention_mask=ops.ones((1, 6, 6)))
    layers.Identity()({"a": x, "b": y})["b"]
    layers.Dense(3, dtype="bfloat16")(x)
    layers.Dense(3, activation=layers.PReLU())(x)
    layers.Dense(3, kernel_regularizer="l2", kernel_constraint="max_norm")(x)
    layers.BatchNormalization()(x, training=False)
    layers.GaussianNoise(0.1)(x, training=True)
    layers.Embedding(7, 3, mask_zero=True)(ops.cast(ops.abs(x[..., 0]), "int32"))
    layers.Discretization(bin_boundaries=[0.0, 1.0])(x)
    layers.Normalization()(x)
    ops.einsum("abc->acb", x)
    ops.einsum("abc,dbc,ebc->ade", x, y, x)
    ops.top_k(x, 2)
    ops.meshgrid(x[0, 0], y[0, 0])
    ops.relu(ops.cast(x, "uint8"))
    ops.max(x > 0.0, axis=1)
    ops.argsort(x, axis=1)
    ops.cumprod(x, axis=1)
    ops.where(x > y, x, np.arange(4, dtype="float32"))
    ops.image.resize(x[..., None], (3, 3))
    x % 2.0
    (x > 0.0) & (y > 0.0)
    x * np.float32(2) + np.arange(4).astype("float32")
""".strip().splitlines()


@pytest.mark.parametrize("expression", map(str.strip, UNUSUAL))
def test_unusual_layer_round_trips_and_splits(expression, tmp_path):
    x, y = keras.Input((6, 4), name="x"), keras.Input((6, 4), name="y")
    made = keras.tree.flatten(eval(expression, {**globals(), "x": x * 2.0, "y": y + x}))
    model = randomise(keras.Model([x, y], [made, ops.cast(made[0], "float32") * 2.0]))
    path = save(model, tmp_path / "m.keras")
    load(assert_round_trip(path, tmp_path))
    values = inputs_of(model)
    expected = run(model, values.values())
    graph = Graph(model)
    for i, cut in enumerate([every_cut(graph)[0], every_cut(graph)[-1]]):
        check_cut(path, graph, cut, tmp_path / f"cut{i}", values, expected)


@pytest.mark.parametrize("make", [lists, shared_across_branches, parallel_branches, output_from_the_middle, chain])
def test_cut_at_the_end_is_an_error(make, tmp_path):
    model = make()
    path = save(model, tmp_path / "m.keras")
    graph = Graph(model)
    for name in graph.calls.keys() - set(every_cut(graph)):
        done = netc(path, "--pass", f"split={name}", "-o", tmp_path / "out", code=1)
        assert name in done.stderr and not (tmp_path / "out").exists()


@pytest.mark.parametrize("seed", range(60))
def test_random_graph(seed, tmp_path):
    rng = np.random.default_rng(seed)

    def some_cuts(graph):
        single = every_cut(graph)
        pairs = [(a, b) for a in single for b in single if graph.first_part(a) < graph.first_part(b)]
        joint = [(a, b) for a in single for b in single if graph.rest(graph.first_part(a, b)) and a < b]
        pick = lambda items: [items[rng.integers(len(items))]] if items else []
        cuts = pick(single) + [",".join(p) for p in pick(pairs)] + ["+".join(p) for p in pick(joint)]
        return cuts

    model = randomise(random_model(seed), seed)
    check_file(model, tmp_path, some_cuts)
    found = netc("cuts", tmp_path / "m.keras").stdout.splitlines()[1:]
    # The graph has nested models as calls; cuts inside them are paths.
    assert {name for name in (line.split()[0] for line in found) if "/" not in name} == Graph(model).one_tensor_cuts()


def test_lambda_code_is_copied(tmp_path):
    model = lambda_layer()
    path = save(model, tmp_path / "m.keras")
    code = harness.layers_of(harness.config_of(path))["lambda"]["config"]["function"]
    harness.split(path, "lambda", tmp_path / "out")
    stage = harness.config_of(tmp_path / "out/m.stage0.keras")
    assert harness.layers_of(stage)["lambda"]["config"]["function"] == code
    assert "lambda" in netc("run", path, code=1).stderr


def test_splitting_is_deterministic(tmp_path):
    path = save(randomise(parallel_branches()), tmp_path / "m.keras")
    for folder in ("a", "b"):
        harness.split(path, "concatenate", tmp_path / folder)
    for file in sorted((tmp_path / "a").iterdir()):
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


@pytest.mark.parametrize("make", MODELS, ids=lambda make: make.__name__)
def test_stages_saved_by_keras_are_accepted_with_a_note(make, tmp_path):
    path = save(randomise(make()), tmp_path / "m.keras")
    cuts = every_cut(Graph(load(path)))
    if not cuts:
        return
    stages = harness.split(path, cuts[len(cuts) // 2], tmp_path / "out")["stages"]
    for stage in stages:
        file = tmp_path / "out" / stage["file"]
        save(load(file), file)
    done = netc("inspect", tmp_path / "out/manifest.json")
    assert done.stderr.count("has changed since netc wrote it") == len(stages), done.stderr
    netc("merge", tmp_path / "out/manifest.json", "-o", tmp_path / "merged.keras")
    load(tmp_path / "merged.keras")
    refused = netc(path, "--pass", f"split={cuts[0]}", "-o", tmp_path / "out", code=1)
    assert "has changed since netc wrote it" in refused.stderr


def packed(path, method, to):
    """The archive with compressed members."""
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(to, "w", method) as again:
        for name in archive.namelist():
            again.writestr(name, archive.read(name))
    return to


@keras.saving.register_keras_serializable("interop")
class Table(layers.Layer):
    """Multiplies by numbers from an asset of the layer."""

    numbers = None

    def call(self, x):
        return x * keras.ops.convert_to_tensor(self.numbers, x.dtype)

    def compute_output_shape(self, shape):
        return shape

    def save_assets(self, folder):
        with open(f"{folder}/numbers.txt", "w") as file:
            file.write(" ".join(map(str, self.numbers)))

    def load_assets(self, folder):
        with open(f"{folder}/numbers.txt") as file:
            self.numbers = [float(number) for number in file.read().split()]


def table(name, numbers):
    layer = Table(name=name)
    layer.numbers = numbers
    return layer


def tables():
    x = row()
    inner_in = row("inner_in")
    second = table("second", [2.0, 0.5, -1.0, 3.0])
    inner = keras.Model(inner_in, layers.Dense(4)(second(layers.Dense(4)(inner_in))), name="inner")
    shared = table("shared", [0.25, 1.5, 1.0, -2.0])
    y = shared(layers.Dense(4, name="between")(shared(table("first", [1.0, 2.0, 3.0, 4.0])(x))))
    return keras.Model(x, layers.Dense(2)(inner(y)))


@pytest.mark.parametrize("cut", ["between", "shared@1", "inner", "inner/second"])
def test_stages_have_the_assets_of_their_layers(cut, tmp_path):
    model = randomise(tables())
    path = save(model, tmp_path / "m.keras")
    values = inputs_of(model)
    harness.split(path, cut, tmp_path / "out")
    assert_close(harness.run_chain(tmp_path / "out", values), run(model, values.values()))
    with zipfile.ZipFile(assert_round_trip(path, tmp_path)) as again, zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.startswith("assets/")]
        assert len(names) == 3 and {name: again.read(name) for name in names} == {name: archive.read(name) for name in names}
        assert again.namelist()[3:] == sorted(names)
    if "/" not in cut:
        netc("merge", tmp_path / "out/manifest.json", "-o", tmp_path / "merged.keras")
        assert (tmp_path / "merged.keras").read_bytes() == (tmp_path / "again_m.keras").read_bytes()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_assets_of_a_compressed_archive_are_read(method, tmp_path):
    path = save(randomise(tables()), tmp_path / "m.keras")
    packed(path, method, tmp_path / "packed.keras")
    for name in ("m", "packed"):
        netc(tmp_path / f"{name}.keras", "-o", tmp_path / f"{name}_again.keras")
    assert (tmp_path / "m_again.keras").read_bytes() == (tmp_path / "packed_again.keras").read_bytes()


def test_compressed_archive_equals_the_model(tmp_path):
    path = save(randomise(parallel_branches()), tmp_path / "m.keras")
    small = packed(path, zipfile.ZIP_DEFLATED, tmp_path / "small.keras")
    for name, file in [("of_path", path), ("of_small", small)]:
        netc(file, "-o", tmp_path / f"{name}.keras", "--verify")
    assert (tmp_path / "of_path.keras").read_bytes() == (tmp_path / "of_small.keras").read_bytes()
    netc("diff", path, small)


def test_damaged_compressed_archive_is_rejected(tmp_path):
    path = save(randomise(parallel_branches()), tmp_path / "m.keras")
    small = packed(path, zipfile.ZIP_DEFLATED, tmp_path / "small.keras")
    with zipfile.ZipFile(small) as archive:
        member = archive.getinfo("model.weights.h5")
    data = bytearray(small.read_bytes())
    data[member.header_offset + 30 + len(member.filename) + member.compress_size // 2] ^= 0x10
    small.write_bytes(data)
    assert "`model.weights.h5`" in netc(small, code=1).stderr
    other = packed(path, zipfile.ZIP_BZIP2, tmp_path / "other.keras")
    assert "zip -0" in netc(other, code=1).stderr
