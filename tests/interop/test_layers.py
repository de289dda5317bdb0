"""Every layer and operation that netc runs computes what Keras computes.

A case is an expression over `x`, and `y` and `z` of the same shape, with the names of `keras.layers`, `ops`, and `act`
for `keras.activations`.
"""

import inspect
import math
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops
from keras.src.activations import ALL_OBJECTS_DICT
from keras.src.applications import convnext

from harness import assert_close, input_names, inputs_of, netc, netc_run, randomise, run, save

ACTIVATIONS = sorted(ALL_OBJECTS_DICT.keys() - {"threshold"})  # `threshold` has arguments without defaults
IMAGE, IMAGE_FIRST, STEPS, VOLUME, ROW = (7, 9, 4), (4, 7, 9), (11, 4), (5, 6, 7, 4), (6,)
OPEN_IMAGE, OPEN_STEPS = (None, None, 4), (None, 4)

CASES = {
    ROW: """
        Dense(5)(x)
        Dense(5, use_bias=False, activation='gelu')(x)
        Dense(1)(x)
        ELU(0.7)(x)
        LeakyReLU(0.2)(x)
        LeakyReLU()(x)
        PReLU()(x)
        ReLU()(x)
        ReLU(max_value=0.8)(x)
        ReLU(max_value=6, negative_slope=0.1, threshold=0.3)(x)
        ReLU(negative_slope=0.1)(x)
        ReLU(negative_slope=0.1, max_value=1.0)(x)
        ReLU(threshold=0.5)(x)
        Softmax()(x)
        Activation('relu')(x)
        Activation(act.gelu)(x)
        Activation(ReLU(max_value=1.0))(x)
        Dense(4, activation=LeakyReLU(0.3))(x)
        Dense(4, activation=ELU(0.4))(x)
        RepeatVector(3)(x)
        Reshape((2, 3))(x)
        Reshape((3, -1))(x)
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
        Rescaling(1 / 127.5, offset=-1)(x)
        Rescaling([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], offset=[0.0, 1.0, 0.0, 1.0, 0.0, 1.0])(x)
        Normalization()(x)
        Normalization(mean=0.3, variance=1.7)(x)
        Normalization(mean=[0.1, 0.2, 0.3, 0.4, 0.5, 0.6], variance=[1, 2, 3, 4, 5, 6])(x)
        Normalization(mean=0.3, variance=1.7, invert=True)(x)
        Normalization(axis=None)(x)
        SpectralNormalization(Dense(5, activation='relu'))(x)
        LayerScale(0.3, 6)(x)
        StochasticDepth(0.3)(x)
        Discretization([-0.7, 0.1, 0.8])(x)
        Discretization([-0.7, 0.1, 0.8], output_mode='one_hot')(x)
        Discretization([-0.7, 0.1, 0.8], output_mode='multi_hot')(x)
        Discretization([-1, 0, 1], output_mode='count')(x)
        CategoryEncoding(4)(ops.abs(x) * 2)
        EinsumDense('ab,bc->ac', 5, bias_axes='c')(x)
        EinsumDense('ab,bc->ac', 5, activation='relu')(x)
        Add()([x, y, z])
        Add()([x, x])
        Subtract()([x, y])
        Multiply()([x, y, z])
        Average()([x, y, z])
        Maximum()([x, y, z])
        Minimum()([x, y, z])
        Concatenate()([x, y, z])
        Concatenate(axis=1)([x, y])
        Dot(axes=1)([x, y])
        Dot(axes=1, normalize=True)([x, y])
        Dot(axes=(1, 1))([x, y])
        x + y
        x - y
        x * y
        x / (ops.abs(y) + 1.0)
        x + 1
        1.5 - x
        2 * x
        x / 3
        2.0 / (ops.abs(x) + 1.0)
        -x
        abs(x)
        ops.abs(x) ** 1.5
        x ** 2
        2.0 ** x
        x @ ops.transpose(y)
        ops.where(x > y, x, y)
        ops.where(x >= 0.0, x, 0.0)
        ops.where(x < y, 1.0, x)
        ops.where(x <= 0.5, x, -1.0)
        ops.cast(x != y, 'int32')
        ops.cast(ops.equal(x, y), 'float32')
        ops.cast(ops.not_equal(x, y), 'float32')
        ops.cast(ops.greater(x, y), 'float32')
        ops.cast(ops.greater_equal(x, y), 'float32')
        ops.cast(ops.less(x, y), 'float32')
        ops.cast(ops.less_equal(x, 0.1), 'float32')
        ops.where(ops.logical_and(x > 0.0, y > 0.0), x, y)
        ops.where(ops.logical_or(x > 0.0, y > 0.0), x, y)
        ops.where(ops.logical_not(x > 0.0), x, y)
        x > y
        ops.add(x, y)
        ops.subtract(x, 2.0)
        ops.multiply(3.0, y)
        ops.divide(x, 7.0)
        ops.true_divide(x, 7.0)
        ops.divide_no_nan(x, ops.maximum(y, 0.0))
        ops.power(ops.abs(x), 0.3)
        ops.maximum(x, 0.2)
        ops.maximum(x, y)
        ops.minimum(x, y)
        ops.minimum(0.1, y)
        ops.clip(x, -0.5, 0.7)
        ops.negative(x)
        ops.absolute(x)
        ops.sign(x)
        ops.square(x)
        ops.reciprocal(ops.abs(x) + 1.0)
        ops.exp(x)
        ops.exp2(x)
        ops.expm1(x)
        ops.log(ops.abs(x) + 0.1)
        ops.log1p(ops.abs(x))
        ops.log2(ops.abs(x) + 0.1)
        ops.log10(ops.abs(x) + 0.1)
        ops.sqrt(ops.abs(x))
        ops.rsqrt(ops.abs(x) + 0.1)
        ops.sin(x)
        ops.cos(x)
        ops.tan(x * 0.5)
        ops.tanh(x)
        ops.erf(x)
        ops.floor(x * 3)
        ops.ceil(x * 3)
        ops.trunc(x * 3)
        ops.round(x * 3)
        ops.isnan(x)
        ops.isfinite(ops.log(x))
        ops.isinf(ops.log(ops.maximum(x, 0.0)))
        ops.where(ops.logical_xor(x > 0.0, y > 0.0), x, y)
        ops.argmax(x, axis=1)
        ops.argmax(x[0])
        ops.argmin(x, axis=-1, keepdims=True)
        ops.argmax(ops.floor(x), axis=1)
        ops.argmin(ops.round(x), axis=1)
        ops.argmax(ops.cast(x * 2, 'int32'), axis=1)
        ops.argmax(ops.sqrt(x), axis=1)
        ops.count_nonzero(ops.relu(x), axis=1)
        ops.count_nonzero(ops.relu(x))
        ops.roll(x, 2, axis=1)
        ops.roll(x, -7, axis=1)
        ops.fliplr(x)
        ops.flipud(x)
        ops.zeros_like(x)
        ops.ones_like(x)
        ops.copy(x)
        ops.stop_gradient(x)
        ops.cast(x * 10, 'int32')
        ops.cast(ops.cast(x * 10, 'int32'), 'float32')
        ops.sum(x)
        ops.sum(x, axis=1)
        ops.prod(x, axis=-1, keepdims=True)
        ops.mean(x)
        ops.mean(x, axis=[1], keepdims=True)
        ops.max(x, axis=1)
        ops.min(x, axis=0)
        ops.amax(x, axis=1)
        ops.amin(x, axis=1)
        ops.var(x, axis=1)
        ops.std(x, axis=1, keepdims=True)
        ops.any(x > 1.0, axis=1)
        ops.all(x > -1.0, axis=1)
        ops.logsumexp(x, axis=1)
        ops.logsumexp(x, axis=-1, keepdims=True)
        ops.cumsum(x, axis=1)
        ops.sort(x)
        ops.sort(x, axis=0)
        ops.matmul(x, ops.transpose(y))
        ops.dot(x, ops.transpose(y))
        ops.einsum('ab,cb->ac', x, y)
        ops.reshape(x, (-1, 3, 2))
        ops.ravel(x)
        ops.transpose(x)
        ops.expand_dims(x, 1)
        ops.expand_dims(x, (0, -1))
        ops.squeeze(ops.expand_dims(x, 1))
        ops.squeeze(ops.expand_dims(x, 2), axis=2)
        ops.concatenate([x, y, z], axis=-1)
        ops.concatenate([x, y], axis=0)
        ops.stack([x, y], axis=1)
        ops.stack([x, y, z], axis=-1)
        ops.split(x, 3, axis=1)
        ops.split(x, [1, 4], axis=-1)
        ops.split(x, 2, axis=1)[1] * 2.0
        ops.unstack(x, axis=1)
        ops.flip(x, axis=1)
        ops.flip(x)
        ops.pad(x, ((0, 0), (1, 2)))
        ops.pad(x, ((0, 0), (1, 2)), constant_values=1.5)
        ops.pad(x, ((0, 0), (1, 2)), mode='reflect')
        ops.pad(x, ((0, 0), (1, 2)), mode='symmetric')
        ops.repeat(x, 3, axis=1)
        ops.repeat(x, 2)
        ops.tile(x, (1, 2))
        ops.tile(x, 2)
        ops.take(x, np.array([0, 2, 5]), axis=1)
        ops.take(x, [0, -1], axis=1)
        ops.take(x, 2, axis=1)
        ops.swapaxes(x, 0, 1)
        ops.normalize(x)
        ops.normalize(x, axis=0)
        ops.one_hot(ops.cast(ops.abs(x) * 2, 'int32'), 4)
        ops.softmax(x)
        ops.log_softmax(x, axis=0)
        ops.relu(x)
        ops.relu6(x * 5)
        ops.leaky_relu(x, negative_slope=0.1)
        ops.elu(x, alpha=0.5)
        ops.selu(x)
        ops.celu(x, alpha=0.6)
        ops.gelu(x)
        ops.gelu(x, approximate=False)
        ops.glu(x, axis=1)
        ops.sigmoid(x)
        ops.hard_sigmoid(x * 3)
        ops.log_sigmoid(x)
        ops.sparse_sigmoid(x)
        ops.silu(x)
        ops.hard_silu(x * 3)
        ops.hard_tanh(x * 2)
        ops.tanh_shrink(x)
        ops.threshold(x, 0.3, -1.0)
        ops.hard_shrink(x, threshold=0.6)
        ops.soft_shrink(x, threshold=0.6)
        ops.softplus(x)
        ops.softsign(x)
        ops.squareplus(x, b=3)
        ops.sparse_plus(x)
        ops.sparsemax(x)
        act.leaky_relu(x)
        act.relu(x, negative_slope=0.1, max_value=1.0, threshold=0.2)
        ReLU()(act.relu(x, negative_slope=0.1, max_value=1.0))
        act.softmax(x)
        act.gelu(x, approximate=True)
        act.threshold(x, 0.3, -1.0)
        x[:, 1]
        x[:, -1]
        x[0]
        x[:, 1:4]
        x[:, ::2]
        x[:, ::-1]
        x[:, 4:1:-1]
        x[:, -3:]
        x[:, :-2]
        x[..., 1:3]
        x[:, None]
        x[..., None]
        x[:, None, 2:]
    """,
    STEPS: """
        Conv1D(5, 3)(x)
        Conv1D(5, 3, padding='same', strides=2, activation='relu')(x)
        Conv1D(5, 3, padding='causal', dilation_rate=2)(x)
        Conv1D(5, 2, padding='causal', strides=2)(x)
        Conv1D(6, 3, groups=2, use_bias=False)(x)
        DepthwiseConv1D(3, depth_multiplier=2)(x)
        DepthwiseConv1D(3, strides=2, padding='same')(x)
        SeparableConv1D(5, 3)(x)
        SeparableConv1D(5, 3, strides=2, padding='same', depth_multiplier=2, activation='tanh')(x)
        MaxPooling1D()(x)
        MaxPooling1D(3, strides=1, padding='same')(x)
        AveragePooling1D(3)(x)
        AveragePooling1D(3, strides=2, padding='same')(x)
        GlobalMaxPooling1D()(x)
        GlobalAveragePooling1D()(x)
        GlobalAveragePooling1D(keepdims=True)(x)
        SpatialDropout1D(0.3)(x)
        ZeroPadding1D(2)(x)
        ZeroPadding1D((1, 3))(x)
        Cropping1D((2, 1))(x)
        UpSampling1D(3)(x)
        Conv1DTranspose(5, 3)(x)
        Conv1DTranspose(5, 3, strides=2, padding='same', activation='relu')(x)
        Conv1DTranspose(5, 2, strides=3)(x)
        Conv1DTranspose(5, 4, strides=3, padding='same', output_padding=1, use_bias=False)(x)
        Conv1DTranspose(5, 3, dilation_rate=2, padding='same')(x)
        AdaptiveAveragePooling1D(4)(x)
        AdaptiveAveragePooling1D(11)(x)
        AdaptiveMaxPooling1D(3)(x)
        AdaptiveMaxPooling1D(1)(x)
        AdaptiveMaxPooling1D(17)(x)
        Permute((2, 1))(x)
        Flatten()(x)
        Reshape((4, 11))(x)
        Reshape((-1,))(x)
        SimpleRNN(3)(x)
        SimpleRNN(3, return_sequences=True, go_backwards=True, use_bias=False, activation='relu')(x)
        SimpleRNN(3, return_state=True)(x)
        GRU(3)(x)
        GRU(3, reset_after=False, return_sequences=True)(x)
        GRU(3, reset_after=False, use_bias=False)(x)
        GRU(3, use_bias=False, go_backwards=True, return_state=True)(x)
        GRU(3, activation='softsign', recurrent_activation='hard_sigmoid', unroll=True)(x)
        LSTM(3)(x)
        LSTM(3, return_sequences=True, return_state=True)(x)
        LSTM(3, use_bias=False, go_backwards=True, recurrent_activation='hard_sigmoid', dropout=0.2)(x)
        LSTM(4)(y, initial_state=[GlobalMaxPooling1D()(x), GlobalAveragePooling1D()(x)])
        GRU(4)(y, initial_state=GlobalMaxPooling1D()(x))
        RNN(SimpleRNNCell(3))(x)
        RNN(GRUCell(3, reset_after=False, activation='relu'), return_sequences=True, go_backwards=True)(x)
        RNN(LSTMCell(3, use_bias=False), return_state=True)(x)
        RNN(LSTMCell(4))(y, initial_state=[GlobalMaxPooling1D()(x), GlobalAveragePooling1D()(x)])
        RNN([GRUCell(3), LSTMCell(2), GRUCell(5), SimpleRNNCell(4)])(x)
        RNN([LSTMCell(3), LSTMCell(2)], return_sequences=True, return_state=True)(x)
        RNN(StackedRNNCells([GRUCell(3, reset_after=False), SimpleRNNCell(3)]), unroll=True)(x)
        ConvLSTM1D(3, 2)(ops.reshape(x, (-1, 4, 11, 1)))
        Bidirectional(LSTM(3, return_sequences=True))(x)
        Bidirectional(GRU(3), merge_mode='sum')(x)
        Bidirectional(SimpleRNN(3, return_sequences=True), merge_mode='mul')(x)
        Bidirectional(LSTM(3, return_state=True), merge_mode='ave')(x)
        Bidirectional(LSTM(3), merge_mode=None)(x)
        Bidirectional(LSTM(3, return_sequences=True), backward_layer=GRU(3, return_sequences=True, go_backwards=True))(x)
        TimeDistributed(Dense(5, activation='relu'))(x)
        Dense(5, activation='tanh')(x)
        Dense(5, use_bias=False)(x)
        EinsumDense('abc,cd->abd', output_shape=(None, 5), bias_axes='d')(x)
        EinsumDense('...x,xy->...y', output_shape=5, bias_axes='y')(x)
        EinsumDense('abc,cde->abde', output_shape=(None, 2, 3), bias_axes='de')(x)
        Masking(0.0)(x)
        PReLU()(x)
        PReLU(shared_axes=[1])(x)
        Softmax(axis=1)(x)
        Softmax(axis=[1, 2])(x)
        LayerNormalization()(x)
        LayerNormalization(axis=[1, 2])(x)
        LayerNormalization(axis=1, scale=False)(x)
        LayerNormalization(center=False, epsilon=1e-5)(x)
        RMSNormalization(axis=-1, epsilon=1e-5)(x)
        GroupNormalization(2)(x)
        GroupNormalization(-1)(x)
        GroupNormalization(1, scale=False, center=False)(x)
        UnitNormalization(axis=1)(x)
        UnitNormalization(axis=[1, 2])(x)
        BatchNormalization(axis=1)(x)
        BatchNormalization(scale=False, epsilon=1e-4)(x)
        BatchNormalization(center=False)(x)
        Normalization(axis=1)(x)
        Normalization(axis=(1, 2))(x)
        Concatenate(axis=1)([x, y, z])
        Concatenate(axis=-2)([x, y])
        Dot(axes=2)([x, y])
        Dot(axes=1)([x, y])
        Dot(axes=(1, 1), normalize=True)([x, y])
        MultiHeadAttention(2, 3)(x, y)
        MultiHeadAttention(2, 3, use_bias=False)(x, x)
        MultiHeadAttention(2, 3, dropout=0.2)(x, y)
        MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
        MultiHeadAttention(2, 3)(x, y, return_attention_scores=True)
        MultiHeadAttention(2, 3)(query=x, value=y, key=z)
        GroupQueryAttention(3, 4, 2)(x, y)
        GroupQueryAttention(3, 4, 1, use_bias=False)(x, x)
        GroupQueryAttention(3, 2, 2, dropout=0.2)(x, y, z)
        GroupQueryAttention(3, 4, 2)(x, x, use_causal_mask=True)
        GroupQueryAttention(3, 4, 2, dropout=0.2)(x, x, use_causal_mask=True)
        GroupQueryAttention(3, 4, 2)(x, y, return_attention_scores=True)
        GroupQueryAttention(3, 4, 2, use_gate=True)(x, x)
        SpectralNormalization(Conv1D(5, 3, padding='same'))(x)
        LayerScale(0.3, 4)(x)
        Attention()([x, y])
        Attention(use_scale=True)([x, y, z])
        Attention(score_mode='concat')([x, y])
        Attention()([x, x], use_causal_mask=True)
        Attention()([x, y], return_attention_scores=True)
        AdditiveAttention()([x, y])
        AdditiveAttention(use_scale=False)([x, y, z])
        ops.mean(x, axis=(1, 2))
        ops.max(x, axis=(-1, 1), keepdims=True)
        ops.var(x, axis=(1, 2), keepdims=True)
        ops.transpose(x, (0, 2, 1))
        ops.moveaxis(x, 1, 2)
        ops.tril(x)
        ops.triu(x, k=1)
        ops.tril(ops.cast(x * 3, 'int32'), k=-2)
        ops.swapaxes(x, 1, 2)
        ops.einsum('abc,abd->acd', x, y)
        ops.einsum('...ij,...kj->...ik', x, y)
        ops.matmul(x, ops.transpose(y, (0, 2, 1)))
        ops.flip(x, axis=(1, 2))
        ops.cumsum(x, axis=1)
        ops.sort(x, axis=1)
        ops.max_pool(x, (2,), strides=(2,))
        ops.average_pool(x, (2,), strides=(1,), padding='same')
        ops.broadcast_to(x[:1, :1], (3, 11, 4))
        ops.reshape(x, (-1, 4))
        ops.layer_normalization(x)
        ops.rms_normalization(x)
        x[:, 2:9:3, 1]
        x[:, -4:-1, ::-2]
        x[..., 0, :]
        x[:, None, ..., None]
        x[1, 2, 3]
    """,
    IMAGE: """
        Conv2D(5, 3)(x)
        Conv2D(5, (3, 2), strides=(2, 1), padding='same', activation='relu')(x)
        Conv2D(5, 3, dilation_rate=2, use_bias=False)(x)
        Conv2D(5, 3, dilation_rate=(1, 3), padding='same')(x)
        Conv2D(6, 3, groups=2)(x)
        Conv2D(8, 1, groups=4, strides=2)(x)
        Conv2D(5, 4, strides=3, padding='same', activation='swish')(x)
        Conv2D(3, 7)(x)
        DepthwiseConv2D(3)(x)
        DepthwiseConv2D(3, strides=2, padding='same', depth_multiplier=2, activation='relu6')(x)
        DepthwiseConv2D(3, dilation_rate=2)(x)
        DepthwiseConv2D((3, 1), use_bias=False)(x)
        SeparableConv2D(5, 3)(x)
        SeparableConv2D(5, 3, strides=2, padding='same', depth_multiplier=3)(x)
        SeparableConv2D(5, (1, 3), use_bias=False, activation='relu')(x)
        MaxPooling2D()(x)
        MaxPooling2D(3, strides=2, padding='same')(x)
        MaxPooling2D((2, 3), strides=1)(x)
        AveragePooling2D(2)(x)
        AveragePooling2D(3, strides=1, padding='same')(x)
        AveragePooling2D((3, 2), strides=(2, 3), padding='same')(x)
        GlobalMaxPooling2D()(x)
        GlobalMaxPooling2D(keepdims=True)(x)
        GlobalAveragePooling2D()(x)
        GlobalAveragePooling2D(keepdims=True)(x)
        TimeDistributed(Conv1D(3, 2, padding='same'))(x)
        TimeDistributed(LSTM(3))(x)
        ConvLSTM1D(3, 2)(x)
        ConvLSTM1D(3, 3, strides=2, padding='same', return_sequences=True, return_state=True)(x)
        ConvLSTM1D(3, 3, dilation_rate=2, go_backwards=True, use_bias=False, recurrent_activation='hard_sigmoid')(x)
        ConvLSTM1D(3, 2, data_format='channels_first', return_sequences=True)(x)
        SpatialDropout2D(0.3)(x)
        ZeroPadding2D()(x)
        ZeroPadding2D((1, 2))(x)
        ZeroPadding2D(((1, 0), (0, 3)))(x)
        Cropping2D(2)(x)
        Cropping2D(((1, 0), (0, 3)))(x)
        UpSampling2D()(x)
        UpSampling2D((3, 2))(x)
        SpectralNormalization(Conv2DTranspose(5, 3, strides=2), power_iterations=2)(x)
        LayerScale(0.3, 4)(x)
        UpSampling2D(2, interpolation='bilinear')(x)
        UpSampling2D((3, 1), interpolation='bilinear')(x)
        UpSampling2D((2, 3), interpolation='bicubic')(x)
        UpSampling2D(2, interpolation='lanczos3')(x)
        UpSampling2D(3, interpolation='lanczos5')(x)
        Resizing(5, 13)(x)
        Resizing(5, 9)(x)
        Resizing(20, 3, interpolation='nearest')(x)
        Resizing(3, 4, interpolation='bicubic')(x)
        Resizing(11, 4, interpolation='bicubic', antialias=True)(x)
        Resizing(3, 4, antialias=True)(x)
        Resizing(3, 4, interpolation='lanczos3', antialias=True)(x)
        Resizing(12, 5, interpolation='lanczos5')(x)
        Resizing(6, 6, crop_to_aspect_ratio=True)(x)
        Resizing(4, 12, crop_to_aspect_ratio=True)(x)
        Resizing(6, 6, pad_to_aspect_ratio=True, fill_value=0.7)(x)
        Resizing(3, 9, pad_to_aspect_ratio=True)(x)
        CenterCrop(4, 4)(x)
        CenterCrop(7, 6)(x)
        CenterCrop(8, 4)(x)
        CenterCrop(12, 13)(x)
        ops.image.resize(x, (5, 13))
        ops.image.resize(x, (3, 12), interpolation='nearest')
        ops.image.resize(x, (3, 12), interpolation='bicubic', antialias=True)
        Conv2DTranspose(5, 3)(x)
        Conv2DTranspose(5, 3, strides=2, padding='same')(x)
        Conv2DTranspose(5, (2, 4), strides=(3, 2), activation='relu')(x)
        Conv2DTranspose(5, (2, 4), strides=(3, 2), padding='same', use_bias=False)(x)
        Conv2DTranspose(5, 1, strides=2)(x)
        Conv2DTranspose(5, 1, strides=2, padding='same')(x)
        Conv2DTranspose(5, (4, 3), strides=(2, 3), output_padding=(1, 2))(x)
        Conv2DTranspose(5, (4, 3), strides=(2, 3), output_padding=(1, 0), padding='same')(x)
        Conv2DTranspose(5, 3, dilation_rate=(2, 1))(x)
        Conv2DTranspose(5, (2, 3), dilation_rate=2, padding='same')(x)
        AdaptiveAveragePooling2D(3)(x)
        AdaptiveAveragePooling2D((2, 9))(x)
        AdaptiveMaxPooling2D((4, 5))(x)
        AdaptiveMaxPooling2D(1)(x)
        Permute((3, 1, 2))(x)
        Flatten()(x)
        Flatten(data_format='channels_first')(x)
        Reshape((9, 28))(x)
        BatchNormalization()(x)
        BatchNormalization(axis=1)(x)
        BatchNormalization(scale=False, center=False)(x)
        LayerNormalization()(x)
        LayerNormalization(axis=[1, 2, 3])(x)
        LayerNormalization(axis=[1, 3])(x)
        GroupNormalization(2)(x)
        GroupNormalization(3, axis=2)(x)
        UnitNormalization(axis=[1, 2])(x)
        Normalization()(x)
        Normalization(axis=(1, 3))(x)
        PReLU(shared_axes=[1, 2])(x)
        Rescaling([0.5, 1.0, 2.0, 4.0])(x)
        Concatenate(axis=2)([x, y])
        Add()([x, GlobalAveragePooling2D(keepdims=True)(y)])
        Multiply()([x, GlobalAveragePooling2D(keepdims=True)(y)])
        RandomFlip()(x)
        RandomRotation(0.2)(x)
        RandomZoom(0.2)(x)
        RandomTranslation(0.2, 0.2)(x)
        RandomContrast(0.2)(x)
        RandomBrightness(0.2)(x)
        GaussianNoise(0.3)(x)
        ops.mean(x, axis=(1, 2), keepdims=True)
        ops.max_pool(x, (2, 2), strides=(2, 2), padding='same')
        ops.max_pool(x, (2, 3), strides=(1, 1))
        ops.average_pool(x, (3, 3), strides=(2, 2), padding='same')
        ops.pad(x, ((0, 0), (1, 1), (2, 2), (0, 0)))
        ops.transpose(x, (0, 3, 1, 2))
        ops.reshape(x, (-1, 63, 4))
        ops.nn.depth_to_space(x, 2)
        ops.nn.space_to_depth(x[:, :6, :8], 2)
        ops.nn.space_to_depth(x[:, :6], 3)
        ops.nn.depth_to_space(ops.transpose(x, (0, 3, 1, 2)), 2, data_format='channels_first')
        ops.nn.space_to_depth(ops.transpose(x[:, :6], (0, 3, 1, 2)), 3, data_format='channels_first')
        x[:, 1:-1, ::2]
        x[:, :, :, 0]
        x[..., :2] * x[..., 2:]
    """,
    IMAGE_FIRST: """
        Conv2D(5, 3, data_format='channels_first')(x)
        Conv2D(5, 3, strides=2, padding='same', data_format='channels_first')(x)
        Conv2D(6, 3, groups=2, data_format='channels_first', activation='relu')(x)
        DepthwiseConv2D(3, depth_multiplier=2, data_format='channels_first')(x)
        SeparableConv2D(5, 3, data_format='channels_first', padding='same')(x)
        MaxPooling2D(3, strides=2, padding='same', data_format='channels_first')(x)
        AveragePooling2D(2, padding='same', data_format='channels_first')(x)
        GlobalMaxPooling2D(data_format='channels_first')(x)
        GlobalAveragePooling2D(data_format='channels_first', keepdims=True)(x)
        ZeroPadding2D(((1, 0), (0, 3)), data_format='channels_first')(x)
        Cropping2D(((1, 0), (0, 3)), data_format='channels_first')(x)
        UpSampling2D((3, 2), data_format='channels_first')(x)
        UpSampling2D((3, 2), data_format='channels_first', interpolation='bilinear')(x)
        Resizing(5, 13, data_format='channels_first')(x)
        Resizing(5, 5, data_format='channels_first', pad_to_aspect_ratio=True)(x)
        Resizing(5, 5, data_format='channels_first', interpolation='nearest', crop_to_aspect_ratio=True)(x)
        CenterCrop(4, 4, data_format='channels_first')(x)
        CenterCrop(8, 4, data_format='channels_first')(x)
        ops.image.resize(x, (5, 13), data_format='channels_first')
        Conv2DTranspose(5, 3, strides=2, padding='same', data_format='channels_first')(x)
        Conv2DTranspose(5, (2, 4), strides=(3, 2), data_format='channels_first', activation='relu')(x)
        Conv1DTranspose(5, 3, strides=2, data_format='channels_first')(ops.reshape(x, (-1, 4, 63)))
        AdaptiveAveragePooling2D((2, 4), data_format='channels_first')(x)
        AdaptiveMaxPooling2D((4, 5), data_format='channels_first')(x)
        Flatten(data_format='channels_first')(x)
        BatchNormalization(axis=1)(x)
        GroupNormalization(2, axis=1)(x)
        SpatialDropout2D(0.2, data_format='channels_first')(x)
        Conv1D(5, 3, data_format='channels_first')(ops.reshape(x, (-1, 4, 63)))
        MaxPooling1D(3, data_format='channels_first')(ops.reshape(x, (-1, 4, 63)))
        GlobalAveragePooling1D(data_format='channels_first')(ops.reshape(x, (-1, 4, 63)))
        ZeroPadding1D(2, data_format='channels_first')(ops.reshape(x, (-1, 4, 63)))
    """,
    VOLUME: """
        Conv3D(3, 2)(x)
        Conv3D(3, 3, strides=2, padding='same', activation='relu')(x)
        Conv3D(4, (1, 2, 3), groups=2, use_bias=False)(x)
        Conv3D(3, 2, dilation_rate=2)(x)
        MaxPooling3D()(x)
        MaxPooling3D((1, 2, 3), strides=1, padding='same')(x)
        AveragePooling3D(2, padding='same')(x)
        GlobalMaxPooling3D()(x)
        GlobalAveragePooling3D()(x)
        SpatialDropout3D(0.2)(x)
        ZeroPadding3D((1, 0, 2))(x)
        Cropping3D(((1, 0), (0, 2), (1, 1)))(x)
        UpSampling3D((1, 2, 3))(x)
        ConvLSTM2D(3, 2)(x)
        ConvLSTM2D(3, (3, 2), strides=(2, 1), padding='same', activation='relu', return_state=True)(x)
        ConvLSTM2D(3, 2, data_format='channels_first', return_sequences=True)(x)
        ConvLSTM2D(4, 3, padding='same')(y, initial_state=[x[:, 0], x[:, 1]])
        ConvLSTM3D(2, 2)(ops.reshape(x, (-1, 5, 6, 7, 4, 1)))
        Conv3DTranspose(3, 2)(x)
        Conv3DTranspose(3, (3, 1, 2), strides=(2, 2, 1), padding='same', activation='relu')(x)
        Conv3DTranspose(3, 3, strides=2, output_padding=1, padding='same')(x)
        Conv3DTranspose(3, 2, strides=2, data_format='channels_first')(ops.transpose(x, (0, 4, 1, 2, 3)))
        AdaptiveAveragePooling3D((2, 3, 4))(x)
        AdaptiveMaxPooling3D((5, 1, 3))(x)
        AdaptiveMaxPooling3D((5, 1, 3), data_format='channels_first')(ops.transpose(x, (0, 4, 1, 2, 3)))
        BatchNormalization()(x)
        Conv3D(3, 2, data_format='channels_first')(ops.transpose(x, (0, 4, 1, 2, 3)))
        Flatten()(x)
    """,
    OPEN_IMAGE: """
        Conv2D(5, 3, strides=2, padding='same')(x)
        Conv2D(5, 3, strides=2)(x)
        DepthwiseConv2D(3, dilation_rate=2)(x)
        SeparableConv2D(5, 3, padding='same')(x)
        MaxPooling2D(3, strides=2, padding='same')(x)
        AveragePooling2D(3, strides=2, padding='same')(x)
        GlobalAveragePooling2D()(x)
        GlobalMaxPooling2D(keepdims=True)(x)
        ZeroPadding2D(2)(x)
        Cropping2D(1)(x)
        UpSampling2D(2)(x)
        UpSampling2D(2, interpolation='bilinear')(x)
        UpSampling2D((1, 3), interpolation='bicubic')(x)
        Resizing(5, 13)(x)
        Resizing(5, 13, interpolation='nearest')(x)
        Resizing(5, 4, antialias=True)(x)
        Conv2DTranspose(5, 3, strides=2, padding='same')(x)
        Conv2DTranspose(5, (1, 4), strides=3)(x)
        Add()([Conv2DTranspose(4, 2, strides=2)(x), UpSampling2D(2, interpolation='bilinear')(y)])
        BatchNormalization()(x)
        GroupNormalization(2)(x)
        LayerNormalization()(x)
        Add()([Conv2D(4, 3, padding='same')(x), x])
        Add()([AveragePooling2D(2, padding='same')(x), Conv2D(4, 1, strides=2, padding='same')(x)])
        Concatenate()([Conv2D(3, 3, padding='same')(x), x])
        UpSampling2D(2)(MaxPooling2D(2)(x))
        PReLU(shared_axes=[1, 2])(x)
        Permute((2, 1, 3))(x)
        x[:, 1:-1, ::2]
        x[:, ::-1]
        x[:, 3]
        x[:, -1]
        x[:, 1:5]
        ops.mean(x, axis=(1, 2))
        ops.max(x, axis=1)
        ops.transpose(x, (0, 3, 1, 2))
        x * 2.0 + 1.0
    """,
    OPEN_STEPS: """
        Conv1D(5, 3, padding='causal')(x)
        Conv1D(5, 3, strides=2, padding='same')(x)
        MaxPooling1D(2)(x)
        GlobalAveragePooling1D()(x)
        Dense(3)(x)
        Attention()([x, y])
        MultiHeadAttention(2, 3)(x, x)
        UpSampling1D(2)(x)
        Conv1DTranspose(5, 3, strides=2)(x)
        Softmax(axis=1)(x)
        LayerNormalization()(x)
        Flatten()(Conv1D(1, 1)(x))
        EinsumDense('abc,cd->abd', output_shape=(None, 5), bias_axes='d')(x)
        LSTM(3)(x)
        GRU(3, return_sequences=True, go_backwards=True)(x)
        RNN([LSTMCell(3), GRUCell(2)], return_state=True)(x)
        Bidirectional(SimpleRNN(3, return_sequences=True))(x)
        LSTM(3)(MaxPooling1D(2)(Bidirectional(GRU(2, return_sequences=True))(x)))
        MultiHeadAttention(2, 3)(x, x, use_causal_mask=True)
        ops.cumsum(x, axis=1)
        ops.flip(x, axis=1)
    """,
}
LINES = [(shape, line.strip()) for shape, text in CASES.items() for line in text.splitlines() if line.strip()]
CONVNEXT = {"LayerScale": convnext.LayerScale, "StochasticDepth": convnext.StochasticDepth}
NAMES = {**vars(keras.layers), **CONVNEXT, "ops": ops, "act": keras.activations, "np": np}


