// node tfjs_node.js NODE_MODULES MODEL: answers a line of JSON with a line of JSON.

"use strict";

const fs = require("fs");
const path = require("path");
const readline = require("readline");
const {createRequire} = require("module");
const {callModel} = require("./tfjs_calls.js");

console.log = console.error;  // standard output is for answers
const answer = (value) => process.stdout.write(JSON.stringify(value) + "\n");

async function main(modules, folder) {
  const libraries = createRequire(path.join(modules, "package.json"));
  const tf = libraries("@tensorflow/tfjs-core");
  const {loadGraphModel} = libraries("@tensorflow/tfjs-converter");
  libraries("@tensorflow/tfjs-backend-wasm");
  if (!(await tf.setBackend("wasm"))) throw new Error("the wasm backend does not start");
  const document = JSON.parse(fs.readFileSync(path.join(folder, "model.json"), "utf8"));
  const files = document.weightsManifest.flatMap((group) => group.paths);
  const weights = Buffer.concat(files.map((file) => fs.readFileSync(path.join(folder, file))));
  const model = await loadGraphModel(tf.io.fromMemory({
    ...document,
    weightSpecs: document.weightsManifest.flatMap((group) => group.weights),
    weightData: weights.buffer.slice(weights.byteOffset, weights.byteOffset + weights.byteLength),
  }));
  answer({version: tf.version_core, backend: tf.getBackend()});
  for await (const line of readline.createInterface({input: process.stdin})) {
    try {
      answer(await callModel(tf, model, JSON.parse(line)));
    } catch (error) {
      answer({error: String(error.stack || error)});
    }
  }
}

main(process.argv[2], process.argv[3]).catch((error) => {
  answer({error: String(error.stack || error)});
  process.exitCode = 1;
});
