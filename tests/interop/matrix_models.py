"""The models of `matrix.py`: one or more for every layer class, operation and feature of graphs.

Runs in tf.keras 2.15 and in Keras 3. A model is a `Case`: its row in the table, and a function that builds it. Most are
an expression over the inputs `x`, `y` and `z`, with the names of `keras.layers`, `ops` for `keras.ops`, `tf` for
TensorFlow, and `act` for `keras.activations`. Models that a framework cannot build are skipped.
"""

from dataclasses import dataclass
from typing import Callable

import keras
import numpy as np
from keras import layers as L

KERAS_3 = keras.__version__.startswith("3")
ROW, STEPS, IMAGE, VOLUME, TOKENS = (6,), (5, 4), (7, 8, 4), (4, 5, 6, 2), (5,)

LAYERS = {
    ROW: """
        Dense(5)(x)
        Dense(5, use_bias=False, activation='gelu')(x)
        Dense(5, activation=LeakyReLU(0.3))(x)
        Dense(4, kernel_regularizer='l2', kernel_constraint='max_norm')(x)
        Dense(4, dtype='mixed_float16')(x)
        Dense(4, trainable=False)(x)
        Activation('relu')(x)
        ELU(0.7)(x)
        LeakyReLU(0.2)(x)
        PReLU()(x)
        ReLU(6.0)(x)
        ReLU(0.8, 0.1, 0.3)(x)
        ThresholdedReLU(0.3)(x)
        Softmax()(x)
        RepeatVector(3)(x)
        Reshape((2, 3))(x)
        Flatten()(x)
        Identity()(x)
        Dropout(0.4)(x)
        AlphaDropout(0.4)(x)
        GaussianDropout(0.4)(x)
        GaussianNoise(0.4)(x)
        ActivityRegularization(l2=0.1)(x)
        UnitNormalization()(x)
        LayerNormalization()(x)
                RMSNormalization()(x)
        BatchNormalization()(x)
        BatchNormalization(scale=False, center=False)(x)
        BatchNormalization(renorm=True)(x)
        Rescaling(0.5, offset=-1)(x)
        Rescaling([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])(x)
        Normalization(mean=0.3, variance=1.7)(x)
        Normalization()(x)
        Normalization(invert=True)(x)
        SpectralNormalization(Dense(5))(x)
        Discretization([-0.7, 0.1, 0.8])(x)
        Discretization([-0.7, 0.1, 0.8], output_mode='multi_hot')(x)
        CategoryEncoding(6, output_mode='multi_hot')(tokens)
        CategoryEncoding(6, output_mode='count')(tokens)
        EinsumDense('ab,bc->ac', 5, bias_axes='c')(x)
        Add()([x, y, z])
        Subtract()([x, y])
        Multiply()([x, y, z])
        Average()([x, y, z])
        Maximum()([x, y, z])
        Minimum()([x, y, z])
        Concatenate()([x, y, z])
        Dot(axes=1)([x, y])
        Dot(axes=1, normalize=True)([x, y])
        Lambda(lambda t: t * 2.0 + 1.0)(x)
        Lambda(lambda t, factor: t * factor, arguments={'factor': 3.0})(x)
    """,
    TOKENS: """
        Embedding(7, 3)(tokens)
        IntegerLookup(vocabulary=[1, 3, 4])(tokens)
        IntegerLookup(vocabulary=[1, 3, 4], output_mode='multi_hot')(tokens)
        Hashing(3)(tokens)
        HashedCrossing(5)([tokens[:, :1], tokens[:, 1:2]])
        StringLookup(vocabulary=['a', 'b'])(words)
        TextVectorization(vocabulary=['a', 'b'])(words[:, :1])
        ReversibleEmbedding(7, 3)(tokens)
    """,
    STEPS: """
        Conv1D(3, 2)(x)
        Conv1D(3, 2, padding='causal', dilation_rate=2)(x)
        Conv1D(4, 3, groups=2, strides=2, padding='same')(x)
        DepthwiseConv1D(3, depth_multiplier=2)(x)
        SeparableConv1D(3, 3)(x)
        Conv1DTranspose(3, 3, strides=2, padding='same')(x)
        LocallyConnected1D(3, 2)(x)
        MaxPooling1D(3, strides=1, padding='same')(x)
        AveragePooling1D(2, padding='same')(x)
        GlobalMaxPooling1D()(x)
        GlobalAveragePooling1D(keepdims=True)(x)
        AdaptiveAveragePooling1D(3)(x)
        AdaptiveMaxPooling1D(3)(x)
        SpatialDropout1D(0.3)(x)
        ZeroPadding1D((1, 3))(x)
        Cropping1D((2, 1))(x)
        UpSampling1D(3)(x)
        Permute((2, 1))(x)
        Masking()(x)
        SimpleRNN(3)(x)
        SimpleRNN(3, return_sequences=True, go_backwards=True, use_bias=False, activation='relu')(x)
        GRU(3)(x)
        GRU(3, reset_after=False, return_sequences=True)(x)
        GRU(3, return_state=True, recurrent_activation='hard_sigmoid')(x)
        LSTM(3)(x)
        LSTM(3, return_sequences=True, return_state=True)(x)
        LSTM(3, recurrent_activation='hard_sigmoid')(x)
        LSTM(3, unroll=True)(x)
        LSTM(3, time_major=True)(x)
        RNN(SimpleRNNCell(3))(x)
        RNN(GRUCell(3, reset_after=False), return_sequences=True)(x)
        RNN(LSTMCell(3), return_state=True)(x)
        RNN([LSTMCell(3), GRUCell(2)])(x)
        RNN(StackedRNNCells([SimpleRNNCell(3), LSTMCell(2)]))(x)
        Bidirectional(LSTM(3))(x)
        Bidirectional(GRU(3, return_sequences=True), merge_mode='sum')(x)
        Bidirectional(SimpleRNN(3, return_state=True))(x)
        Bidirectional(LSTM(3), backward_layer=GRU(3, go_backwards=True))(x)
        Bidirectional(LSTM(3), merge_mode=None)(x)
        Bidirectional(RNN(LSTMCell(3)))(x)
        TimeDistributed(Dense(3, activation='relu'))(x)
        TimeDistributed(BatchNormalization())(x)
        TimeDistributed(TimeDistributed(Dense(2)))(Reshape((5, 2, 2))(x))
        EinsumDense('abc,cde->abde', output_shape=(None, 2, 3), bias_axes='de')(x)
        BatchNormalization(axis=1)(x)
        LayerNormalization(axis=[1, 2])(x)
        GroupNormalization(2)(x)
        Dot(axes=(2, 2))([x, y])
        Concatenate(axis=1)([x, y])
        MultiHeadAttention(2, 3)(x, y)
        MultiHeadAttention(2, 3)(query=x, value=y, key=z)
        MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
        MultiHeadAttention(2, 3)(x, y, return_attention_scores=True)
        MultiHeadAttention(2, 3, use_bias=False, value_dim=2)(x, y)
        GroupQueryAttention(3, 4, 2)(x, y)
        Attention(use_scale=True)([x, y, z])
        Attention(score_mode='concat')([x, y])
        Attention()([x, x], use_causal_mask=True)
        AdditiveAttention()([x, y])
        SpectralNormalization(Conv1D(3, 2))(x)
        MelSpectrogram(fft_length=4, sequence_stride=1, num_mel_bins=3)(Permute((2, 1))(x))
        STFTSpectrogram(frame_length=3, frame_step=1, fft_length=4)(x)
    """,
    IMAGE: """
        Conv2D(3, 3)(x)
        Conv2D(3, (3, 2), strides=(2, 1), padding='same', activation='relu')(x)
        Conv2D(4, 3, groups=2, dilation_rate=2)(x)
        Conv2D(3, 3, data_format='channels_first')(x)
        DepthwiseConv2D(3, depth_multiplier=2)(x)
        DepthwiseConv2D(3, dilation_rate=2)(x)
        SeparableConv2D(3, 3, depth_multiplier=2)(x)
        Conv2DTranspose(3, 3, strides=2, padding='same')(x)
        Conv2DTranspose(3, (4, 3), strides=(2, 3), output_padding=(1, 2))(x)
        Conv2DTranspose(3, 3, dilation_rate=2)(x)
        LocallyConnected2D(3, 2)(x)
        LocallyConnected2D(3, 2, implementation=2)(x)
        MaxPooling2D(3, strides=2, padding='same')(x)
        AveragePooling2D(3, strides=2, padding='same')(x)
        GlobalMaxPooling2D(keepdims=True)(x)
        GlobalAveragePooling2D()(x)
        AdaptiveAveragePooling2D(3)(x)
        AdaptiveMaxPooling2D(3)(x)
        ConvLSTM1D(3, 2)(x)
        TimeDistributed(Conv1D(3, 2))(x)
        SpatialDropout2D(0.3)(x)
        ZeroPadding2D(((1, 0), (0, 3)))(x)
        Cropping2D(((1, 0), (0, 3)))(x)
        UpSampling2D((3, 2))(x)
        UpSampling2D(2, interpolation='bilinear')(x)
        UpSampling2D(2, interpolation='bicubic')(x)
        UpSampling2D(2, interpolation='area')(x)
        Resizing(5, 13)(x)
        Resizing(5, 4, interpolation='nearest')(x)
        Resizing(14, 16, interpolation='bicubic')(x)
        Resizing(5, 5, crop_to_aspect_ratio=True)(x)
        CenterCrop(4, 4)(x)
        CenterCrop(9, 4)(x)
        Permute((3, 1, 2))(x)
        BatchNormalization()(x)
        PReLU(shared_axes=[1, 2])(x)
        GroupNormalization(4, axis=-1)(x)
        Softmax(axis=1)(x)
        RandomFlip()(x)
        RandomRotation(0.2)(x)
        RandomZoom(0.2)(x)
        RandomTranslation(0.2, 0.2)(x)
        RandomContrast(0.2)(x)
        RandomBrightness(0.2)(x)
        RandomCrop(4, 4)(x)
        RandomHeight(0.2)(x)
        RandomWidth(0.2)(x)
        AugMix()(x[..., :3])
        CutMix()(x[..., :3])
        MixUp()(x[..., :3])
        RandAugment()(x[..., :3])
        RandomColorDegeneration(0.2)(x[..., :3])
        RandomColorJitter()(x[..., :3])
        RandomElasticTransform()(x[..., :3])
        RandomErasing()(x[..., :3])
        RandomGaussianBlur()(x[..., :3])
        RandomGrayscale()(x[..., :3])
        RandomHue(0.2)(x[..., :3])
        RandomInvert()(x[..., :3])
        RandomPerspective()(x[..., :3])
        RandomPosterization(4)(x[..., :3])
        RandomSaturation(0.2)(x[..., :3])
        RandomSharpness(0.2)(x[..., :3])
        RandomShear(0.2, 0.2)(x[..., :3])
        AutoContrast()(x[..., :3])
        ContrastLimitedAdaptiveHistogramEqualization()(x[..., :3])
        Equalization()(x[..., :3])
        Solarization()(x[..., :3])
        Pipeline([Rescaling(0.5), RandomFlip()])(x)
    """,
    VOLUME: """
        Conv3D(3, 2)(x)
        Conv3DTranspose(3, 2, strides=2, padding='same')(x)
        MaxPooling3D()(x)
        AveragePooling3D(2, padding='same')(x)
        GlobalMaxPooling3D()(x)
        GlobalAveragePooling3D()(x)
        AdaptiveAveragePooling3D(2)(x)
        AdaptiveMaxPooling3D(2)(x)
        SpatialDropout3D(0.2)(x)
        ZeroPadding3D((1, 0, 2))(x)
        Cropping3D(((1, 0), (0, 2), (1, 1)))(x)
        UpSampling3D((1, 2, 3))(x)
        ConvLSTM2D(3, 2, recurrent_activation='hard_sigmoid')(x)
        ConvLSTM3D(2, 2)(Reshape((4, 5, 6, 2, 1))(x))
        TimeDistributed(Conv2D(3, 2))(x)
    """,
}

