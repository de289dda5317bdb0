// Makes the models of TensorFlow.js in tests/tfjs, with inputs and the outputs that TensorFlow.js computes.
//
//     npm install @tensorflow/tfjs@4.22.0 && node tests/interop/tfjs_models.mjs tests/tfjs
//
// Each model is a folder with `model.json`, shards of weights, split at arbitrary offsets, and `values.json`.

import * as tf from "@tensorflow/tfjs";
import { mkdirSync, writeFileSync } from "node:fs";

const SHARD = 700;
let seed = 1;

// A pseudo-random number between -0.5 and 0.5. The generator is fixed, so that the files are reproducible.
function next() {
  seed = (seed * 48271) % 2147483647;
  return seed / 2147483647 - 0.5;
}

function numbers(shape) {
  return tf.tensor(Array.from({ length: shape.reduce((a, b) => a * b, 1) }, next), shape);
}

// Variances must be positive.
function randomise(model) {
  model.setWeights(model.weights.map((w) => (w.originalName.includes("variance") ? numbers(w.shape).abs().add(0.5) : numbers(w.shape))));
  return model;
}

function branches() {
  const image = tf.input({ shape: [8, 8, 3], name: "image" });
  const scale = tf.input({ shape: [4], name: "scale" });
  const conv = tf.layers.conv2d({ filters: 4, kernelSize: 3, padding: "same", activation: "relu", name: "conv" }).apply(image);
  const bn = tf.layers.batchNormalization({ name: "bn" }).apply(conv);
  const deep = tf.layers.depthwiseConv2d({ kernelSize: 3, padding: "same", activation: "hardSigmoid", name: "deep" }).apply(bn);
  const sum = tf.layers.add({ name: "sum" }).apply([bn, deep]);
  const pool = tf.layers.globalAveragePooling2d({ name: "pool" }).apply(sum);
  const both = tf.layers.concatenate({ name: "both" }).apply([pool, scale]);
  const out = tf.layers.dense({ units: 3, activation: "softmax", name: "out" }).apply(both);
  return tf.model({ inputs: [image, scale], outputs: [out, pool], name: "branches" });
}

function nested() {
  const inside = tf.input({ shape: [5], name: "inside" });
  const hidden = tf.layers.dense({ units: 5, activation: "tanh", name: "hidden" }).apply(inside);
  const tower = tf.model({ inputs: inside, outputs: tf.layers.leakyReLU({ alpha: 0.2, name: "leaky" }).apply(hidden), name: "tower" });
  const x = tf.input({ shape: [5], name: "x" });
  const y = tf.layers.add({ name: "both" }).apply([tower.apply(x), tower.apply(tower.apply(x))]);
  return tf.model({ inputs: x, outputs: tf.layers.dense({ units: 2, name: "out" }).apply(y), name: "nested" });
}

function recurrent() {
  const model = tf.sequential({ name: "recurrent" });
  model.add(tf.layers.embedding({ inputDim: 10, outputDim: 6, inputLength: 5, name: "words" }));
  model.add(tf.layers.lstm({ units: 5, returnSequences: true, name: "lstm" }));
  model.add(tf.layers.bidirectional({ layer: tf.layers.gru({ units: 3 }), name: "two_ways" }));
  model.add(tf.layers.dense({ units: 2, name: "out" }));
  return model;
}

// Weights with fewer bits, stored as `tensorflowjs_converter --quantize_*` does.
function quantise(values, dtype) {
  if (dtype === "float16") {
    return { data: new Uint16Array(Array.from(values, half)), quantization: { dtype, original_dtype: "float32" } };
  }
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const [Store, steps] = dtype === "uint8" ? [Uint8Array, 255] : [Uint16Array, 65535];
  const scale = (most - least) / steps || 1;
  const data = new Store(Array.from(values, (v) => Math.round((v - least) / scale)));
  return { data, quantization: { dtype, scale, min: least, original_dtype: "float32" } };
}

// The bits of a number as float16, rounded toward zero; subnormal numbers become 0.
function half(value) {
  const bits = new Uint32Array(new Float32Array([value]).buffer)[0];
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15;
  return exponent <= 0 ? 0 : ((bits >>> 16) & 0x8000) | (exponent << 10) | ((bits >>> 13) & 0x3ff);
}

function store(artifacts, quantised) {
  const parts = [];
  const weights = artifacts.weightSpecs.map((spec, i) => {
    const dtype = quantised[i % quantised.length];
    const begin = artifacts.weightSpecs.slice(0, i).reduce((sum, s) => sum + 4 * tf.util.sizeFromShape(s.shape), 0);
    const values = new Float32Array(artifacts.weightData.slice(begin, begin + 4 * tf.util.sizeFromShape(spec.shape)));
    const { data, quantization } = dtype ? quantise(values, dtype) : { data: values };
    parts.push(new Uint8Array(data.buffer));
    return quantization ? { ...spec, quantization } : spec;
  });
  return { weights, bytes: Buffer.concat(parts) };
}

async function write(folder, name, model, quantised, inputs) {
  let artifacts;
  await randomise(model).save(tf.io.withSaveHandler((a) => ((artifacts = a), { modelArtifactsInfo: {} })));
  const { weights, bytes } = store(artifacts, quantised);
  const paths = Array.from({ length: Math.ceil(bytes.length / SHARD) }, (_, i) => `group1-shard${i + 1}.bin`);
  mkdirSync(`${folder}/${name}`, { recursive: true });
  paths.forEach((path, i) => writeFileSync(`${folder}/${name}/${path}`, bytes.subarray(i * SHARD, (i + 1) * SHARD)));
  const { modelTopology, generatedBy } = artifacts;
  const json = { format: "layers-model", generatedBy, convertedBy: null, modelTopology, weightsManifest: [{ paths, weights }] };
  writeFileSync(`${folder}/${name}/model.json`, `${JSON.stringify(json)}\n`);
  const weightData = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
  const back = await tf.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs: weights, weightData }));
  const outputs = [back.predict(inputs.length > 1 ? inputs : inputs[0])].flat();
  const plain = (tensor) => ({ shape: tensor.shape, values: Array.from(tensor.dataSync()) });
  writeFileSync(`${folder}/${name}/values.json`, `${JSON.stringify({ inputs: inputs.map(plain), outputs: outputs.map(plain) })}\n`);
}

const folder = process.argv[2];
await tf.setBackend("cpu");
await write(folder, "branches", branches(), [null], [numbers([2, 8, 8, 3]), numbers([2, 4])]);
await write(folder, "quantised", branches(), ["uint8", "float16", "uint16", null], [numbers([2, 8, 8, 3]), numbers([2, 4])]);
await write(folder, "nested", nested(), [null], [numbers([2, 5])]);
await write(folder, "recurrent", recurrent(), [null], [numbers([2, 5]).add(0.5).mul(9).floor()]);
