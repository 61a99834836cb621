/* Runs the model apart from the page, so that the page answers meanwhile.

   A classic worker and not a module: LiteRT.js and TF.js load their WebAssembly by importScripts. */
"use strict";

const ENGINES = {
  litert: { title: "LiteRT.js", script: "./litert.js" },
  tfjs: { title: "TF.js", script: "./tfjs.js" },
};
let engine;

async function start({ engines, size }) {
  const failures = [];
  for (const { name, model } of engines) {
    const { title, script } = ENGINES[name];
    try {
      const { start } = await import(script);
      engine = await start(model, size, (share) => postMessage({ progress: share }));
      return { name: engine.name, threads: engine.threads, failures };
    } catch (error) {
      failures.push({ title, reason: error.message || String(error) });
    }
  }
  const reasons = failures.map(({ title, reason }) => `${title}: ${reason}`);
  throw new Error(["The model cannot be started.", ...reasons].join("\n"));
}

async function detect({ pixels, height, width }) {
  const begin = performance.now();
  const outputs = await engine.run(pixels, height, width);
  return { outputs, milliseconds: performance.now() - begin };
}

const COMMANDS = { start, detect };

self.onmessage = async ({ data: { id, command, argument } }) => {
  try {
    postMessage({ id, result: await COMMANDS[command](argument) });
  } catch (error) {
    postMessage({ id, error: String(error.message || error) });
  }
};
