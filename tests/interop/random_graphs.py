"""Random functional models: branches, skips, shared layers, nested models, operators, several inputs and outputs."""

import keras
import numpy as np
from keras import layers, ops

WIDTH = 4


class _Maker:
    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        # Names are shuffled, so that neither their order nor the order of creation is that of the graph.
        self.names = [f"n{i}" for i in self.rng.permutation(100)]
        inputs = [keras.Input((WIDTH,), name=self.names.pop()) for _ in range(self.rng.integers(1, 4))]
        self.inputs, self.tensors = inputs, list(inputs)
        self.shared = [self.layer() for _ in range(3)]
        self.nested = [self.functional(), self.sequential()]

    def layer(self):
        name = self.names.pop()
        make = self.pick([
            lambda: layers.Dense(WIDTH, name=name),
            lambda: layers.Dense(WIDTH, activation="tanh", name=name),
            lambda: layers.BatchNormalization(name=name),
            lambda: layers.LayerNormalization(name=name),
            lambda: layers.Activation("tanh", name=name),
            lambda: layers.Dropout(0.5, name=name),
        ])  # fmt: skip
        return make()

    def functional(self):
        a = keras.Input((WIDTH,), name=self.names.pop())
        shared = layers.Dense(WIDTH, name=self.names.pop())
        b = layers.Dense(WIDTH, name=self.names.pop())(shared(a))
        return keras.Model(a, shared(b) + a, name=self.names.pop())

    def sequential(self):
        parts = [layers.Dense(3, activation="tanh", name="inside"), layers.Dense(WIDTH, name=self.names.pop())]
        return keras.Sequential([keras.Input((WIDTH,)), *parts], name=self.names.pop())

    def pick(self, items):
        return items[self.rng.integers(len(items))]

    def tensor(self):
        """A tensor; recent ones are more likely."""
        n = len(self.tensors)
        return self.tensors[min(n - 1, int(n * self.rng.random() ** 0.5))]

    def grow(self):
        x, y = self.tensor(), self.tensor()
        new = self.pick([
            lambda: self.layer()(x),
            lambda: self.layer()(x),
            lambda: self.layer()(x),
            lambda: self.pick(self.shared)(x),
            lambda: self.pick(self.shared)(x),
            lambda: self.pick(self.nested)(x),
            lambda: layers.Add(name=self.names.pop())([x, y, self.tensor()]),
            lambda: layers.Dense(WIDTH, name=self.names.pop())(layers.Concatenate(name=self.names.pop())([x, y])),
            lambda: x + y,
            lambda: 2.0 - x,
            lambda: ops.maximum(x, y),
            lambda: ops.mean(x, axis=1, keepdims=True) + y,
            lambda: ops.concatenate(ops.split(x, 2, axis=-1)[::-1], axis=-1),
            lambda: layers.Dot(axes=1, name=self.names.pop())([x, y]) * x,
            lambda: x[:, ::-1],
        ])()  # fmt: skip
        self.tensors.append(new)

    def structure(self, tensors, keys):
        """The tensors as a single one, a list, a dictionary, or a dictionary of lists."""
        if len(tensors) == 1 and self.rng.random() < 0.7:
            return tensors[0]
        form = self.pick(["list", "dict", "nested"])
        if form == "list":
            return list(tensors)
        if form == "dict" or len(tensors) < 3:
            return dict(zip(keys, tensors))
        return {keys[0]: list(tensors[:2]), keys[1]: tensors[2:]}


def random_model(seed, calls=12):
    """A model of about `calls` calls."""
    maker = _Maker(seed)
    for _ in range(calls):
        maker.grow()
    # The last result and others, sometimes an input.
    count = int(maker.rng.integers(1, 5))
    outputs = [maker.tensors[-1]] + [maker.tensor() for _ in range(count - 1)]
    outputs = list({id(t): t for t in outputs}.values())
    maker.rng.shuffle(outputs)
    inputs = maker.structure(maker.inputs, ["b", "c", "a"])
    return keras.Model(inputs, maker.structure(outputs, ["q", "p", "s", "r"]), name=f"random{seed}")
