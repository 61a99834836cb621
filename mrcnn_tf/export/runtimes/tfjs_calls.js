// A graph model called with JSON, alike in Node.js and in a page: arrays travel as base64.

"use strict";

function toBytes(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function toBase64(array) {
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  const pieces = [];
  for (let start = 0; start < bytes.length; start += 0x8000) {
    pieces.push(String.fromCharCode(...bytes.subarray(start, start + 0x8000)));
  }
  return btoa(pieces.join(""));
}

async function callModel(tf, model, request) {
  const pixels = toBytes(request.pixels);
  const start = performance.now();
  const images = tf.tensor(pixels, request.shape, "int32");
  const sizes = tf.tensor(request.sizes, [request.sizes.length, 2], "int32");
  const found = await model.predictAsync({images: images, image_sizes: sizes});
  const names = Object.keys(found);
  const values = await Promise.all(names.map((name) => found[name].data()));
  const seconds = (performance.now() - start) / 1000;
  const outputs = {};
  names.forEach((name, i) => {
    const {shape, dtype} = found[name];
    outputs[name] = {shape, dtype, data: toBase64(values[i])};
  });
  tf.dispose([images, sizes, Object.values(found)]);
  return {seconds, outputs, tensors: tf.memory().numTensors};
}

if (typeof module !== "undefined") module.exports = {callModel};