ACTIVATIONS = """celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink""".split()

# Operations of `keras.ops` and operators, in Keras 3.
OPERATIONS = {
    ROW: """
        x + y
        x - 1.5
        2.0 * x
        x / 3.0
        -x
        x ** 2
        x > y
        x @ ops.transpose(y)
        x[:, 1:4]
        x[..., None]
        x[:, ::-1]
        ops.where(x > y, x, 0.0)
        ops.cast(x, 'int32')
        ops.equal(x, y)
        ops.logical_and(x > 0.0, y > 0.0)
        ops.logical_not(x > 0.0)
        ops.divide_no_nan(x, y)
        ops.power(ops.abs(x), 0.3)
        ops.maximum(x, 0.2)
        ops.clip(x, -0.5, 0.7)
        ops.absolute(x)
        ops.sign(x)
        ops.square(x)
        ops.exp(x)
        ops.expm1(x)
        ops.log1p(ops.abs(x))
        ops.sqrt(ops.abs(x))
        ops.rsqrt(ops.abs(x) + 0.1)
        ops.sin(x)
        ops.tanh(x)
        ops.erf(x)
        ops.floor(x)
        ops.round(x)
        ops.isnan(x)
        ops.argmax(x, axis=1)
        ops.count_nonzero(x, axis=1)
        ops.roll(x, 2, axis=1)
        ops.zeros_like(x)
        ops.copy(x)
        ops.stop_gradient(x)
        ops.sum(x, axis=1)
        ops.mean(x, axis=-1, keepdims=True)
        ops.max(x, axis=1)
        ops.prod(x, axis=1)
        ops.var(x, axis=1)
        ops.any(x > 1.0, axis=1)
        ops.logsumexp(x, axis=1)
        ops.cumsum(x, axis=1)
        ops.sort(x)
        ops.top_k(x, 2)
        ops.dot(x, ops.transpose(y))
        ops.einsum('ab,cb->ac', x, y)
        ops.reshape(x, (-1, 3, 2))
        ops.transpose(x)
        ops.expand_dims(x, 1)
        ops.squeeze(ops.expand_dims(x, 1), axis=1)
        ops.concatenate([x, y, z], axis=-1)
        ops.stack([x, y], axis=1)
        ops.split(x, 3, axis=1)
        ops.split(x, [1, 4], axis=-1)
        ops.unstack(x, axis=1)
        ops.flip(x, axis=1)
        ops.pad(x, ((0, 0), (1, 2)), constant_values=1.5)
        ops.repeat(x, 3, axis=1)
        ops.tile(x, (1, 2))
        ops.take(x, [0, -1], axis=1)
        ops.take_along_axis(x, ops.argmax(x, axis=1, keepdims=True), axis=1)
        ops.normalize(x)
        ops.one_hot(ops.cast(ops.abs(x), 'int32'), 4)
        ops.softmax(x)
        ops.relu(x)
        ops.gelu(x)
        ops.silu(x)
        ops.leaky_relu(x, negative_slope=0.1)
        ops.hard_sigmoid(x)
        ops.sigmoid(x)
        ops.softplus(x)
        act.relu(x, negative_slope=0.1, max_value=1.0)
    """,
    STEPS: """
        ops.swapaxes(x, 1, 2)
        ops.moveaxis(x, 1, 2)
        ops.tril(x)
        ops.matmul(x, ops.transpose(y, (0, 2, 1)))
        ops.max_pool(x, (2,), strides=(2,))
        ops.average_pool(x, (2,), strides=(1,), padding='same')
        ops.layer_normalization(x)
        ops.rms_normalization(x)
        ops.broadcast_to(x[:1, :1], (3, 5, 4))
        ops.fft((x, y))
        x[:, -1]
    """,
    IMAGE: """
        ops.image.resize(x, (5, 13))
        ops.nn.depth_to_space(x, 2)
        ops.image.rgb_to_grayscale(x[..., :3])
    """,
}

