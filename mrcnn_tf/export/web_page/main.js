// The page: a picture or the camera, the model, and the drawing of what it finds.

import { openCamera } from "./camera.js";
import { Detector, listDetections } from "./detector.js";
import { draw } from "./draw.js";
import { Panel } from "./panel.js";
import { modelInput, readPicture } from "./pictures.js";
import { saveDrawing, saveList } from "./save.js";

const HIGHEST = 0.72; // share of the window's height that a picture takes at most
const MOST_PIXELS = 1600; // of a drawing's longer side: masks of larger ones take too long

const find = (id) => document.getElementById(id);
const canvas = find("picture");
let about, detector, panel;
let shown = null; // { picture, width, height, name, milliseconds } of what is on the canvas
let closeCamera = null;
let newest = 0; // number of the latest picture; an earlier one that comes late is not drawn

const loaded = load();

/** What this page is about, and the model on its way. */
async function load() {
  const answer = await fetch("detector.json");
  if (!answer.ok) throw new Error("detector.json is missing: it has to lie beside this page.");
  about = await answer.json();
  document.title = find("title").textContent = about.title;
  panel = new Panel(about.labels, redraw);
  showSamples();
  detector = new Detector(about, new URLSearchParams(location.search).get("engine"), (share) => {
    find("status").textContent = `Loading the model, ${Math.round(100 * share)} %`;
  });
  // For scripts in the page and its tests.
  window.mrcnn = {
    detector,
    get detections() {
      return panel.detections;
    },
    get shown() {
      return panel.shown;
    },
  };
}

async function start() {
  connect(); // what is dropped before the page knows its model waits
  await loaded;
  const { name, threads, failures } = await detector.started;
  find("engine").textContent =
    `${name}, ${threads} ${threads === 1 ? "thread" : "threads"}, canvas of ` +
    `${about.size[1]}\u00a0×\u00a0${about.size[0]}\u00a0px` +
    failures.map(({ title }) => `; ${title} does not start`).join("");
  for (const { title, reason } of failures) console.warn(`${title} does not start: ${reason}`);
  if (!shown) find("status").textContent = "Ready";
}

function connect() {
  find("file").addEventListener("change", ({ target }) => {
    if (target.files.length) take(target.files[0]);
    target.value = ""; // the same file may be chosen again
  });
  const zone = find("zone");
  // Anywhere on the page: beside the zone the browser would leave the page for the picture.
  addEventListener("dragover", (event) => {
    event.preventDefault();
    zone.classList.add("over");
  });
  addEventListener("dragleave", () => zone.classList.remove("over"));
  addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    if (event.dataTransfer.files.length) take(event.dataTransfer.files[0]);
  });
  addEventListener("paste", ({ clipboardData }) => {
    if (clipboardData.files.length) take(clipboardData.files[0]);
  });
  find("camera").addEventListener("click", () => (closeCamera ? stopCamera() : guard(runCamera)));
  find("list").addEventListener("toggle", () => panel?.change());
  find("save-picture").addEventListener("click", () => saveDrawing(canvas, shown.name));
  find("save-list").addEventListener("click", () => saveList(shown, panel.shown, about.labels));
  new ResizeObserver(redraw).observe(zone);
  addEventListener("resize", redraw);
}

function showSamples() {
  for (const { file, name } of about.samples) {
    const button = Object.assign(document.createElement("button"), { type: "button" });
    button.append(Object.assign(document.createElement("img"), { src: file, alt: name }));
    button.addEventListener("click", () =>
      guard(async () => {
        const answer = await fetch(file);
        if (!answer.ok) throw new Error(`The example ${file} is missing.`);
        await take(new File([await answer.blob()], name));
      }),
    );
    find("samples").lastElementChild.append(button);
    find("samples").hidden = false;
  }
}

/** Runs something that the user asked for, and tells what went wrong. */
async function guard(action) {
  find("error").hidden = true;
  try {
    await action();
  } catch (error) {
    fail(error);
  }
}

function fail(error) {
  find("error").hidden = false;
  find("error").textContent = error.message;
  if (!shown?.milliseconds) find("status").textContent = "";
}

/** Shows a file, and what is found in it. */
function take(file) {
  stopCamera();
  return guard(async () => {
    const number = ++newest;
    await loaded;
    const picture = await readPicture(file);
    if (number !== newest) return;
    const { width, height } = picture;
    shown = { picture, width, height, name: file.name || "picture" };
    panel.show([]);
    const found = await detect(shown);
    if (number !== newest) return;
    shown.milliseconds = found.milliseconds;
    panel.show(found.detections);
  });
}

async function detect({ picture, width, height }) {
  const input = modelInput(picture, width, height, about.size);
  const { outputs, milliseconds } = await detector.detect(input.pixels, input.height, input.width);
  return { detections: listDetections(outputs, about.labels, input.scale), milliseconds };
}

async function runCamera() {
  const number = ++newest;
  const video = find("video");
  const button = find("camera");
  button.disabled = true; // a browser may ask for a long time whether it may be used
  let close;
  try {
    await loaded;
    close = await openCamera(video);
  } finally {
    button.disabled = false;
  }
  if (number !== newest) return close(); // a picture was chosen meanwhile
  closeCamera = close;
  button.setAttribute("aria-pressed", "true");
  button.textContent = "Stop the camera";
  try {
    while (closeCamera && number === newest) {
      const picture = await createImageBitmap(video);
      const { width, height } = picture;
      const frame = { picture, width, height, name: "camera" };
      const found = await detect(frame);
      if (!closeCamera || number !== newest) break; // what is seen stays what was drawn
      shown?.picture.close();
      shown = { ...frame, milliseconds: found.milliseconds };
      panel.show(found.detections);
    }
  } finally {
    if (number === newest) stopCamera();
  }
}

function stopCamera() {
  closeCamera?.();
  closeCamera = null;
  find("camera").setAttribute("aria-pressed", "false");
  find("camera").textContent = "Use the camera";
}

/** Draws the picture as large as there is room for it. */
function redraw() {
  const isDone = shown?.milliseconds !== undefined;
  find("save-picture").disabled = find("save-list").disabled = !isDone;
  if (!shown) return;
  canvas.hidden = false;
  find("invitation").hidden = true;
  const { picture, width, height } = shown;
  const room = Math.min(find("zone").clientWidth / width, (HIGHEST * innerHeight) / height);
  canvas.style.width = `${width * room}px`;
  canvas.style.height = `${height * room}px`;
  const scale = Math.min(room * devicePixelRatio, MOST_PIXELS / Math.max(width, height));
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  draw(canvas, picture, scale, panel.shown, about.labels, panel.layers);
  const count = panel.shown.length;
  const summary = `${count} ${count === 1 ? "object" : "objects"}`;
  find("status").textContent = isDone
    ? `${summary} · ${Math.round(shown.milliseconds)} ms for this picture`
    : "Looking for objects";
  canvas.setAttribute("aria-label", isDone ? `${shown.name} with ${summary}` : shown.name);
}

guard(start);
