// The model file, with news about how much of it is there.

/**
 * @param {string} file its address, relative to the page
 * @param {(share: number) => void} onProgress called with 0 to 1, where the server tells the size
 * @returns {Promise<Uint8Array>}
 */
export async function download(file, onProgress) {
  let response;
  try {
    response = await fetch(file);
  } catch {
    throw new Error(`The model file ${file} cannot be fetched: is the server still running?`);
  }
  if (!response.ok) {
    throw new Error(
      response.status === 404
        ? `The model file ${file} is missing: it has to lie beside this page.`
        : `The model file ${file} cannot be read: the server answered ${response.status}.`,
    );
  }
  const total = Number(response.headers.get("Content-Length"));
  const pieces = [];
  let length = 0;
  let told = 0;
  for (const reader = response.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    pieces.push(value);
    length += value.length;
    if (total && length / total - told >= 0.01) {
      told = Math.min(length / total, 1); // a compressed file comes longer than it said
      onProgress(told);
    }
  }
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const piece of pieces) {
    bytes.set(piece, at);
    at += piece.length;
  }
  return bytes;
}