# Operations of TensorFlow and operators, in tf.keras.
TENSORFLOW = {
    ROW: """
        x + y
        x - 1.5
        1.5 - x
        2.0 * x
        x / 3.0
        x // 0.5
        x % 0.5
        -x
        x ** 2
        x > y
        x[:, 1:4]
        x[:, 1]
        x[..., None]
        x[:, ::-1]
        tf.abs(x)
        tf.add(x, y)
        tf.subtract(x, y)
        tf.multiply(x, 2.0)
        tf.divide(x, y)
        tf.math.divide_no_nan(x, y)
        tf.maximum(x, 0.2)
        tf.minimum(x, y)
        tf.negative(x)
        tf.sign(x)
        tf.square(x)
        tf.sqrt(tf.abs(x))
        tf.math.rsqrt(tf.abs(x) + 0.1)
        tf.exp(x)
        tf.math.log(tf.abs(x) + 0.1)
        tf.math.log1p(tf.abs(x))
        tf.pow(tf.abs(x), 0.3)
        tf.sin(x)
        tf.cos(x)
        tf.tanh(x)
        tf.sigmoid(x)
        tf.floor(x)
        tf.round(x)
        tf.math.erf(x)
        tf.where(x > y, x, y)
        tf.cast(x, 'int32')
        tf.equal(x, y)
        tf.greater_equal(x, 0.1)
        tf.logical_and(x > 0.0, y > 0.0)
        tf.logical_not(x > 0.0)
        tf.clip_by_value(x, -0.5, 0.7)
        tf.identity(x)
        tf.stop_gradient(x)
        tf.reduce_sum(x, axis=1)
        tf.reduce_sum(x, axis=0)
        tf.reduce_mean(x, axis=-1, keepdims=True)
        tf.reduce_mean(x)
        tf.reduce_max(x, axis=1)
        tf.reduce_min(x, axis=1)
        tf.reduce_prod(x, axis=1)
        tf.reduce_any(x > 1.0, axis=1)
        tf.reduce_logsumexp(x, axis=1)
        tf.math.reduce_variance(x, axis=1)
        tf.argmax(x, axis=1)
        tf.cumsum(x, axis=1)
        tf.sort(x)
        tf.math.top_k(x, 2)
        tf.reshape(x, (-1, 3, 2))
        tf.shape(x)
        tf.transpose(x)
        tf.expand_dims(x, 1)
        tf.squeeze(tf.expand_dims(x, 1), axis=1)
        tf.concat([x, y, z], axis=-1)
        tf.stack([x, y], axis=1)
        tf.split(x, 3, axis=1)
        tf.unstack(x, axis=1)
        tf.reverse(x, axis=[1])
        tf.pad(x, [[0, 0], [1, 2]])
        tf.repeat(x, 3, axis=1)
        tf.tile(x, [1, 2])
        tf.gather(x, [0, 2], axis=1)
        tf.one_hot(tf.cast(tf.abs(x), 'int32'), 4)
        tf.zeros_like(x)
        tf.ones_like(x)
        tf.matmul(x, y, transpose_b=True)
        tf.einsum('ab,cb->ac', x, y)
        tf.tensordot(x, y, axes=[[1], [1]])
        tf.nn.relu(x)
        tf.nn.relu6(x)
        tf.nn.leaky_relu(x, alpha=0.1)
        tf.nn.elu(x)
        tf.nn.selu(x)
        tf.nn.gelu(x)
        tf.nn.silu(x)
        tf.nn.softplus(x)
        tf.nn.softsign(x)
        tf.nn.softmax(x)
        tf.nn.log_softmax(x)
        tf.nn.l2_normalize(x, axis=1)
        tf.nn.bias_add(x, tf.ones(6))
        act.relu(x, alpha=0.1, max_value=1.0)
        act.hard_sigmoid(x)
        keras.backend.mean(x, axis=1)
        keras.backend.batch_dot(x, y, axes=1)
    """,
    STEPS: """
        tf.transpose(x, [0, 2, 1])
        tf.matmul(x, y, transpose_b=True)
        tf.linalg.band_part(x, -1, 0)
        x @ tf.transpose(y, [0, 2, 1])
        x[:, -1]
        x[:, tf.newaxis]
        tf.norm(x, axis=-1)
    """,
    IMAGE: """
        tf.image.resize(x, (5, 13))
        tf.nn.max_pool2d(x, 2, 2, 'VALID')
        tf.nn.avg_pool2d(x, 2, 2, 'VALID')
        tf.nn.local_response_normalization(x)
        tf.nn.depth_to_space(x, 2)
        tf.image.rgb_to_grayscale(x[..., :3])
    """,
}


