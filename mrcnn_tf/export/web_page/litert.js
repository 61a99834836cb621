// The model in LiteRT.js, on the processor by WebAssembly.

import { Tensor, loadAndCompile, loadLiteRt, supportsFeature } from "./vendor/litertjs-core/dist/index.js";
import { download } from "./download.js";

const WASM = new URL("./vendor/litertjs-core/wasm/", import.meta.url).href;

/**
 * @param {string} file the .tflite file
 * @param {[number, number]} size height and width of the canvas
 * @param {(share: number) => void} onProgress see download
 */
export async function start(file, size, onProgress) {
  // Threads need shared memory, which a browser gives to isolated pages alone.
  const threaded =
    self.crossOriginIsolated &&
    (await supportsFeature("threads")) &&
    (await supportsFeature("relaxedSimd"));
  self.Module = {
    locateFile: (name) => WASM + name,
    // It reports everything as an error, what goes well too.
    printErr: (line) => (/^(INFO|WARNING|VERBOSE)/.test(line) ? console.debug : console.error)(line),
  };
  if (threaded) self.Module.mainScriptUrlOrBlob = `${WASM}litert_wasm_threaded_internal.js`;
  await loadLiteRt(WASM, { threads: threaded });
  const bytes = await download(file, onProgress);
  const model = await loadAndCompile(bytes, { accelerator: "wasm" });

  async function run(pixels, height, width) {
    const inputs = {
      images: new Tensor(pixels, [1, ...size, 3]),
      image_sizes: new Tensor(Int32Array.of(height, width), [1, 2]),
    };
    const outputs = await model.run(inputs);
    const arrays = {};
    for (const [name, tensor] of Object.entries(outputs)) {
      arrays[name] = tensor.toTypedArray().slice();
      tensor.delete();
    }
    for (const tensor of Object.values(inputs)) tensor.delete();
    return arrays;
  }

  return { name: "LiteRT.js", threads: threaded ? navigator.hardwareConcurrency : 1, run };
}