def check(inputs, outputs, folder, tolerance=1e-5):
    """Builds the model, and compares the outputs of netc and Keras on random inputs."""
    model = randomise(keras.Model(inputs, outputs))
    save(model, folder / "m.keras")
    values = inputs_of(model)
    found = netc_run(folder / "m.keras", values, folder)
    assert_close(found, run(model, values.values()), tolerance)


@pytest.mark.parametrize("shape, expression", LINES, ids=[f"{line}-{len(shape)}d" for shape, line in LINES])
def test_layer(shape, expression, tmp_path):
    inputs = {name: keras.Input(shape, name=name) for name in "xyz"}
    y = eval(expression, NAMES, dict(inputs))
    used = [t for name, t in inputs.items() if name in names_in(expression)]
    check(used, y, tmp_path)


def names_in(expression):
    return compile(expression, "", "eval").co_names


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_by_name(name, tmp_path):
    x = keras.Input((6,))
    check(x, [keras.layers.Activation(name)(x * 4.0), keras.layers.Dense(6, activation=name)(x)], tmp_path)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "mish"])  # rejects symbolic tensors
def test_activation_as_operation(name, tmp_path):
    x = keras.Input((3, 6))
    y = getattr(ops, name, None) or keras.activations.get(name)
    check(x, y(x), tmp_path)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activation_at_extreme_inputs(name, tmp_path):
    """Inputs at which exponentials overflow and differences cancel."""
    x = keras.Input((8,))
    model = keras.Model(x, keras.layers.Activation(name)(x))
    save(model, tmp_path / "m.keras")
    far = np.array([[-1e4, -90, -20, -1e-4, 0, 1e-4, 20, 1e4], [-3, -1, -0.5, 0.5, 1, 3, 6, 80]], "float32")
    expected = run(model, [far])[0]
    found = netc_run(tmp_path / "m.keras", {input_names(model)[0]: far}, tmp_path)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_embedding(tmp_path):
    x = keras.Input((5,), dtype="int32")
    check(x, keras.layers.Embedding(7, 3)(x), tmp_path)


