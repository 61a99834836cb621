// Joints and the limbs between them.

import { limbColor } from "./colors.js";

const LEAST_SCORE = 0.05;
const CASING = "rgb(24 24 24)";

/**
 * @param {CanvasRenderingContext2D} context
 * @param {object} detection with a box and joints in pixels of the context
 * @param {object} labels of detector.json
 */
export function drawSkeleton(context, detection, labels) {
  const { joints, box: [x1, y1, x2, y2] } = detection;
  const longest = Math.max(context.canvas.width, context.canvas.height);
  const width = Math.min(Math.max(Math.max(x2 - x1, y2 - y1) / 45, 2), Math.max(3, longest / 160));
  const isDrawn = (joint) => joints[joint].score >= LEAST_SCORE;
  const limbs = (labels.keypoint_skeleton ?? []).filter(([a, b]) => isDrawn(a) && isDrawn(b));
  const names = labels.keypoint_names ?? joints.map(() => "");
  const edge = Math.max(0.35 * width, 1.2);
  context.lineCap = "round";
  for (const isCasing of [true, false]) {
    for (const [a, b] of limbs) {
      context.beginPath();
      context.moveTo(joints[a].x, joints[a].y);
      context.lineTo(joints[b].x, joints[b].y);
      context.lineWidth = isCasing ? width + 2 * edge : width;
      context.strokeStyle = isCasing ? CASING : limbColor(names, a, b);
      context.stroke();
    }
  }
  joints.forEach(({ x, y }, joint) => {
    if (!isDrawn(joint)) return;
    for (const isCasing of [true, false]) {
      context.beginPath();
      context.arc(x, y, 0.85 * width + (isCasing ? edge : 0), 0, 2 * Math.PI);
      context.fillStyle = isCasing ? CASING : limbColor(names, joint, joint);
      context.fill();
    }
  });
}
