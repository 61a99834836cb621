// Pictures on their way to the model.

/**
 * @param {Blob} file a picture
 * @returns {Promise<ImageBitmap>} upright, with the colours that are in the file
 */
export async function readPicture(file) {
  try {
    return await createImageBitmap(file, {
      imageOrientation: "from-image",
      colorSpaceConversion: "none",
      premultiplyAlpha: "none",
    });
  } catch {
    throw new Error(`${file.name || "The file"} is no picture that this browser can read.`);
  }
}

/** Width and height of a picture that has to fit a canvas [height, width]; none is enlarged. */
export function fitted(width, height, [canvasHeight, canvasWidth]) {
  const scale = Math.min(canvasWidth / width, canvasHeight / height, 1);
  const shrunk = (side) => Math.max(1, Math.round(side * scale));
  return [shrunk(width), shrunk(height)];
}

let sheet;

/**
 * @param {CanvasImageSource} source a picture or a video
 * @param {number} width of the source in pixels
 * @param {number} height likewise
 * @param {[number, number]} size height and width of the model's canvas
 * @returns {{pixels: Uint8Array, width: number, height: number, scale: number}} the canvas with the
 *   picture in its upper left, the picture's size there, and pixels of the source in one of these
 */
export function modelInput(source, width, height, size) {
  const [newWidth, newHeight] = fitted(width, height, size);
  sheet ??= document.createElement("canvas").getContext("2d", { alpha: false, willReadFrequently: true });
  sheet.canvas.width = newWidth;
  sheet.canvas.height = newHeight;
  sheet.imageSmoothingQuality = "high";
  sheet.drawImage(source, 0, 0, newWidth, newHeight);
  const { data } = sheet.getImageData(0, 0, newWidth, newHeight);
  const pixels = new Uint8Array(size[0] * size[1] * 3);
  for (let row = 0, from = 0; row < newHeight; row++) {
    for (let column = 0, to = row * size[1] * 3; column < newWidth; column++, from += 4, to += 3) {
      pixels[to] = data[from];
      pixels[to + 1] = data[from + 1];
      pixels[to + 2] = data[from + 2];
    }
  }
  return { pixels, width: newWidth, height: newHeight, scale: width / newWidth };
}
