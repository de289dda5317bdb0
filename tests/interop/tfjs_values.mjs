// Loads layers-models of netc in TensorFlow.js, with all of their weights, and compares their outputs with those recorded in
// a `values.json`.
//
//     npm install @tensorflow/tfjs@4.22.0
//     netc tests/tfjs/nested/model.json --format tfjs -o js
//     node tests/interop/tfjs_values.mjs js tests/tfjs/nested/values.json
//
// or, for all models that `tfjs_from_keras3.py` made in a folder:
//
//     node tests/interop/tfjs_values.mjs models

import * as tf from "@tensorflow/tfjs";
import { existsSync, readFileSync, readdirSync } from "node:fs";

// Prints for each output its shape, and its largest difference, absolute and relative to the largest number.
async function compare(folder, recorded) {
  const { modelTopology, weightsManifest } = JSON.parse(readFileSync(`${folder}/model.json`));
  const shards = weightsManifest.flatMap((group) => group.paths).map((path) => readFileSync(`${folder}/${path}`));
  const weightData = Uint8Array.from(Buffer.concat(shards)).buffer;
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  const model = await tf.loadLayersModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
  const { inputs, outputs } = JSON.parse(readFileSync(recorded));
  const made = [model.predict(inputs.map((x) => tf.tensor(x.values, x.shape)))].flat();
  made.forEach((y, i) => {
    const expected = outputs[i].values;
    const difference = Math.max(...y.dataSync().map((value, k) => Math.abs(value - expected[k])));
    const largest = Math.max(...expected.map(Math.abs), Number.MIN_VALUE);
    console.log(`${folder}, output ${i}: shape ${y.shape}, largest difference ${difference}, relative ${difference / largest}`);
  });
}

const [folder, recorded] = process.argv.slice(2);
if (recorded) {
  await compare(folder, recorded);
} else {
  const names = readdirSync(folder).filter((name) => existsSync(`${folder}/${name}/model.json`));
  for (const name of names.sort()) {
    await compare(`${folder}/${name}`, `${folder}/${name}.values.json`).catch((e) => console.log(`${name} fails: ${e.message}`));
  }
}
