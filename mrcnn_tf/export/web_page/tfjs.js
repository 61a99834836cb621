// The model in TF.js, for browsers in which LiteRT.js does not start.

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
  let model;
  try {
    model = await tf.loadGraphModel(file, { onProgress });
  } catch (error) {
    throw new Error(`The model ${file} cannot be loaded: ${error.message}`);
  }

  async function run(pixels, height, width) {
    const inputs = {
      images: tf.tensor4d(pixels, [1, ...size, 3], "int32"),
      image_sizes: tf.tensor2d([height, width], [1, 2], "int32"),
    };
    const outputs = await model.predictAsync(inputs);
    const arrays = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      arrays[name] = await tensor.data();
      tensor.dispose();
    }
    for (const tensor of Object.values(inputs)) tensor.dispose();
    return arrays;
  }

  const isWasm = tf.getBackend() === "wasm";
  return { name: `TF.js (${tf.getBackend()})`, threads: isWasm ? tf.wasm.getThreadsCount() : 1, run };
}
