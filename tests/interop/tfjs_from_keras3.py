"""Makes models of Keras 3 for TensorFlow.js, one for each layer that it has and a few larger ones.

    python tests/interop/tfjs_from_keras3.py models netc

For each model it writes `NAME.keras`, the `NAME.values.json` that `tfjs_values.mjs` compares with, and, with the command
`netc`, the layers-model in the folder `NAME`. Models that netc rejects are listed with the reason.
"""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers as L

from harness import randomise

ROW, STEPS, IMAGE, VOLUME = (6,), (5, 4), (8, 9, 4), (4, 5, 6, 3)
ACTIVATIONS = ["elu", "gelu", "hard_sigmoid", "leaky_relu", "linear", "log_softmax", "mish", "relu", "relu6", "selu",
               "sigmoid", "silu", "softmax", "softplus", "softsign", "tanh"]  # fmt: skip
LAYERS = {
    ROW: [L.Dense(3, activation=name) for name in ACTIVATIONS]
    + [L.Dense(3, dtype="mixed_float16"), L.Activation("swish"), L.LeakyReLU(0.2), L.ReLU(6.0), L.ReLU(0.5, 0.1)]
    + [L.ELU(), L.PReLU(), L.Softmax(), L.BatchNormalization(), L.LayerNormalization(), L.RepeatVector(3)]
    + [L.Dense(3, kernel_regularizer="l2", bias_regularizer="l1", activity_regularizer="l2")]
    + [L.Dense(3, kernel_initializer="lecun_normal", bias_initializer="lecun_uniform"), L.Dense(3, kernel_regularizer="orthogonal_regularizer")]
    + [L.CategoryEncoding(4), L.LayerNormalization(rms_scaling=True)]
    + [L.Reshape((2, 3)), L.Dropout(0.2), L.GaussianNoise(0.1), L.AlphaDropout(0.1), L.Rescaling(0.5, 1.0)],
    STEPS: [L.Conv1D(3, 2), L.Conv1D(3, 2, padding="causal"), L.LSTM(3), L.GRU(3), L.GRU(3, reset_after=False)]
    + [L.LSTM(3, return_sequences=True, go_backwards=True), L.LSTM(3, recurrent_activation="hard_sigmoid")]
    + [L.SimpleRNN(3), L.Bidirectional(L.LSTM(3)), L.Bidirectional(L.SimpleRNN(3), merge_mode="sum"), L.Masking()]
    + [L.TimeDistributed(L.Dense(3)), L.AveragePooling1D(2), L.MaxPooling1D(2), L.GlobalAveragePooling1D()]
    + [L.Conv1D(3, 2, data_format="channels_first"), L.MaxPooling1D(2, data_format="channels_first")]
    + [L.GlobalAveragePooling1D(data_format="channels_first"), L.GlobalMaxPooling1D(data_format="channels_first")]
    + [L.GlobalMaxPooling1D(), L.Permute((2, 1)), L.SpatialDropout1D(0.2), L.Flatten()],
    IMAGE: [L.Conv2D(3, 3), L.Conv2D(3, 3, strides=2, padding="same"), L.Conv2D(4, 3, groups=2)]
    + [L.Conv2D(3, 3, dilation_rate=2), L.Conv2DTranspose(3, 3, strides=2, padding="same"), L.DepthwiseConv2D(3)]
    + [L.DepthwiseConv2D(3, dilation_rate=2), L.Conv2DTranspose(3, 3, dilation_rate=2)]
    + [L.Conv2D(3, 3, data_format="channels_first"), L.SeparableConv2D(3, 3, data_format="channels_first")]
    + [L.TimeDistributed(L.DepthwiseConv1D(3)), L.UpSampling2D(2, interpolation="bicubic")]
    + [L.SeparableConv2D(3, 3), L.AveragePooling2D(2, padding="same"), L.MaxPooling2D(3, strides=2, padding="same")]
    + [L.GlobalAveragePooling2D(), L.GlobalAveragePooling2D(keepdims=True), L.GlobalMaxPooling2D()]
    + [L.ZeroPadding2D(((1, 2), (0, 3))), L.Cropping2D(((1, 2), (0, 3))), L.UpSampling2D(2), L.CenterCrop(4, 4)]
    + [L.UpSampling2D(2, interpolation="bilinear"), L.Resizing(5, 6), L.BatchNormalization(scale=False)]
    + [L.BatchNormalization(axis=1), L.LayerNormalization(axis=(1, 2)), L.PReLU(shared_axes=[1, 2])]
    + [L.TimeDistributed(L.Conv1D(3, 2)), L.Softmax(axis=1), L.Permute((3, 1, 2))],
    VOLUME: [L.Conv3D(2, 2), L.Conv3DTranspose(2, 2), L.MaxPooling3D(2), L.AveragePooling3D(2), L.ConvLSTM2D(2, 2)]
    + [L.BatchNormalization(), L.Conv3DTranspose(2, 2, dilation_rate=2), L.TimeDistributed(L.DepthwiseConv2D(2))],
}
MERGES = [L.Add(), L.Average(), L.Maximum(), L.Minimum(), L.Multiply(), L.Concatenate(), L.Dot(1), L.Subtract()]


def of_layer(shape, layer):
    x = keras.Input(shape)
    return keras.Model(x, layer(x))


def of_two(layer):
    x, y = keras.Input(ROW), keras.Input(ROW)
    return keras.Model([x, y], layer([x, y]))


def masked():
    x, mask = keras.Input(STEPS), keras.Input(STEPS[:1], dtype="bool")
    return keras.Model([x, mask], L.LSTM(3)(x, mask=mask))


def decoder():
    x, h, c = keras.Input(STEPS), keras.Input((3,)), keras.Input((3,))
    return keras.Model([x, h, c], L.LSTM(3)(x, initial_state=[h, c]))


def siamese():
    tower = keras.Sequential([keras.Input(ROW), L.Dense(4, activation="relu"), L.BatchNormalization()], name="tower")
    return of_two(lambda xs: L.Dense(2)(L.Concatenate()([tower(x) for x in xs])))


def record(model, folder, netc):
    name = f"{len(list(folder.glob('*.keras'))):03d}_{type(model.layers[-1]).__name__}"
    randomise(model).save(folder / f"{name}.keras")
    rng = np.random.default_rng(0)
    inputs = [rng.normal(size=(2, *x.shape[1:])).astype("float32") for x in model.inputs]
    outputs = [np.asarray(y) for y in keras.tree.flatten(model(inputs if len(inputs) > 1 else inputs[0]))]
    tensors = lambda arrays: [{"shape": a.shape, "values": a.astype(float).ravel().tolist()} for a in arrays]
    (folder / f"{name}.values.json").write_text(json.dumps({"inputs": tensors(inputs), "outputs": tensors(outputs)}))
    command = [netc, folder / f"{name}.keras", "--format", "tfjs", "-o", folder / name]
    done = subprocess.run(command, capture_output=True, text=True)
    print(name, "written" if done.returncode == 0 else done.stderr.strip().splitlines()[-1])


def main(folder, netc):
    folder = Path(folder)
    folder.mkdir()
    models = [of_layer(shape, layer) for shape, layers in LAYERS.items() for layer in layers]
    models += [of_two(layer) for layer in MERGES] + [siamese(), masked(), decoder()]
    models.append(keras.applications.ResNet50(input_shape=(64, 64, 3), weights=None, classes=10))
    for model in models:
        record(model, folder, netc)


if __name__ == "__main__":
    main(*sys.argv[1:])
