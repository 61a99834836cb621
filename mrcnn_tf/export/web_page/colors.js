// Colours of instances and joints: those of the Python package's drawings.

const GOLDEN_RATIO = 0.618033988749895;
// Runs of lightness and saturation that do not share a period with the hues of the golden ratio.
const SHADES = [[1.0, 0.85], [0.8, 1.0], [1.0, 0.6], [0.65, 0.9], [0.95, 1.0]];
const DARKEST = 0.45;
// First and last hue by the side of the body that a joint's name tells.
const HUES = { left: [0.48, 0.74], right: [0.13, -0.08], middle: [0.18, 0.38], none: [0.0, 0.85] };

/** The colour of the instance with this index, always the same: [red, green, blue], 0 to 255. */
export function instanceColor(index) {
  const [value, saturation] = SHADES[index % SHADES.length];
  const color = fromHsv(0.02 + index * GOLDEN_RATIO, saturation, value);
  const white = Math.max(0, DARKEST - brightness(color));
  return color.map((channel) => Math.round(255 * (channel + (1 - channel) * white)));
}

/** Black or white, whichever is easier to read on a background. */
export function textColor(background) {
  return brightness(background) > 128 ? "#000" : "#fff";
}

/** The colour of the limb between two joints, or of one joint given twice. */
export function limbColor(names, first, second) {
  const sides = sidesOf(names);
  const outer = new Set([sides[first], sides[second]].filter((side) => side !== "middle"));
  const [from, to] = HUES[outer.size === 1 ? [...outer][0] : "middle"];
  const hue = from + ((to - from) * (first + second)) / 2 / Math.max(sides.length - 1, 1);
  return css(fromHsv(hue, 0.8, 1).map((channel) => Math.round(255 * channel)));
}

export function css([red, green, blue], alpha = 1) {
  return `rgb(${red} ${green} ${blue} / ${alpha})`;
}

function sidesOf(names) {
  const sides = names.map(
    (name) => ["left", "right"].find((side) => name.toLowerCase().includes(side)) ?? "middle",
  );
  return sides.every((side) => side === "middle") ? sides.map(() => "none") : sides;
}

function brightness([red, green, blue]) {
  return 0.299 * red + 0.587 * green + 0.114 * blue;
}

function fromHsv(hue, saturation, value) {
  const turn = (((hue % 1) + 1) % 1) * 6;
  return [5, 3, 1].map((shift) => {
    const along = (shift + turn) % 6;
    return value - value * saturation * Math.max(0, Math.min(along, 4 - along, 1));
  });
}
