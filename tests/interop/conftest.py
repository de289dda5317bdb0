"""Sets up Keras: the JAX backend, and NaN as initial weights, so that a weight missing from a file is noticed."""

import os
import types

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pytest
from keras.src.backend.common import global_state
from keras.src.initializers import random_initializers

import environments
import harness


def _nan(shape, *_args, dtype=None, **_kwargs):
    return np.full(shape, np.nan, dtype or "float32")


# Without this, JAX compiles an initializer for each shape, which takes most of the time of loading a model.
random_initializers.random = types.SimpleNamespace(
    **{**vars(random_initializers.random), "normal": _nan, "uniform": _nan, "truncated_normal": _nan}
)


@pytest.fixture(autouse=True)
def fresh_names():
    """Resets the numbering of layer names for each test, without the slow rest of `clear_session`."""
    global_state.set_global_attribute("object_name_uids", None)


@pytest.fixture(scope="session")
def tf_python():
    """The Python of TensorFlow 2.15, whose Keras is the last before Keras 3."""
    return environments.tf_keras()


@pytest.fixture(scope="session")
def application(tmp_path_factory):
    """Saves an application of Keras, once per session: `application("ResNet50")` returns the path."""
    paths = {}

    def path(name):
        if name not in paths:
            paths[name] = tmp_path_factory.mktemp(name) / f"{name}.keras"
            harness.save(harness.build_application(name), paths[name])
        return paths[name]

    yield path
    for file in paths.values():
        file.unlink()
