"""Requests as TF Serving takes them: in JSON, in its own messages, from the warm-up file."""

import base64
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_tf.export.serving import images_spec
from mrcnn_tf.export.signatures import describe_saved_model
from mrcnn_tf.export.warmup import WARMUP_FILE, read_warmup, warmup_records, write_warmup

from .conftest import blocks

pytest.importorskip(
    "tensorflow_serving", reason="there is no tensorflow-serving-api: pip install .[serving]"
)
from tensorflow_serving.apis import prediction_log_pb2  # noqa: E402

from .model_server import ModelServer  # noqa: E402

CLIENT = Path(__file__).parents[2] / "scripts" / "serving_client.py"
IMAGES = [blocks(1, *size, seed=2)[0] for size in ((90, 70), (40, 100))]


@pytest.fixture(scope="module")
def server(exported):
    return ModelServer(exported)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / "a.png", folder / "b.png"]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    return paths


def in_base64(path):
    return {"b64": base64.b64encode(path.read_bytes()).decode()}


def test_every_signature_takes_json(server, exported, photos):
    pixels = blocks(2, 32, 40)
    instances = {
        "serving_default": [image.tolist() for image in pixels],
        "serve_padded": [{"images": image.tolist(), "image_sizes": [30, 40]} for image in pixels],
        "serve_images": [{"images": image.tolist()} for image in pixels],
        "serve_bytes": [in_base64(path) for path in photos],
        "portable": [{"images": blocks(1, 96, 128)[0].tolist(), "image_sizes": [96, 128]}],
    }
    given = {
        "serving_default": {"images": pixels},
        "serve_padded": {"images": pixels, "image_sizes": np.int32([[30, 40]] * 2)},
        "serve_images": {"images": pixels},
        "serve_bytes": {"image_bytes": np.array([path.read_bytes() for path in photos], object)},
        "portable": {"images": blocks(1, 96, 128), "image_sizes": np.int32([[96, 128]])},
    }
    described = describe_saved_model(exported)
    assert sorted(instances) == [
        line.strip() for line in described.splitlines() if not line.startswith("   ")
    ]
    for signature, rows in instances.items():
        body = json.loads(json.dumps({"signature_name": signature, "instances": rows}))
        predictions = json.loads(json.dumps(server.rest(body)))["predictions"]
        call = server.loaded.signatures[signature]
        expected = call(**{name: tf.constant(value) for name, value in given[signature].items()})
        assert len(predictions) == len(rows)
        assert int(tf.reduce_min(expected["num_detections"])) > 0
        for name, value in expected.items():
            found = np.array([row[name] for row in predictions])
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_the_warm_up_is_replayed(server, tiny_model, photos, tmp_path):
    contents = read_warmup([str(path) for path in photos])
    records = warmup_records(tiny_model, server.name, contents, images_spec(), (96, 128))
    write_warmup(tmp_path, records)
    seen = []
    for record in tf.data.TFRecordDataset(str(tmp_path / WARMUP_FILE)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        assert log.WhichOneof("log_type") == "predict_log"
        request = log.predict_log.request
        outputs = server.predict(request).outputs
        batch = outputs["boxes"].tensor_shape.dim[0].size
        assert max(tf.make_ndarray(outputs["num_detections"])) > 0
        seen.append((request.model_spec.signature_name, batch))
    assert set(seen) == {("portable", 1)} | {
        (name, batch)
        for name in ("serving_default", "serve_padded", "serve_images", "serve_bytes")
        for batch in (1, 2, 4)
    }


def test_a_warm_up_of_grey_images_is_small(tiny_model, tmp_path):
    assert read_warmup(False) is None and read_warmup(True) == read_warmup([]) == []
    spec = tf.TensorSpec([2, 50, 300, 3], tf.float32)
    records = list(warmup_records(tiny_model, "cells", [], spec, None))
    shapes = {}
    for record in records:
        request = record.predict_log.request
        for name, value in request.inputs.items():
            shapes.setdefault(request.model_spec.signature_name, []).append(
                (name, tf.make_ndarray(value).shape)
            )
    assert shapes["serving_default"] == [("images", (2, 50, 300, 3))]
    assert sorted(shapes["serve_padded"]) == [("image_sizes", (2, 2)), ("images", (2, 50, 300, 3))]
    assert [shape for _, shape in shapes["serve_images"]] == [(n, 96, 128, 3) for n in (1, 2, 4)]
    assert sum(record.ByteSize() for record in records) < 20_000


def test_warm_up_images_that_cannot_be_used(tmp_path):
    with pytest.raises(FileNotFoundError, match="warmup: there is no image file .*missing.jpg"):
        read_warmup([tmp_path / "missing.jpg"])
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(ValueError, match="page.jpg is no image that serve_bytes can decode"):
        read_warmup([tmp_path / "page.jpg"])
    with pytest.raises(ValueError, match="warmup has 126 images; TF Serving runs 1000"):
        read_warmup([tmp_path / "page.jpg"] * 126)


def load_client():
    spec = importlib.util.spec_from_file_location("serving_client", CLIENT)
    client = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(client)
    return client


def test_the_client_by_rest_and_by_grpc(server, exported, photos, tmp_path, capsys):
    client = load_client()
    contents = [path.read_bytes() for path in photos]
    expected = server.loaded.serve_bytes(tf.constant(contents))
    expected = {name: value.numpy() for name, value in expected.items()}
    counts = (expected["scores"] >= 0.5).sum(axis=1)
    assert counts.min() > 0 and (counts < expected["num_detections"]).any()
    with server.listening() as (rest, rpc):
        for predict, address in ((client.rest_predict, rest), (client.grpc_predict, rpc)):
            found = client.rows(predict(address, "cells", contents), 0.5)
            for i, (row, image) in enumerate(zip(found, IMAGES, strict=True)):
                assert tuple(row["image_size"]) == image.shape[:2]
                for name in ("boxes", "scores", "classes", "keypoints", "masks"):
                    np.testing.assert_allclose(
                        row[name], expected[name][i][: counts[i]], rtol=1e-5, atol=1e-5
                    )

        # Both, since a photo alone is not padded, which changes a little.
        arguments = [*map(str, photos), "--rest", rest, "--model", "cells"]
        labels = str(exported / "assets" / "labels.json")
        assert client.main([*arguments, "--labels", labels, "--out", str(tmp_path / "found")]) == 0
        printed = capsys.readouterr().out
        assert f"{photos[0]}: {counts[0]} objects in 70 x 90 pixels" in printed
        drawn = np.asarray(Image.open(tmp_path / "found" / "a.png"))
        assert drawn.shape == (90, 70, 3) and (drawn != IMAGES[0]).any()

        (tmp_path / "page.jpg").write_text("<html>")
        for option, address in (("--rest", rest), ("--grpc", rpc)):
            bad = [str(tmp_path / "page.jpg"), option, address, "--model", "cells"]
            assert client.main(bad) == 2
            assert "not the content of a JPEG" in capsys.readouterr().err
            assert client.main([str(photos[0]), option, address, "--model", "dogs"]) == 2
            assert "Servable not found" in capsys.readouterr().err
    assert client.main([*arguments, "--timeout", "5"]) == 2
    assert "no REST interface at http://127.0.0.1" in capsys.readouterr().err


def test_the_client_reads_masks_of_every_form():
    client = load_client()
    pasted = (blocks(1, 24, 40)[0, None, :, :, 0] > 127).astype(np.uint8)
    row = {"image_size": np.array([24, 40])}
    padded = np.pad(pasted, [[0, 0], [0, 9], [0, 3]])
    np.testing.assert_array_equal(client.image_masks({**row, "image_masks": padded}, False), pasted)
    flat = pasted[0].T.ravel()
    ends = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *ends, flat.size])
    counts = np.concatenate([[0] if flat[0] else [], counts, [0, 0]]).astype(int)[None]
    found = client.image_masks({**row, "mask_counts": counts}, False)
    np.testing.assert_array_equal(found, pasted)
    assert client.image_masks(row, False) is None
