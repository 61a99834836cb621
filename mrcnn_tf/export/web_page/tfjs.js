// The model in TF.js, for browsers in which LiteRT.js does not start.

import { download } from "./download.js";

const VENDOR = new URL("./vendor/", import.meta.url).href;
const LIBRARIES = ["core", "converter", "backend-cpu", "backend-wasm"];

/**
 * @param {string} file the model.json of a graph model
 * @param {[number, number]} size height and width of the canvas
 * @param {(share: number) => void} onProgress called with how much of it is there, 0 to 1
 */
export async function start(file, size, onProgress) {
  importScripts(
    ...LIBRARIES.map((name) => `${VENDOR}tensorflow-tfjs-${name}/dist/tf-${name}.min.js`),
  );
  const { tf } = self;
  tf.wasm.setWasmPaths(`${VENDOR}tensorflow-tfjs-backend-wasm/dist/`);
  // Without WebAssembly it is slow, and still right.
  if (!(await tf.setBackend("wasm").catch(() => false))) await tf.setBackend("cpu");
  await tf.ready();
  const model = await tf.loadGraphModel({ load: () => read(file, onProgress) });

  async function run(pixels, height, width) {
    const inputs = {
      images: tf.tensor4d(pixels, [1, ...size, 3], "int32"),
      image_sizes: tf.tensor2d([height, width], [1, 2], "int32"),
    };
    const outputs = await model.predictAsync(inputs);
    const arrays = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      arrays[name] = await tensor.data();
    }
    tf.dispose([inputs, outputs]);
    return arrays;
  }

  const isWasm = tf.getBackend() === "wasm";
  return { name: `TF.js (${tf.getBackend()})`, threads: isWasm ? tf.wasm.getThreadsCount() : 1, run };
}

/**
 * What model.json and its files of weights hold, one file after the other: TF.js asks for all of
 * them before it reads one, which a browser that may not cache them never answers.
 */
async function read(file, onProgress) {
  const about = JSON.parse(new TextDecoder().decode(await download(file, () => {})));
  const paths = about.weightsManifest.flatMap((group) => group.paths);
  const weightData = [];
  for (const path of paths) {
    const tell = (share) => onProgress((weightData.length + share) / paths.length);
    weightData.push((await download(new URL(path, file).href, tell)).buffer);
    tell(0);
  }
  return { ...about, weightSpecs: about.weightsManifest.flatMap((group) => group.weights), weightData };
}