@pytest.mark.parametrize("shape", [(4,), (1,), (3, 4), ()])
@pytest.mark.parametrize("mode", ["one_hot", "multi_hot", "count"])
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32"])
def test_category_encoding(shape, mode, dtype, tmp_path):
    """Small integers, some of which are out of range."""
    if mode == "count" and dtype == "float32":
        dtype = "int64"
    x = keras.Input(shape, dtype=dtype)
    y = keras.ops.round(keras.ops.abs(x) * 2.0) if dtype == "float32" else x
    check(x, keras.layers.CategoryEncoding(4, output_mode=mode)(y), tmp_path)


def test_discretization_of_integers(tmp_path):
    x = keras.Input((5,), dtype="int32")
    check(x, [keras.layers.Discretization(b)(x) for b in ([1, 2], [0.5, 2.0, 3.5])], tmp_path)


def test_embedding_of_floats(tmp_path):
    x = keras.Input((5,))
    check(x, keras.layers.Embedding(7, 3)(keras.ops.abs(x)), tmp_path)


def test_embedding_in_a_network(tmp_path):
    tokens = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8)(tokens) * math.sqrt(8)
    x = x + keras.layers.MultiHeadAttention(2, 4)(x, x)
    x = keras.layers.LayerNormalization(epsilon=1e-6)(x)
    x = x + keras.layers.Dense(8)(keras.layers.Dense(16, activation="gelu")(x))
    check(tokens, keras.layers.Dense(3)(keras.layers.GlobalAveragePooling1D()(x)), tmp_path)


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "bool"])
@pytest.mark.parametrize(
    "expression",
    ["x + y", "x * 2", "x / 3", "x > y", "x + 0.5", "ops.mean(x)", "ops.max(x, axis=1)", "ops.sum(x, axis=1)",
     "ops.where(x > y, x, 3)", "ops.maximum(x, y)", "ops.concatenate([x, ops.cast(y, 'float32')])", "ops.sqrt(x)",
     "ops.square(x)", "Rescaling(0.1, -0.3)(x)", "Flatten()(x)", "ops.cast(x, 'float32') * 0.1"],
)  # fmt: skip
def test_mixed_types(dtype, expression, tmp_path):
    if dtype == "bool" and expression in ("x + y", "ops.maximum(x, y)"):
        expression = expression.replace("y", "ops.cast(y, 'int32')")
    x, y = keras.Input((6,), dtype=dtype), keras.Input((6,), dtype=dtype)
    out = eval(expression, NAMES, {"x": x, "y": y})
    names = names_in(expression)
    check([t for n, t in [("x", x), ("y", y)] if n in names], out, tmp_path)


