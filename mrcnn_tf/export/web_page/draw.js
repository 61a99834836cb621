// A picture with what was found in it.

import { css, instanceColor, textColor } from "./colors.js";
import { drawMasks } from "./masks.js";
import { drawSkeleton } from "./skeletons.js";

/**
 * @param {HTMLCanvasElement} canvas as large as the drawing shall be
 * @param {CanvasImageSource} picture
 * @param {number} scale pixels of the canvas in one of the picture
 * @param {object[]} detections to draw, see listDetections
 * @param {object} labels of detector.json
 * @param {{masks: boolean, boxes: boolean, joints: boolean, names: boolean}} layers
 */
export function draw(canvas, picture, scale, detections, labels, layers) {
  const context = canvas.getContext("2d", { alpha: false });
  context.imageSmoothingQuality = "high";
  context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  const line = Math.max(1, Math.round(Math.max(canvas.width, canvas.height) / 350));
  const scaled = detections.map((detection) => ({
    ...detection,
    color: instanceColor(detection.index),
    box: detection.box.map((value) => value * scale),
    joints: detection.joints?.map(({ x, y, score }) => ({ x: x * scale, y: y * scale, score })),
  }));
  if (layers.masks && scaled.some(({ mask }) => mask)) {
    const overlay = new OffscreenCanvas(canvas.width, canvas.height);
    const image = new ImageData(canvas.width, canvas.height);
    drawMasks(image, scaled, ({ color }) => color, line);
    overlay.getContext("2d").putImageData(image, 0, 0);
    context.drawImage(overlay, 0, 0);
  }
  const backwards = [...scaled].reverse(); // what is surest lies on top
  if (layers.boxes) {
    context.lineWidth = line;
    for (const { box: [x1, y1, x2, y2], color } of backwards) {
      context.strokeStyle = css(color);
      context.strokeRect(x1, y1, x2 - x1, y2 - y1);
    }
  }
  if (layers.joints) {
    for (const detection of backwards) {
      if (detection.joints) drawSkeleton(context, detection, labels);
    }
  }
  if (layers.names) writeNames(context, scaled);
}

/** Writes name and score where there is room; in a crowd the objects stay visible. */
function writeNames(context, detections) {
  const { width, height } = context.canvas;
  const size = Math.round(Math.min(Math.max(Math.max(width, height) / 55, 12), 40));
  context.font = `600 ${size}px system-ui, sans-serif`;
  context.textBaseline = "middle";
  const tall = Math.round(1.4 * size);
  const area = ([x1, y1, x2, y2]) => (x2 - x1) * (y2 - y1);
  // Names do not hide objects that are hardly larger than they are.
  const small = detections.filter(({ box }) => area(box) < 4 * tall * tall);
  const taken = [];
  for (const detection of detections) {
    const [left, top, , bottom] = detection.box;
    const text = `${detection.name} ${detection.score.toFixed(2)}`;
    const wide = context.measureText(text).width + 0.6 * size;
    const x = Math.max(0, Math.min(left, width - wide));
    const blocked = [...taken, ...small.filter((other) => other !== detection).map(({ box }) => box)];
    const places = [top - tall, top, bottom].map((y) => [x, y, x + wide, y + tall]);
    const place = places.find(
      (one) => one[1] >= 0 && one[3] <= height && !blocked.some((other) => overlaps(one, other)),
    );
    if (!place) continue;
    taken.push(place);
    context.fillStyle = css(detection.color);
    context.fillRect(x, place[1], wide, tall);
    context.fillStyle = textColor(detection.color);
    context.fillText(text, x + 0.3 * size, place[1] + tall / 2);
  }
}

function overlaps(one, other) {
  return one[0] < other[2] && other[0] < one[2] && one[1] < other[3] && other[1] < one[3];
}
