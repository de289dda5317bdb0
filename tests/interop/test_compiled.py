"""The compile configuration and the optimizer's state: netc keeps them when it rewrites a file, and drops them
otherwise."""

import io
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from keras import layers

import harness
from harness import assert_close, inputs_of, netc, randomise, run, save

LEFT_OUT = "the compile configuration and the optimizer's state are left out"


def optimizers():
    schedule = keras.optimizers.schedules.ExponentialDecay(0.01, 10, 0.9)
    return {
        "adam": keras.optimizers.Adam(schedule, amsgrad=True),
        "ema": keras.optimizers.SGD(0.1, momentum=0.9, use_ema=True),
        "accumulated": keras.optimizers.RMSprop(gradient_accumulation_steps=2),
        "scaled": keras.optimizers.LossScaleOptimizer(keras.optimizers.Lion()),
        "plain": keras.optimizers.SGD(),
    }


def compiled(optimizer):
    """A model with trainable and frozen weights, after three training steps."""
    x = image = keras.Input((6, 6, 2))
    x = layers.Conv2D(3, 3, name="frozen", trainable=False)(x)
    x = layers.Flatten()(layers.BatchNormalization()(x))
    inner = keras.Sequential([layers.Dense(4, "relu"), layers.Dense(3)], name="head")
    model = randomise(keras.Model(image, inner(x)))
    model.compile(optimizer, keras.losses.Huber(0.5), metrics=[keras.metrics.MeanSquaredError()])
    train(model)
    return model


