"""Sends photos to TF Serving and prints what the model finds, by REST or gRPC.

    scripts/serving_client.py photo.jpg --rest http://localhost:8501 --model nuclei
    scripts/serving_client.py a.jpg b.png --grpc localhost:8500 --model nuclei \\
        --labels nuclei/1/assets/labels.json --out found

REST needs NumPy alone; --grpc needs pip install 'mrcnn-tf[serving]', and --out, which draws the
detections, this package. All photos go in one request, to the signature `serve_bytes`.
"""

import argparse
import base64
import json
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np

SIGNATURE = "serve_bytes"


def rest_predict(
    url: str, model: str, contents: list[bytes], version: int | None = None, timeout: float = 60.0
) -> dict[str, np.ndarray]:
    """The answer of the REST interface at `url` to contents of image files.

    Raises:
        ValueError: the server's own message, or that there is none at the address.
    """
    place = f"models/{model}" + (f"/versions/{version}" if version is not None else "")
    instances = [{"b64": base64.b64encode(content).decode("ascii")} for content in contents]
    body = json.dumps({"signature_name": SIGNATURE, "instances": instances}).encode()
    request = urllib.request.Request(
        f"{url.rstrip('/')}/v1/{place}:predict", body, {"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=timeout) as response:
            predictions = json.load(response)["predictions"]
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        raise ValueError(f"{url} answers {error.code}: {text}") from error
    except urllib.error.URLError as error:
        raise ValueError(f"no REST interface at {url}: {error.reason}") from error
    return {name: np.array([row[name] for row in predictions]) for name in predictions[0]}


def grpc_predict(
    address: str,
    model: str,
    contents: list[bytes],
    version: int | None = None,
    timeout: float = 60.0,
) -> dict[str, np.ndarray]:
    """The answer of the gRPC interface at `address`, e.g. `localhost:8500`.

    Raises:
        ModuleNotFoundError: there is no tensorflow-serving-api.
        ValueError: as `rest_predict`.
    """
    try:
        import grpc
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError("--grpc needs pip install 'mrcnn-tf[serving]'") from error
    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = SIGNATURE
    if version is not None:
        request.model_spec.version.value = version
    request.inputs["image_bytes"].CopyFrom(tf.make_tensor_proto(contents, tf.string))
    # Masks of a photo are more than the 4 MB that gRPC takes by default.
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with grpc.insecure_channel(address, options) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            response = stub.Predict(request, timeout)
        except grpc.RpcError as error:
            raise ValueError(f"{address} answers {error.code().name}: {error.details()}") from error
    return {name: tf.make_ndarray(value) for name, value in response.outputs.items()}


def rows(answer: dict[str, np.ndarray], threshold: float) -> list[dict[str, np.ndarray]]:
    """Detections of each photo without padding and without those below a score."""
    found = []
    for i, count in enumerate(answer["num_detections"]):
        keep = np.flatnonzero(answer["scores"][i][:count] >= threshold)
        per_image = ("num_detections", "image_sizes")
        row = {name: value[i][keep] for name, value in answer.items() if name not in per_image}
        found.append({**row, "image_size": answer["image_sizes"][i]})
    return found


def image_masks(row: dict[str, np.ndarray], whole_pixels: bool) -> np.ndarray | None:
    """Masks `[D, H, W]` of whichever form the model was exported with; None of one without."""
    height, width = (int(side) for side in row["image_size"])
    if "image_masks" in row:
        return row["image_masks"][:, :height, :width].astype(np.uint8)
    if "mask_counts" in row:
        masks = np.zeros((len(row["mask_counts"]), height * width), np.uint8)
        for mask, counts in zip(masks, row["mask_counts"], strict=True):
            mask[:] = np.repeat(np.arange(len(counts)) % 2, counts)
        return masks.reshape(-1, width, height).transpose(0, 2, 1)
    if "masks" in row:
        from mrcnn_tf.ops import paste_masks

        masks, boxes = np.float32(row["masks"]), np.float32(row["boxes"])
        return paste_masks(masks, boxes, height, width, whole_pixels=whole_pixels).numpy()
    return None


def draw(path: Path, row: dict, labels: dict, out: Path, whole_pixels: bool = False) -> Path:
    """Writes a photo with its detections to a folder."""
    from mrcnn_tf.models.predictor import read_upright_image
    from mrcnn_tf.visualize import draw_instances

    names = ("boxes", "classes", "scores", "keypoints")
    prediction = {name: np.asarray(row[name]) for name in names if name in row}
    masks = image_masks(row, whole_pixels)
    if masks is not None:
        prediction["image_masks"] = masks
    out.mkdir(parents=True, exist_ok=True)
    target = out / f"{path.stem}.png"
    draw_instances(
        read_upright_image(path),
        prediction,
        labels.get("class_names"),
        skeleton=labels.get("keypoint_skeleton"),
        keypoint_names=labels.get("keypoint_names"),
    ).save(target)
    return target


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", nargs="+", type=Path, metavar="PHOTO")
    server = parser.add_mutually_exclusive_group(required=True)
    server.add_argument("--rest", metavar="URL", help="of the REST interface, with http://")
    server.add_argument("--grpc", metavar="HOST:PORT", help="of the gRPC interface")
    parser.add_argument("--model", required=True, help="name of the served model")
    parser.add_argument("--model-version", type=int, metavar="N", help="default: the latest")
    parser.add_argument("--labels", type=Path, help="assets/labels.json of the SavedModel")
    parser.add_argument("--threshold", type=float, default=0.5, help="lowest score; default: 0.5")
    parser.add_argument("--timeout", type=float, default=60.0, metavar="SECONDS")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="draw the detections there")
    parser.add_argument(
        "--whole-pixel-masks",
        action="store_true",
        help="paste 28 x 28 masks as torchvision does, of a model with whole_pixel_masks=True",
    )
    args = parser.parse_args(argv)
    try:
        contents = [path.read_bytes() for path in args.photos]
        labels = json.loads(args.labels.read_text("utf-8")) if args.labels else {}
        predict, address = (rest_predict, args.rest) if args.rest else (grpc_predict, args.grpc)
        answer = predict(address, args.model, contents, args.model_version, args.timeout)
    except (ValueError, OSError, ModuleNotFoundError) as error:
        print(f"serving_client: {error}", file=sys.stderr)
        return 2
    names = labels.get("class_names")
    for path, row in zip(args.photos, rows(answer, args.threshold), strict=True):
        height, width = row["image_size"]
        print(f"{path}: {len(row['boxes'])} objects in {width} x {height} pixels")
        for box, number, score in zip(row["boxes"], row["classes"], row["scores"], strict=True):
            corners = ", ".join(f"{side:.1f}" for side in box)
            print(f"  {names[number] if names else number}  {score:.3f}  [{corners}]")
        if args.out:
            print(f"  drawn: {draw(path, row, labels, args.out, args.whole_pixel_masks)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
