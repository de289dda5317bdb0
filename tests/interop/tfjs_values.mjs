// Loads a layers-model that netc wrote in TensorFlow.js, with all of its weights, and compares what it computes with what is
// recorded in a `values.json`.
//
//     npm install @tensorflow/tfjs@4.22.0
//     netc tests/tfjs/nested/model.json --format tfjs -o js
//     node tests/interop/tfjs_values.mjs js tests/tfjs/nested/values.json

import * as tf from "@tensorflow/tfjs";
import { readFileSync } from "node:fs";

const [folder, recorded] = process.argv.slice(2);
const { modelTopology, weightsManifest } = JSON.parse(readFileSync(`${folder}/model.json`));
const shards = weightsManifest.flatMap((group) => group.paths).map((path) => readFileSync(`${folder}/${path}`));
const weightData = Uint8Array.from(Buffer.concat(shards)).buffer;
const weightSpecs = weightsManifest.flatMap((group) => group.weights);
const model = await tf.loadLayersModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });

const { inputs, outputs } = JSON.parse(readFileSync(recorded));
const made = [model.predict(inputs.map((x) => tf.tensor(x.values, x.shape)))].flat();
made.forEach((y, i) => {
  const differences = y.dataSync().map((value, k) => Math.abs(value - outputs[i].values[k]));
  console.log(`output ${i}: shape ${y.shape}, largest difference ${Math.max(...differences)}`);
});