@pytest.mark.parametrize("dtype", ["uint8", "int16"])
@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic"])
def test_resizing_of_integers(dtype, interpolation, tmp_path):
    """The sizes give no halves, which could be rounded either way."""
    x = keras.Input((7, 9, 3), dtype=dtype)
    check(x, keras.layers.Resizing(5, 15, interpolation=interpolation)(x), tmp_path)


def test_center_crop_of_integers(tmp_path):
    x = keras.Input((7, 9, 3), dtype="uint8")
    check(x, keras.layers.CenterCrop(4, 5)(x), tmp_path)


def test_slice_of_a_fixed_batch(tmp_path):
    x = keras.Input(batch_shape=(3, 11, 4))
    check(x, [ops.slice(x, (0, 1, 1), (2, 3, 2)), x[0], x[-1, 2:]], tmp_path)


def test_open_steps_in_nested_models_and_stages(tmp_path):
    """The number of steps is known from the inputs, and passes on to nested models and stages."""
    steps = keras.Input((None, 4))
    inner = keras.Model(steps, keras.layers.LSTM(4, return_sequences=True)(steps), name="inner")
    x = keras.Input((None, 4), name="x")
    y = keras.layers.GRU(3, name="gru")(inner(keras.layers.Dense(4, name="dense")(x)))
    check(x, keras.layers.Dense(2, name="head")(y), tmp_path)
    for cut in ["dense", "inner", "gru"]:
        netc(tmp_path / "m.keras", "--pass", f"split={cut}", "-o", tmp_path / cut, "--verify")