def train(model):
    """The losses of three training steps."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, 6, 6, 2)), rng.normal(size=(12, 3))
    return model.fit(x, y, batch_size=4, shuffle=False, verbose=0).history


@pytest.mark.parametrize("optimizer", optimizers())
def test_training_continues_after_a_round_trip(optimizer, tmp_path):
    model = compiled(optimizers()[optimizer])
    theirs, ours = save(model, tmp_path / "theirs.keras"), tmp_path / "ours.keras"
    assert LEFT_OUT not in netc(theirs, "-o", ours).stdout
    loaded, original = keras.models.load_model(ours), keras.models.load_model(theirs)
    assert loaded.get_compile_config() == original.get_compile_config()
    for mine, other in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy(), mine.path)
    assert train(loaded) == train(original)
    netc(ours, "-o", tmp_path / "again.keras")
    assert (tmp_path / "again.keras").read_bytes() == ours.read_bytes()


def listed(group):
    """The arrays that a group lists, by name and in order."""
    names = [name.decode() if isinstance(name, bytes) else name for name in group.attrs["weight_names"]]
    return [(name, group[name][()]) for name in names]


def hdf5_files(folder):
    """Files of Keras 3, and one of the last Keras 2, whose optimizer names its variables differently."""
    for name, optimizer in optimizers().items():
        yield save(compiled(optimizer), folder / f"{name}.h5")
    yield harness.LEGACY / "trained.h5"


def test_hdf5_round_trip_keeps_training_state(tmp_path):
    for path in hdf5_files(tmp_path):
        assert LEFT_OUT not in netc(path, "-o", tmp_path / "again.h5").stdout
        with h5py.File(path) as old, h5py.File(tmp_path / "again.h5") as new:
            assert json.loads(old.attrs["training_config"]) == json.loads(new.attrs["training_config"])
            pairs = zip(listed(old["optimizer_weights"]), listed(new["optimizer_weights"]), strict=True)
            for (old_name, old_numbers), (new_name, new_numbers) in pairs:
                assert old_name == new_name
                np.testing.assert_array_equal(old_numbers, new_numbers)
                assert old_numbers.dtype == new_numbers.dtype
        netc(tmp_path / "again.h5", "-o", tmp_path / "twice.h5")
        assert (tmp_path / "twice.h5").read_bytes() == (tmp_path / "again.h5").read_bytes()
    netc(tmp_path / "ema.h5", "-o", tmp_path / "again.h5")
    loaded = keras.models.load_model(tmp_path / "again.h5")
    assert loaded.compiled and loaded.optimizer.momentum == 0.9


def state(path):
    """Whether a file has the state of an optimizer."""
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return "optimizer_weights" in file
    with zipfile.ZipFile(path) as archive, h5py.File(archive.open("model.weights.h5")) as file:
        return "optimizer" in file


@pytest.mark.parametrize(("source", "target"), [("keras", "h5"), ("h5", "keras")])
def test_conversion_drops_training_state(source, target, tmp_path):
    model = compiled(keras.optimizers.Adam())
    path, again = save(model, tmp_path / f"m.{source}"), tmp_path / f"again.{target}"
    assert LEFT_OUT in netc(path, "-o", again).stdout
    assert state(path) and not state(again)
    assert not keras.models.load_model(again).compiled


def test_json_keeps_the_compile_configuration(tmp_path):
    model = compiled(keras.optimizers.Adam(0.25))
    (tmp_path / "m.json").write_text(model.to_json())
    for source in [tmp_path / "m.json", save(model, tmp_path / "m.keras")]:
        netc(source, "-o", tmp_path / "again.json")
        again = keras.models.model_from_json((tmp_path / "again.json").read_text())
        assert again.compiled and again.optimizer.learning_rate == 0.25


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, "sharded"])
def test_compressed_and_sharded_state_is_kept(method, tmp_path):
    model = compiled(keras.optimizers.Adam())
    path = save(model, tmp_path / "m.keras")
    if method == "sharded":
        model.save_weights(tmp_path / "m.weights.json", max_shard_size=1e-6)
        shards = {file.name: file.read_bytes() for file in tmp_path.glob("m*.weights.*")}
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "packed.keras", "w") as new:
        for name in old.namelist():
            if method != "sharded":
                new.writestr(name, old.read(name), method)
            elif name != "model.weights.h5":
                new.writestr(name, old.read(name))
        if method == "sharded":
            for name, data in shards.items():
                new.writestr("model.weights.json" if name == "m.weights.json" else name, data)
    netc(tmp_path / "packed.keras", "-o", tmp_path / "again.keras")
    again = keras.models.load_model(tmp_path / "again.keras")
    for mine, other in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), other.numpy(), mine.path)


def test_layers_named_like_the_optimizer_keep_their_weights(tmp_path):
    x = keras.Input((4,))
    model = randomise(keras.Model(x, layers.Dense(2, name="optimizer")(layers.Dense(3, name="adam")(x))))
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 4)), np.ones((2, 2)))
    path = save(model, tmp_path / "m.keras")
    netc(path, "-o", tmp_path / "again.keras")
    again, values = keras.models.load_model(tmp_path / "again.keras"), inputs_of(model)
    assert_close(run(again, values.values()), run(model, values.values()))
    assert len(again.optimizer.variables) == len(model.optimizer.variables)


def test_optimizer_of_a_nested_model_is_dropped(tmp_path):
    """As in transfer learning: the model was trained before it became part of another one."""
    inner = randomise(keras.Sequential([keras.Input((4,)), layers.Dense(3, name="one"), layers.Dense(2, name="two")], name="inner"))
    inner.compile("adam", "mse")
    inner.train_on_batch(np.ones((2, 4)), np.ones((2, 2)))
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2, name="head")(inner(x)))
    randomise(model)
    path, values = save(model, tmp_path / "m.keras"), inputs_of(model)
    done = netc(path, "-o", tmp_path / "again.keras")
    report = " ".join(done.stdout.split())
    assert f"of the model `inner` {LEFT_OUT}" in report and f"{model.count_params()} params" in report
    for target in ["again.keras", "again.h5"]:
        netc(path, "-o", tmp_path / target)
        again = keras.models.load_model(tmp_path / target)
        assert_close(run(again, values.values()), run(model, values.values()))
    assert "Adam" not in json.dumps(harness.config_of(tmp_path / "again.keras"))
    netc(path, "--pass", "split=inner/one", "-o", tmp_path / "out", "--verify")
    assert_close(harness.run_chain(tmp_path / "out", values), run(model, values.values()))


@pytest.mark.parametrize("option", [("--no-optimizer",), ("--pass", "freeze=frozen")])
@pytest.mark.parametrize("extension", ["keras", "h5"])
def test_training_state_is_dropped_by_option_and_by_passes(option, extension, tmp_path):
    model = compiled(keras.optimizers.Adam())
    done = netc(save(model, tmp_path / f"m.{extension}"), *option, "-o", tmp_path / f"again.{extension}")
    assert LEFT_OUT in done.stdout
    again = keras.models.load_model(tmp_path / f"again.{extension}")
    assert not again.compiled and not state(tmp_path / f"again.{extension}")
    values = inputs_of(model)
    assert_close(run(again, values.values()), run(model, values.values()))


def test_separate_weights_drop_training_state(tmp_path):
    model = compiled(keras.optimizers.Adam())
    path = save(model, tmp_path / "m.keras")
    done = netc(path, "--weights", path, "-o", tmp_path / "again.keras")
    assert LEFT_OUT in done.stdout
    assert not keras.models.load_model(tmp_path / "again.keras").compiled


def test_stages_are_not_compiled(tmp_path):
    model = compiled(keras.optimizers.Adam())
    path = save(model, tmp_path / "m.keras")
    assert "compile_config" in harness.config_of(path)
    done = netc(path, "--pass", "split=frozen", "-o", tmp_path / "out")
    assert LEFT_OUT in done.stdout
    for stage in (tmp_path / "out").glob("*.keras"):
        assert "compile_config" not in harness.config_of(stage)
        assert not keras.models.load_model(stage).compiled
    values = inputs_of(model)
    assert_close(harness.run_chain(tmp_path / "out", values), run(model, values.values()))


def test_merged_stages_equal_the_model_without_training_state(tmp_path):
    path = save(compiled(keras.optimizers.Adam()), tmp_path / "m.keras")
    netc(path, "--no-optimizer", "-o", tmp_path / "whole.keras")
    netc(path, "--pass", "split=frozen", "-o", tmp_path / "out")
    netc("merge", tmp_path / "out/manifest.json", "-o", tmp_path / "merged.keras")
    assert (tmp_path / "merged.keras").read_bytes() == (tmp_path / "whole.keras").read_bytes()


def test_unreadable_training_state_is_named_and_can_be_dropped(tmp_path):
    path = save(compiled(keras.optimizers.Adam()), tmp_path / "m.keras")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "odd.keras", "w") as new:
        weights = io.BytesIO(old.read("model.weights.h5"))
        with h5py.File(weights, "r+") as file:
            file["optimizer/text"] = "no number"
        for name in old.namelist():
            new.writestr(name, weights.getvalue() if name == "model.weights.h5" else old.read(name))
    error = netc(tmp_path / "odd.keras", "-o", tmp_path / "again.keras", code=1).stderr
    assert "optimizer/text" in error
    netc(tmp_path / "odd.keras", "--no-optimizer", "-o", tmp_path / "again.keras")
    netc(tmp_path / "odd.keras", "--pass", "split=frozen", "-o", tmp_path / "out")


def test_damaged_optimizer_list_is_named(tmp_path):
    path = save(compiled(keras.optimizers.Adam()), tmp_path / "m.h5")
    with h5py.File(path, "r+") as file:
        group = file["optimizer_weights"]
        missing = group.attrs["weight_names"][3]
        del group[missing]
    error = netc(path, "-o", tmp_path / "again.h5", code=1).stderr
    assert "optimizer_weights" in error and missing in error and "--no-optimizer" in error
    netc(path, "--no-optimizer", "-o", tmp_path / "again.h5")
    netc("cuts", path)
