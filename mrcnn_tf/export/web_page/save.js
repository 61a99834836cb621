// What was found, as files.

/** The drawing, as PNG. */
export function saveDrawing(canvas, name) {
  canvas.toBlob((blob) => download(blob, `${stem(name)}_detections.png`), "image/png");
}

/** The detections that are drawn, as JSON. */
export function saveList(shown, detections, labels) {
  const text = JSON.stringify(describe(shown, detections, labels), null, 1);
  download(new Blob([text], { type: "application/json" }), `${stem(shown.name)}_detections.json`);
}

/** Detections in pixels of the picture; joints are [x, y, score]. */
export function describe({ name, width, height }, detections, labels) {
  return {
    picture: name,
    width,
    height,
    detections: detections.map((found) => ({
      class: found.class,
      category_id: labels.category_ids?.[found.class] ?? null,
      name: found.name,
      score: found.score,
      box: found.box,
      ...(found.joints && { joints: found.joints.map(({ x, y, score }) => [x, y, score]) }),
    })),
  };
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

function stem(name) {
  return name.replace(/\.[^.]*$/, "");
}