HALF = [
    (ROW, "Dense(5, activation='relu', dtype=dtype)(x)"),
    (ROW, "BatchNormalization(dtype=dtype)(x)"),
    (ROW, "LayerNormalization(dtype=dtype)(x)"),
    (IMAGE, "Conv2D(5, 3, activation='relu', dtype=dtype)(x)"),
    (IMAGE, "GlobalAveragePooling2D(dtype=dtype)(x)"),
    (IMAGE, "Add(dtype=dtype)([x, Conv2D(4, 3, padding='same', dtype=dtype)(x)])"),
    (IMAGE, "MaxPooling2D(dtype=dtype)(x)"),
    (STEPS, "MultiHeadAttention(2, 3, dtype=dtype)(x, x)"),
    (IMAGE, "Conv2DTranspose(5, 3, strides=2, dtype=dtype)(x)"),
    (IMAGE, "Resizing(5, 13, dtype=dtype)(x)"),
    (IMAGE, "CenterCrop(4, 12, dtype=dtype)(x)"),
    (IMAGE, "AdaptiveAveragePooling2D(3, dtype=dtype)(x)"),
]


@pytest.mark.parametrize("dtype, tolerance", [("mixed_float16", 4e-3), ("mixed_bfloat16", 3e-2), ("float16", 4e-3)])
@pytest.mark.parametrize("shape, expression", HALF, ids=[e for _, e in HALF])
def test_half_precision(dtype, tolerance, shape, expression, tmp_path):
    x = keras.Input(shape)
    y = eval(expression, NAMES, {"x": x, "dtype": dtype})
    check(x, ops.cast(y, "float32"), tmp_path, tolerance)