@dataclass
class Case:
    """A model: its row, a text that identifies it in the row, and a function that makes it.

    `cut` names the layer to cut at; if it is None, that is the layer that `make` calls its subject.
    """

    row: str
    text: str
    make: Callable
    cut: str | None = None
    kind: str = "features"


@keras.saving.register_keras_serializable("matrix")
class Affine(L.Layer):
    """A custom layer with weights."""

    def build(self, shape):
        self.gamma = self.add_weight(shape=(shape[-1],), name="gamma")
        self.beta = self.add_weight(shape=(shape[-1],), name="beta")
        super().build(shape)

    def call(self, x):
        return x * self.gamma + self.beta

    def compute_output_shape(self, shape):
        return shape


@keras.saving.register_keras_serializable("matrix")
class Residual(L.Layer):
    """A custom layer with inner layers."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.wide, self.norm = L.Dense(units, name="wide"), L.BatchNormalization(name="norm")

    def build(self, shape):
        self.narrow = L.Dense(shape[-1], name="narrow")
        self.wide.build(shape)
        self.norm.build((*shape[:-1], self.units))
        self.narrow.build((*shape[:-1], self.units))
        super().build(shape)

    def call(self, x):
        return x + self.narrow(self.norm(self.wide(x)))

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("matrix")
class Twice(L.Wrapper):
    """A custom wrapper that applies its layer twice."""

    def call(self, x):
        return self.layer(self.layer(x))


@keras.saving.register_keras_serializable("matrix")
class TiedHead(L.Layer):
    """A custom layer that reads the weights of another layer, which its configuration declares."""

    def __init__(self, table=None, **kwargs):
        super().__init__(**kwargs)
        self.table = table

    def build(self, shape):
        self.bias = self.add_weight(shape=(self.table.input_dim,), name="bias")
        super().build(shape)

    def call(self, x):
        if KERAS_3:
            return keras.ops.matmul(x, keras.ops.transpose(self.table.embeddings)) + self.bias
        import tensorflow as tf

        return tf.matmul(x, tf.transpose(self.table.embeddings)) + self.bias

    def get_config(self):
        return {**super().get_config(), "table": keras.saving.serialize_keras_object(self.table)}

    @classmethod
    def from_config(cls, config):
        table = config.pop("table")
        return cls(table if isinstance(table, L.Layer) else keras.saving.deserialize_keras_object(table), **config)


@keras.saving.register_keras_serializable("matrix")
class Halve(L.Layer):
    """A custom layer with an argument in its call and a dictionary as its result."""

    def call(self, x, factor=1.0):
        return {"half": x * 0.5 * factor, "whole": x}


@keras.saving.register_keras_serializable("matrix")
class SumCell(L.Layer):
    """A custom recurrent cell."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = self.output_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], self.units), name="kernel")
        super().build(shape)

    def call(self, x, states):
        y = x @ self.kernel + states[0]
        return y, [y]

    def get_config(self):
        return {**super().get_config(), "units": self.units}


