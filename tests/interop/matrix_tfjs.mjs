// The TensorFlow.js part of `matrix.py`. `matrix_tfjs.mjs PACKAGES make FOLDER` loads the output of `tensorflowjs_converter`
// from the folders `tfjs`, records the outputs of TensorFlow.js in `tfjs/values.json`, and saves the model again in
// `tfjs-saved`. `matrix_tfjs.mjs PACKAGES judge JOBS VERDICTS` loads the files of netc and compares their outputs.

import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const [packages, command, ...args] = process.argv.slice(2);
const require = createRequire(join(packages, "package.json"));
const tf = require("@tensorflow/tfjs-core");
const layers = require("@tensorflow/tfjs-layers");
require("@tensorflow/tfjs-backend-cpu");
console.warn = () => {};

async function load(folder) {
  const { modelTopology, weightsManifest } = JSON.parse(readFileSync(`${folder}/model.json`));
  const shards = weightsManifest.flatMap((group) => group.paths).map((path) => readFileSync(`${folder}/${path}`));
  const weightData = Uint8Array.from(Buffer.concat(shards)).buffer;
  const weightSpecs = weightsManifest.flatMap((group) => group.weights);
  return layers.loadLayersModel({ load: async () => ({ modelTopology, weightSpecs, weightData }) });
}

function tensor({ shape, dtype, values }) {
  const kind = dtype === "string" || dtype === "bool" ? dtype : dtype.includes("int") ? "int32" : "float32";
  return tf.tensor(values, shape, kind);
}

// The recorded inputs in the order of the model: by name, or as recorded if the names differ.
function inOrder(model, values) {
  const recorded = values.input_names;
  // A Sequential model has one input without a name.
  const names = model.inputNames.length ? model.inputNames : model.inputs.map((x) => x.name);
  const same = [...names].sort().join() === [...recorded].sort().join();
  return names.map((name, i) => tensor(values.inputs[same ? recorded.indexOf(name) : i]));
}

function run(model, inputs) {
  return [model.predict(inputs.length > 1 ? inputs : inputs[0])].flat();
}

const plain = (y) => ({ shape: y.shape, dtype: y.dtype, values: Array.from(y.dataSync()) });

// The largest difference relative to the largest number, or what else differs.
function compare(outputs, values) {
  const shapes = (list) => JSON.stringify(list.map((y) => y.shape));
  if (shapes(outputs) !== shapes(values.outputs)) {
    return { differs: `shapes ${shapes(outputs)} for ${shapes(values.outputs)}` };
  }
  const errors = outputs.map((y, i) => {
    const expected = values.outputs[i].values;
    const difference = y.values.reduce((most, value, k) => Math.max(most, Math.abs(value - expected[k])), 0);
    const error = difference / expected.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-30);
    return Number.isFinite(error) && y.values.every(Number.isFinite) ? error : 9;
  });
  return { error: Math.max(0, ...errors), structure: values.structure };
}

async function save(model, folder) {
  let artifacts;
  await model.save({ save: async (a) => ((artifacts = a), { modelArtifactsInfo: {} }) });
  const { modelTopology, generatedBy, weightSpecs, weightData } = artifacts;
  mkdirSync(folder);
  const data = Array.isArray(weightData) ? Buffer.concat(weightData.map((d) => Buffer.from(d))) : Buffer.from(weightData);
  writeFileSync(`${folder}/weights.bin`, data);
  const weightsManifest = [{ paths: ["weights.bin"], weights: weightSpecs }];
  writeFileSync(`${folder}/model.json`, JSON.stringify({ format: "layers-model", generatedBy, convertedBy: null, modelTopology, weightsManifest }));
}

async function make(folder) {
  const log = {};
  for (const name of readdirSync(folder).sort()) {
    const place = `${folder}/${name}`;
    if (!existsSync(`${place}/tfjs/model.json`)) continue;
    const values = JSON.parse(readFileSync(`${place}/values.json`));
    try {
      const model = await load(`${place}/tfjs`);
      const found = run(model, inOrder(model, values)).map(plain);
      const error = compare(found, values);
      if (!(error.error <= 1e-5)) log[`${values.row}: ${values.text}`] = `computes something else: ${JSON.stringify(error)}`;
      const structure = found.length > 1 || values.structure === "one" ? values.structure : "one";
      writeFileSync(`${place}/tfjs/values.json`, JSON.stringify({ ...values, outputs: found, structure: Array.isArray(structure) ? "list" : structure }));
      await save(model, `${place}/tfjs-saved`);
    } catch (error) {
      log[`${values.row}: ${values.text}`] = String(error.message).slice(0, 200);
      if (!existsSync(`${place}/tfjs/values.json`)) renameSync(`${place}/tfjs`, `${place}/tfjs-unloaded`);
    }
  }
  writeFileSync(`${folder}/log-tfjs.json`, JSON.stringify(log, null, 1));
}

async function judge(jobs, verdicts) {
  const found = {};
  for (const { id, file, values } of JSON.parse(readFileSync(jobs))) {
    const recorded = JSON.parse(readFileSync(values));
    try {
      found[id] = file.endsWith("manifest.json") ? await chain(file, recorded) : await whole(dirname(file), recorded);
    } catch (error) {
      found[id] = { refuses: String(error.message).slice(0, 300) };
    }
  }
  writeFileSync(verdicts, JSON.stringify(found));
}

async function whole(folder, values) {
  const model = await load(folder);
  return compare(run(model, inOrder(model, values)).map(plain), values);
}

async function chain(manifest, values) {
  const { stages, outputs } = JSON.parse(readFileSync(manifest));
  const made = [];
  const value = ({ source }) =>
    "model_input" in source ? tensor(values.inputs[values.input_names.indexOf(source.model_input)]) : made[source.stage][source.output];
  for (const [number, stage] of stages.entries()) {
    const model = await load(join(dirname(manifest), dirname(stage.file))).catch((e) => {
      throw new Error(`stage ${number}: ${e.message}`);
    });
    made.push(run(model, stage.inputs.map(value)));
  }
  return compare(outputs.map((port) => plain(value(port))), values);
}

await tf.setBackend("cpu");
const begin = Date.now();
await (command === "make" ? make(args[0]) : judge(...args));
console.log(`${command}: ${Math.round((Date.now() - begin) / 1000)} s in TensorFlow.js ${tf.version_core}`);
