// The model of this page: pixels in, detections out.

export class Detector {
  /**
   * @param {object} about what detector.json says
   * @param {string | null} engine the only one to try, if any
   * @param {(share: number) => void} onProgress how much of the model has been loaded, 0 to 1
   */
  constructor(about, engine, onProgress) {
    this.size = about.size;
    this.labels = about.labels;
    this.waiting = new Map();
    this.last = 0;
    this.worker = new Worker(new URL("./worker.js", import.meta.url));
    this.worker.onmessage = ({ data }) => {
      if ("progress" in data) return onProgress(data.progress);
      const { resolve, reject } = this.waiting.get(data.id);
      this.waiting.delete(data.id);
      if ("error" in data) reject(new Error(data.error));
      else resolve(data.result);
    };
    this.worker.onerror = (event) => {
      for (const { reject } of this.waiting.values()) {
        reject(new Error(event.message || "worker.js, which runs the model, could not be loaded."));
      }
      this.waiting.clear();
    };
    const engines = about.engines
      .filter(({ name }) => !engine || name === engine)
      .map(({ name, model }) => ({ name, model: new URL(model, document.baseURI).href }));
    /** Name and number of threads of what runs the model, and why nothing better does. */
    this.started = engines.length
      ? this.ask("start", { engines, size: about.size })
      : Promise.reject(
          new Error(`This page has no engine ${engine}, but ${about.engines.map(({ name }) => name).join(" and ")}.`),
        );
    this.started.catch(() => {}); // whoever waits for it tells
  }

  /**
   * @param {Uint8Array} pixels of the canvas, height x width x RGB; they are handed over
   * @param {number} height of the image in its upper left
   * @param {number} width likewise
   * @returns {Promise<{outputs: object, milliseconds: number}>} the model's arrays by name
   */
  async detect(pixels, height, width) {
    await this.started;
    return this.ask("detect", { pixels, height, width }, [pixels.buffer]);
  }

  ask(command, argument, handedOver = []) {
    return new Promise((resolve, reject) => {
      const id = ++this.last;
      this.waiting.set(id, { resolve, reject });
      this.worker.postMessage({ id, command, argument }, handedOver);
    });
  }
}

/**
 * The model's arrays as a list of objects.
 *
 * @param {object} outputs see Detector.detect
 * @param {object} labels of detector.json
 * @param {number} scale pixels of the picture in one of what the model was given
 */
export function listDetections(outputs, labels, scale) {
  const { boxes, classes, scores, masks, keypoints } = outputs;
  const rows = scores.length;
  const side = masks ? Math.round(Math.sqrt(masks.length / rows)) : 0;
  const joints = keypoints ? keypoints.length / rows / 3 : 0;
  return Array.from({ length: outputs.num_detections[0] }, (_, row) => {
    const found = {
      index: row,
      class: classes[row],
      name: className(labels, classes[row]),
      score: scores[row],
      box: Array.from(boxes.subarray(4 * row, 4 * row + 4), (value) => value * scale),
    };
    if (masks) {
      found.mask = { side, values: masks.subarray(side * side * row, side * side * (row + 1)) };
    }
    if (joints && labels.keypoint_classes.includes(found.class)) {
      found.joints = Array.from({ length: joints }, (_, joint) => {
        const [x, y, score] = keypoints.subarray(3 * (joints * row + joint));
        return { x: x * scale, y: y * scale, score };
      });
    }
    return found;
  });
}

export function className(labels, index) {
  return labels.class_names?.[index] ?? `class ${labels.category_ids?.[index] ?? index}`;
}