@keras.saving.register_keras_serializable("matrix")
class Subclass(keras.Model):
    """A subclassed model, which has no graph."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.dense = L.Dense(3, name="dense")

    def call(self, x):
        return self.dense(x)


@keras.saving.register_keras_serializable("matrix")
def doubled(x):
    """A named function for `Lambda` and `Activation`."""
    return x * 2.0


def of(shape, name="x", **kwargs):
    return keras.Input(shape, name=name, **kwargs)


def block(name="block", shape=(4,), end=4):
    """A small functional model."""
    x = of(shape, f"{name}_in")
    return keras.Model(x, L.Dense(end, name="last")(L.BatchNormalization(name="norm")(L.Dense(5, name="first")(x))), name=name)


def nested():
    x = of((4,))
    return keras.Model(x, L.Dense(2, name="out")(block()(L.Dense(4, name="mid")(x))))


def nested_deeply():
    x, y = of((4,), "y"), of((4,))
    middle = keras.Model(x, block("deep")(L.Dense(4, name="wide")(x)), name="middle")
    return keras.Model(y, L.Dense(2, name="out")(L.ReLU(name="mid")(middle(y))))


def nested_sequential():
    x = of((4,))
    inner = keras.Sequential([of((4,), "inner_in"), L.Dense(5, name="first"), L.Dropout(0.2, name="drop"), L.Dense(4, name="last")], name="chain")
    return keras.Model(x, L.Dense(2, name="out")(inner(L.Dense(4, name="mid")(x))))


def nested_outputs():
    x, y = of((4,), "y"), of((4,))
    inner = keras.Model(x, [L.Dense(3, name="p")(x), L.Dense(2, name="q")(x)], name="pair")
    p, q = inner(L.Dense(4, name="before")(y))
    return keras.Model(y, L.Dense(2, name="out")(L.Concatenate(name="mid")([q, p])))


def nested_twice():
    x, inner = of((4,)), block()
    return keras.Model(x, L.Dense(2, name="out")(inner(L.Dense(4, name="mid")(inner(x)))))


def sequential():
    return keras.Sequential([of((4,)), L.Dense(5, name="first"), L.ReLU(name="mid"), L.Dense(2, name="out")])


def sequential_of_models():
    return keras.Sequential([of((4,)), block("one"), L.ReLU(name="mid"), block("two")])


def sequential_without_input():
    model = keras.Sequential([L.Dense(5, name="first"), L.ReLU(name="mid"), L.Dense(2, name="out")])
    model.build((None, 4))
    return model


def shared_layer():
    x, dense = of((4,)), L.Dense(4, name="shared")
    return keras.Model(x, L.Dense(2, name="out")(dense(L.ReLU(name="mid")(dense(x)))))


def shared_between_models():
    dense, x = L.Dense(4, name="shared"), of((4,))
    y = of((4,), "inner_in")
    inner = keras.Model(y, L.Dense(4, name="own")(dense(y)), name="inner")
    return keras.Model(x, L.Dense(2, name="out")(inner(L.ReLU(name="mid")(dense(x)))))


def siamese():
    a, b, tower = of((4,), "a"), of((4,), "b"), block("tower")
    return keras.Model([a, b], L.Dense(2, name="out")(L.Concatenate(name="mid")([tower(a), tower(b)])))


def masking():
    x = of(STEPS)
    return keras.Model(x, L.LSTM(3, name="out")(L.Dense(4, name="mid")(L.Masking(0.0, name="masking")(x))))


def mask_of_embedding():
    x = of(TOKENS, dtype="int32")
    y = L.LSTM(4, return_sequences=True, name="lstm")(L.Embedding(7, 4, mask_zero=True, name="embedding")(x))
    return keras.Model(x, L.Dense(2, name="out")(L.LSTM(3, name="mid")(y)))


def mask_of_embedding_merged():
    x = of(TOKENS, dtype="int32")
    e = L.Embedding(7, 4, mask_zero=True, name="embedding")(x)
    y = L.Bidirectional(L.GRU(3, return_sequences=True), name="both")(e)
    return keras.Model(x, L.Dense(2, name="out")(L.GRU(3, name="mid")(L.Concatenate(name="join")([e, y]))))


def mask_into_attention():
    x = of(TOKENS, dtype="int32")
    e = L.Embedding(7, 4, mask_zero=True, name="embedding")(x)
    y = L.GlobalAveragePooling1D(name="mid")(L.MultiHeadAttention(2, 3, name="attention")(e, e))
    return keras.Model(x, L.Dense(2, name="out")(y))


def mask_given():
    x, mask = of(STEPS), of(STEPS[:1], "mask", dtype="bool")
    return keras.Model([x, mask], L.Dense(2, name="out")(L.LSTM(3, name="mid")(L.Dense(4, name="first")(x), mask=mask)))


def mask_into_a_model():
    s, w = of((5, 4), "s"), of(TOKENS, "w", dtype="int32")
    inner = keras.Model(s, L.GRU(4, name="gru")(s), name="inner")
    return keras.Model(w, L.Dense(1, name="out")(L.ReLU(name="mid")(inner(L.Embedding(7, 4, mask_zero=True, name="embedding")(w)))))


def mask_out_of_a_model():
    s, w = of(TOKENS, "s", dtype="int32"), of(TOKENS, "w", dtype="int32")
    inner = keras.Model(s, L.Embedding(7, 4, mask_zero=True, name="embedding")(s), name="inner")
    return keras.Model(w, L.Dense(1, name="out")(L.ReLU(name="mid")(L.GRU(4, name="gru")(inner(w)))))


def distributed(inner, shape):
    x = of(shape)
    y = L.TimeDistributed(inner, name="mid")(L.Activation("linear", name="first")(x))
    return keras.Model(x, L.LSTM(3, name="out")(y))


def distributed_convolutions():
    x = of((5, 5, 2), "image")
    inner = keras.Model(x, L.GlobalAveragePooling2D(name="pool")(L.Conv2D(3, 2, name="conv")(x)), name="inner")
    return distributed(inner, (3, 5, 5, 2))


def initial_state(make, states):
    x, others = of(STEPS), [of((3,), f"s{i}") for i in range(states)]
    return keras.Model([x, *others], L.Dense(2, name="out")(make()(L.Dense(4, name="first")(x), initial_state=others)))


def encoder_decoder():
    e, d = of((5, 4), "e"), of((3, 4), "d")
    _, h, c = L.LSTM(6, return_state=True, name="encoder")(e)
    return keras.Model([e, d], L.Dense(2, name="out")(L.LSTM(6, return_sequences=True, name="mid")(d, initial_state=[h, c])))


def initial_state_of_both():
    x, states = of(STEPS), [of((3,), f"s{i}") for i in range(4)]
    y = L.Bidirectional(L.LSTM(3), name="mid")(L.Dense(4, name="first")(x), initial_state=states)
    return keras.Model([x, *states], L.Dense(2, name="out")(y))


def stateful(make):
    x = keras.Input(batch_shape=(2, 5, 4), name="x")
    return keras.Model(x, L.Dense(2, name="out")(make()(L.Dense(4, name="first")(x))))


def stateful_sequential():
    first = {} if KERAS_3 else {"batch_input_shape": (2, 5, 4)}
    begin = [keras.Input(batch_shape=(2, 5, 4), name="x")] if KERAS_3 else []
    return keras.Sequential([*begin, L.LSTM(4, stateful=True, return_sequences=True, name="mid", **first), L.LSTM(3, name="out")])


def attention():
    x, y, z = of(STEPS), of(STEPS, "y"), of(STEPS, "z")
    q = L.Dense(4, name="first")(x)
    return keras.Model([x, y, z], L.Dense(2, name="out")(L.MultiHeadAttention(2, 3, name="mid")(q, y, key=z)))


def attention_mask():
    x, mask = of(STEPS), of((5, 5), "mask", dtype="bool")
    q = L.Dense(4, name="first")(x)
    return keras.Model([x, mask], L.Dense(2, name="out")(L.MultiHeadAttention(2, 3, name="mid")(q, q, attention_mask=mask)))


def attention_masks_of_a_list():
    x, y = of(STEPS), of(STEPS, "y")
    qm, vm = of(STEPS[:1], "qm", dtype="bool"), of(STEPS[:1], "vm", dtype="bool")
    return keras.Model([x, y, qm, vm], L.Dense(2, name="out")(L.Attention(name="mid")([L.Dense(4, name="first")(x), y], mask=[qm, vm])))


def dictionary_of_outputs():
    x = of((4,))
    h = L.Dense(3, name="mid")(x)
    return keras.Model(x, {"z_score": L.Dense(1, name="s1")(h), "a_label": L.Dense(2, name="s2")(h)})


def dictionary_of_inputs():
    a, b = of((4,), "a"), of((3,), "b")
    return keras.Model({"b": b, "a": a}, L.Dense(2, name="out")(L.Concatenate(name="mid")([a, b])))


def dictionaries():
    a, b = of((4,), "age"), of((4,), "before")
    h = L.Add(name="mid")([L.Dense(4, name="first")(a), b])
    return keras.Model({"before": b, "age": a}, {"q": L.Dense(2, name="out")(h), "p": h})


def nested_lists_of_inputs():
    a, b, c = of((4,), "a"), of((4,), "b"), of((4,), "c")
    return keras.Model([a, [b, c]], L.Dense(2, name="out")(L.Add(name="mid")([a, b, c])))


def list_of_one_output():
    x = of((4,))
    return keras.Model([x], [L.Dense(2, name="out")(L.Dense(3, name="mid")(x))])


def same_output_twice():
    x = of((4,))
    h = L.Dense(3, name="mid")(x)
    y = L.Dense(2, name="out")(h)
    return keras.Model(x, [y, h, y])


def input_as_output():
    x = of((4,))
    return keras.Model(x, [x, L.Dense(2, name="out")(L.Dense(3, name="mid")(x))])


def input_without_reader():
    x, y = of((4,)), of((3,), "unused")
    return keras.Model([x, y], L.Dense(2, name="out")(L.Dense(3, name="mid")(x)))


def output_in_the_middle():
    x = of((4,))
    h = L.Dense(3, name="early")(x)
    return keras.Model(x, [h, L.Dense(2, name="out")(L.ReLU(name="mid")(h))])


def tied():
    x = of(TOKENS, dtype="int32")
    table = L.Embedding(9, 4, name="embedding")
    return keras.Model(x, TiedHead(table, name="out")(L.GRU(4, return_sequences=True, name="mid")(table(x))))


def with_loss():
    import tensorflow as tf

    x = of((4,))
    y = L.Dense(4, name="out")(L.Dense(3, name="mid")(x))
    model = keras.Model(x, y)
    model.add_loss(tf.reduce_mean(tf.square(y)))
    return model


def with_loss_of_two():
    import tensorflow as tf

    x = of((4,))
    h = L.Dense(3, name="mid")(x)
    y = L.Dense(4, name="out")(h)
    model = keras.Model(x, y)
    model.add_loss(0.5 * tf.reduce_sum(tf.abs(h)))
    model.add_metric(tf.reduce_sum(y), name="sum", aggregation="mean")
    return model


def slashes():
    x = of((4,))
    return keras.Model(x, L.Dense(2, name="block/out")(L.Dense(3, name="block/mid")(x)))


def compiled():
    model = sequential()
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((4, 4), "float32"), np.ones((4, 2), "float32"), verbose=0)
    return model


def open_lengths():
    x = of((None, 4))
    return keras.Model(x, L.Dense(2, name="out")(L.GRU(3, name="mid")(L.Dense(4, name="first")(x))))


def quantised():
    model = sequential()
    model.quantize("int8")
    return model


def low_rank():
    model = sequential()
    model.get_layer("first").enable_lora(2)
    return model


def quantised_attention():
    model = attention()
    model.quantize("int8")
    return model


def between(layer, shape=(4,)):
    """A model with the layer between two others."""

    def make():
        x = of(shape)
        return keras.Model(x, L.Dense(2, name="out")(layer()(L.Dense(4, name="first")(x))))

    return make


def argument_of_a_call():
    x = of((4,))
    y = Halve(name="mid")(L.Dense(4, name="first")(x), factor=3.0)
    return keras.Model(x, L.Dense(2, name="out")(y["half"]))


def argument_training():
    x = of((4,))
    return keras.Model(x, L.Dense(2, name="out")(L.Dropout(0.3, name="mid")(L.Dense(4, name="first")(x), training=False)))


def batch_normalization_training():
    x = of((4,))
    return keras.Model(x, L.Dense(2, name="out")(L.BatchNormalization(name="mid")(L.Dense(4, name="first")(x), training=True)))


def raw_operations():
    x = of((4,))
    if KERAS_3:
        y = keras.ops.relu(L.Dense(4, name="mid")(x)) * 2.0
    else:
        import tensorflow as tf

        y = tf.nn.relu(L.Dense(4, name="mid")(x)) * 2.0
    return keras.Model(x, L.Dense(2, name="out")(y[:, :2] + 1.0))


def frozen():
    x = of((4,))
    inner = block()
    inner.trainable = False
    return keras.Model(x, L.Dense(2, name="out")(inner(L.Dense(4, name="mid")(x))))


FEATURES = {
    "nested model": (nested, nested_deeply, nested_outputs, nested_twice, frozen),
    "nested `Sequential`": (nested_sequential, sequential_of_models),
    "`Sequential`": (sequential, sequential_without_input),
    "layer called twice": (shared_layer,),
    "layer shared by two models": (shared_between_models,),
    "model called twice": (siamese,),
    "mask of `Masking`": (masking,),
    "mask of `Embedding`": (mask_of_embedding, mask_of_embedding_merged, mask_into_attention),
    "mask in a call": (mask_given,),
    "mask into or out of a nested model": (mask_into_a_model, mask_out_of_a_model),
    "`TimeDistributed` of a model": (
        ("functional", lambda: distributed(block(), (3, 4))),
        ("sequential", lambda: distributed(keras.Sequential([of((4,), "in"), L.Dense(3, name="a"), L.Dense(4, name="b")], name="inner"), (3, 4))),
        ("convolutions", distributed_convolutions),
    ),
    "custom layer": (
        ("weights", between(lambda: Affine(name="mid"))),
        ("layers", between(lambda: Residual(5, name="mid"))),
        ("argument, dictionary", argument_of_a_call),
    ),
    "custom wrapper": (
        ("Dense", between(lambda: Twice(L.Dense(4, name="inside"), name="mid"))),
        ("in TimeDistributed", between(lambda: L.TimeDistributed(Affine(name="inside"), name="mid"), (3, 4))),
    ),
    "custom cell": (("RNN", between(lambda: L.RNN(SumCell(3), name="mid"), (3, 4))),),
    "weights tied through a configuration": (tied,),
    "`initial_state`": (
        ("LSTM", lambda: initial_state(lambda: L.LSTM(3, name="mid"), 2)),
        ("GRU", lambda: initial_state(lambda: L.GRU(3, name="mid"), 1)),
        ("SimpleRNN", lambda: initial_state(lambda: L.SimpleRNN(3, name="mid"), 1)),
        ("RNN", lambda: initial_state(lambda: L.RNN(L.LSTMCell(3), name="mid"), 2)),
        ("Bidirectional", initial_state_of_both),
        ("encoder and decoder", encoder_decoder),
    ),
    "stateful recurrent layer": (
        ("LSTM", lambda: stateful(lambda: L.LSTM(3, stateful=True, name="mid"))),
        ("GRU", lambda: stateful(lambda: L.GRU(3, stateful=True, return_sequences=True, name="mid"))),
        ("sequential", stateful_sequential),
    ),
    "attention with several inputs": (attention, attention_mask, attention_masks_of_a_list),
    "dictionary of outputs": (dictionary_of_outputs,),
    "dictionary of inputs": (dictionary_of_inputs, dictionaries),
    "nested lists of inputs": (nested_lists_of_inputs,),
    "outputs": (list_of_one_output, same_output_twice, input_as_output, output_in_the_middle),
    "input that no layer reads": (input_without_reader,),
    "`Lambda` of a named function": (("named", between(lambda: L.Lambda(doubled, name="mid"))),),
    "custom activation": (("named", between(lambda: L.Dense(4, activation=doubled, name="mid"))),),
    "`add_loss`, `add_metric`": () if KERAS_3 else (with_loss, with_loss_of_two),
    "raw operations": (raw_operations,),
    "argument `training`": (argument_training, batch_normalization_training),
    "slashes in names": (slashes,),
    "compiled and trained": (compiled,),
    "open lengths": (open_lengths,),
    "int8": (quantised, quantised_attention) if KERAS_3 else (),
    "low-rank adapters": (low_rank,) if KERAS_3 else (),
    "model without a graph": (("subclass", lambda: built(Subclass())), ("nested", between(lambda: Subclass(name="mid")))),
}


def built(model):
    model(np.ones((2, 4), "float32"))
    return model


def namespace():
    names = {**vars(L), "act": keras.activations, "keras": keras, "np": np}
    if KERAS_3:
        return {**names, "ops": keras.ops}
    import tensorflow as tf

    return {**names, "tf": tf}


def names_in(expression):
    return compile(expression, "", "eval").co_names


def of_expression(shape, expression):
    """A model of one layer or operation. An `Activation` without effect precedes each input and follows each output."""

    def make():
        used = [name for name in ("x", "y", "z", "tokens", "words") if name in names_in(expression)]
        dtypes = {"tokens": "int32", "words": "string"}
        inputs = {name: of(TOKENS if name in dtypes else shape, name, dtype=dtypes.get(name, "float32")) for name in used}
        values = {n: x if n == "words" else L.Activation("linear", name=f"pre_{n}")(x) for n, x in inputs.items()}
        y = flatten(eval(expression, namespace(), values))
        end = [L.Activation("linear", name=f"post{i}")(t) for i, t in enumerate(y)]
        model = keras.Model(list(inputs.values()), end if len(end) > 1 else end[0])
        model.subject = producer(y[0])
        return model

    return make


def producer(tensor):
    """The name of the layer or operation that computes the tensor."""
    return tensor._keras_history[0].name


def flatten(structure):
    """The tensors of a structure, in order; those of a dictionary in the order of its keys."""
    if isinstance(structure, dict):
        structure = [structure[key] for key in sorted(structure)]
    return [t for part in structure for t in flatten(part)] if isinstance(structure, (list, tuple)) else [structure]


def lines(table):
    return [(shape, line.strip()) for shape, text in table.items() for line in text.splitlines() if line.strip()]


def row_of_layer(expression):
    """The row of the outermost class: `TimeDistributed(Dense(3))(x)` belongs to `TimeDistributed`."""
    return f"`{expression.split('(', 1)[0]}`"


OPERATORS = ["**", "//", " @ ", " + ", " - ", " * ", " / ", " % ", " > "]


def row_of_operation(expression):
    if expression.startswith(("ops.", "tf.", "act.", "keras.")):
        return f"`{expression.split('(', 1)[0]}`"
    found = next((o.strip() for o in OPERATORS if o in expression), None)
    return f"`{found}`" if found else "negative `-x`" if expression == "-x" else "slices `x[...]`"


def cases():
    """All models for this framework."""
    found = [Case(row_of_layer(e), e, of_expression(s, e), kind="layers") for s, e in lines(LAYERS)]
    found += [Case("`Activation` by name", n, of_expression(ROW, f"Activation('{n}')(x)"), kind="layers") for n in ACTIVATIONS]
    table = OPERATIONS if KERAS_3 else TENSORFLOW
    found += [Case(row_of_operation(e), e, of_expression(s, e), kind="operations") for s, e in lines(table)]
    for row, makers in FEATURES.items():
        for maker in makers:
            text, make = maker if isinstance(maker, tuple) else (maker.__name__.replace("_", " "), maker)
            found.append(Case(row, text, make, cut=CUTS.get(text, "mid")))
    return found


CUSTOM = ("Affine", "Residual", "Twice", "TiedHead", "Halve", "SumCell", "Subclass", "doubled")

# Cuts of models whose layer is not named `mid`.
CUTS = {"slashes": "block/mid", "subclass": "dense"}

# Classes of `keras.layers` without a model: abstract ones, and those that need another framework or have no graph.
LEFT_OUT = {
    "AbstractRNNCell", "DenseFeatures", "FlaxLayer", "InputLayer", "InputSpec", "JaxLayer", "Layer", "MaxNumBoundingBoxes",
    "TFSMLayer", "TorchModuleWrapper", "Wrapper",
}  # fmt: skip


def classes_without_model():
    """The classes of this framework that no expression uses."""
    text = " ".join(e for _, e in lines(LAYERS))
    names = {}
    for name, item in vars(L).items():
        if isinstance(item, type) and name not in LEFT_OUT:
            names.setdefault(item, []).append(name)
    return sorted(aliases[0] for aliases in names.values() if not any(f"{name}(" in text for name in aliases))
