"""Models of tf.keras with masks at layers of several inputs: `masks_keras2_models.py FOLDER` saves each as `.keras` and
`.h5`, with inputs and the outputs that this Keras computes."""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import numpy as np

L = keras.layers
# Steps that both inputs mask, steps that one masks, and a row in which the first masks all steps.
A = np.array([[1, 2, 0, 0, 0], [0, 3, 0, 2, 1], [0, 0, 0, 0, 0]], "int32")
B = np.array([[1, 2, 0, 0, 0], [2, 0, 3, 2, 0], [0, 1, 0, 0, 0]], "int32")
MERGES = ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Attention", "AdditiveAttention"]


def tokens(name):
    x = keras.Input((5,), name=name, dtype="int32")
    return x, L.Embedding(7, 4, mask_zero=True, name=f"{name}_embedding")(x)


def read(inputs, y):
    return keras.Model(inputs, L.Dense(2, name="out")(L.LSTM(3, name="read")(L.Dense(4, name="mid")(y))))


def of_two(merge):
    (a, x), (b, y) = tokens("a"), tokens("b")
    return read([a, b], merge(x, y))


def of_one(merge):
    (a, x), b = tokens("a"), keras.Input((5, 4), name="b")
    return read([a, b], merge(x, b))


def of_list(name, **config):
    return lambda x, y: getattr(L, name)(name="join", **config)([x, y])


def attention(**config):
    return L.MultiHeadAttention(2, 3, name="join", **config)


def encoder():
    a, x = tokens("a")
    y = L.Add(name="first")([x, L.MultiHeadAttention(2, 3, name="attention")(x, x)])
    return read([a], L.Add(name="join")([y, L.MultiHeadAttention(2, 3, name="again")(y, y)]))


MODELS = {f"{name}_two": lambda name=name: of_two(of_list(name)) for name in MERGES}
MODELS |= {f"{name}_one": lambda name=name: of_one(of_list(name)) for name in MERGES}
MODELS |= {
    "Concatenate_steps": lambda: of_two(of_list("Concatenate", axis=1)),
    "attention_two": lambda: of_two(attention()),
    "attention_one": lambda: of_one(attention()),
    "attention_dropout": lambda: of_two(attention(dropout=0.1)),
    "attention_causal": lambda: of_two(lambda x, y: attention()(x, y, use_causal_mask=True)),
    "encoder": encoder,
}


def save(folder):
    for name, make in MODELS.items():
        keras.backend.clear_session()
        model, rng = make(), np.random.default_rng(1)
        for weight in model.weights:
            weight.assign(rng.normal(size=weight.shape))
        model.save(folder / f"{name}.h5", include_optimizer=False)
        model.save(folder / f"{name}.keras")
        steps = rng.normal(size=(3, 5, 4)).astype("float32")
        inputs = [A, B if "b_embedding" in [layer.name for layer in model.layers] else steps][: len(model.inputs)]
        named = {tensor.name: x for tensor, x in zip(model.inputs, inputs)}
        np.savez(folder / f"{name}.npz", out=model.predict(inputs, verbose=0), **named)


if __name__ == "__main__":
    save(Path(sys.argv[1]))
