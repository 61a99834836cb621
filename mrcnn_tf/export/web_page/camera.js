// The camera as a video.

/**
 * @param {HTMLVideoElement} video what shows it
 * @returns {Promise<() => void>} a function that turns it off
 */
export async function openCamera(video) {
  if (!navigator.mediaDevices?.getUserMedia) {
    throw new Error("Browsers give the camera to pages from localhost or https only.");
  }
  let stream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({
      audio: false,
      video: { facingMode: "environment", width: { ideal: 1280 } },
    });
  } catch (error) {
    throw new Error(reason(error));
  }
  video.srcObject = stream;
  await video.play();
  return () => {
    for (const track of stream.getTracks()) track.stop();
    video.srcObject = null;
  };
}

function reason(error) {
  switch (error.name) {
    case "NotFoundError":
    case "OverconstrainedError":
      return "No camera was found.";
    case "NotAllowedError":
      return "The camera is not allowed: change that in the address bar, and try again.";
    case "NotReadableError":
      return "Another program uses the camera: close it, and try again.";
    default:
      return `The camera cannot be used: ${error.message || error.name}.`;
  }
}