QUANTISED = [
    (ROW, "Dense(5, activation='relu')(x)"),
    (STEPS, "Dense(5, use_bias=False)(x)"),
    ((3000,), "Dense(64)(x)"),  # a sum that is not exact in single precision
    (ROW, "Dense(4)(Dense(9, activation='gelu')(x))"),
    (ROW, "EinsumDense('ab,bc->ac', 5, bias_axes='c')(x)"),
    (STEPS, "EinsumDense('abc,cde->abde', (None, 2, 5), bias_axes='de')(x)"),
    (STEPS, "EinsumDense('abc,bcd->ad', 3)(x)"),
    (STEPS, "EinsumDense('abc,cd->adb', (3, 11))(x)"),
    (STEPS, "EinsumDense('abc,bcd->abd', (11, 3), bias_axes='bd')(x)"),
    (ROW, "Embedding(10, 3)(ops.cast(ops.abs(x) * 3, 'int32'))"),
]


@pytest.mark.parametrize("weights_only", [False, True], ids=["int8", "weights"])
@pytest.mark.parametrize("shape, expression", QUANTISED, ids=[e for _, e in QUANTISED])
def test_quantised(shape, expression, weights_only, tmp_path):
    x = keras.Input(shape)
    y = eval(expression, NAMES, {"x": x})
    model = randomise(keras.Model(x, y))
    model.quantize("int8", config=keras.quantizers.Int8QuantizationConfig(activation_quantizer=None) if weights_only else None)
    save(model, tmp_path / "m.keras")
    values = inputs_of(model)
    found = netc_run(tmp_path / "m.keras", values, tmp_path)
    assert_close(found, run(model, values.values()))


def test_quantised_model_is_split(tmp_path):
    x = keras.Input(STEPS)
    h = keras.layers.Dense(6, activation="relu", name="cut")(x)
    model = randomise(keras.Model(x, keras.layers.EinsumDense("abc,bcd->ad", 3)(h)))
    model.quantize("int8")
    save(model, tmp_path / "m.keras")
    netc(tmp_path / "m.keras", "--pass", "split=cut", "-o", tmp_path / "out", "--verify")
    values = run(model, inputs := inputs_of(model).values())
    for stage in ["m.stage0.keras", "m.stage1.keras"]:
        inputs = run(keras.models.load_model(tmp_path / "out" / stage), inputs)
    assert np.array_equal(inputs[0], values[0])


def test_layer_page_names_every_layer():
    page = (Path(__file__).parents[2] / "docs/reference/layers.md").read_text()
    names = {}
    for name, layer in vars(keras.layers).items():
        if inspect.isclass(layer) and name not in {"InputLayer", "InputSpec", "Layer", "Wrapper"}:
            names.setdefault(layer, []).append(f"`{name}`")
    assert [known for known in names.values() if not any(name in page for name in known)] == []
