// Masks at the size of the drawing.

/**
 * Tints the pixels of masks in a transparent image, large ones first, with an outline inside each.
 *
 * The grid of a mask spans its box edge to edge; between the centres of its cells it is
 * interpolated, and a pixel is set where that is at least one half: as the Python package pastes.
 *
 * @param {ImageData} image what to draw on
 * @param {object[]} detections with boxes in the image's pixels; see listDetections
 * @param {(detection: object) => number[]} colorOf red, green, blue
 * @param {number} outline its width in pixels
 */
export function drawMasks(image, detections, colorOf, outline) {
  const pasted = detections
    .filter(({ mask }) => mask)
    .map((detection) => ({ detection, ...pasteMask(detection, image.width, image.height) }));
  pasted.sort((one, other) => other.area - one.area);
  for (const { detection, left, top, width, height, bits } of pasted) {
    const [red, green, blue] = colorOf(detection);
    const isSet = (x, y) => x >= 0 && y >= 0 && x < width && y < height && bits[y * width + x];
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        if (!bits[y * width + x]) continue;
        const isInner =
          isSet(x - outline, y) && isSet(x + outline, y) && isSet(x, y - outline) && isSet(x, y + outline);
        const at = 4 * ((top + y) * image.width + left + x);
        image.data[at] = red;
        image.data[at + 1] = green;
        image.data[at + 2] = blue;
        image.data[at + 3] = isInner ? 105 : 255;
      }
    }
  }
}

/** The part of an image that a box covers, and which of its pixels belong to the mask. */
export function pasteMask({ box: [x1, y1, x2, y2], mask: { side, values } }, imageWidth, imageHeight) {
  const clip = (value, limit) => Math.min(Math.max(value, 0), limit);
  const left = clip(Math.floor(x1), imageWidth);
  const top = clip(Math.floor(y1), imageHeight);
  const width = clip(Math.ceil(x2), imageWidth) - left;
  const height = clip(Math.ceil(y2), imageHeight) - top;
  if (!(width > 0 && height > 0)) return { left, top, width: 0, height: 0, bits: [], area: 0 };
  const columns = taps(left, width, x1, x2, side);
  const rows = taps(top, height, y1, y2, side);
  const bits = new Uint8Array(width * height);
  let area = 0;
  const cell = (row, column) => (row < 0 || row >= side || column < 0 || column >= side ? 0 : values[row * side + column]);
  for (let y = 0; y < height; y++) {
    const [row, down] = rows[y];
    for (let x = 0; x < width; x++) {
      const [column, across] = columns[x];
      const above = cell(row, column) * (1 - across) + cell(row, column + 1) * across;
      const below = cell(row + 1, column) * (1 - across) + cell(row + 1, column + 1) * across;
      if (above * (1 - down) + below * down >= 0.5) {
        bits[y * width + x] = 1;
        area++;
      }
    }
  }
  return { left, top, width, height, bits, area };
}

/** Of each pixel along an axis: the cell in front of its centre, and the share of the next one. */
function taps(first, count, low, high, side) {
  return Array.from({ length: count }, (_, pixel) => {
    const at = ((first + pixel + 0.5 - low) / (high - low)) * side - 0.5;
    return [Math.floor(at), at - Math.floor(at)];
  });
}
