"""The exported model in TensorFlow's C library, which is what TF Serving is built on."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from mrcnn_tf.export import custom_ops
from mrcnn_tf.models import Predictor
from mrcnn_tf.ops.loader import LIBRARY_PATH

from .c_program import CProgram, compile_program
from .conftest import blocks

PHOTOS = blocks(3, 150, 110, seed=1)
IMAGES = [blocks(1, *size, seed=2)[0] for size in ((150, 110), (64, 200), (96, 96))]
NAMES = ("boxes", "classes", "keypoints", "scores")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if not shutil.which("gcc"):
        pytest.skip("there is no gcc to compile tests/export/served_program.c with")
    return compile_program(tmp_path_factory.mktemp("program"))


def contents(images):
    return np.array([tf.io.encode_png(image).numpy() for image in images], object)


def calls():
    return [
        ("serving_default", {"images": PHOTOS}),
        ("serving_default", {"images": PHOTOS[:1]}),
        ("serve_images", {"images": PHOTOS}),
        ("serve_images", {"images": PHOTOS[:1]}),
        ("serve_bytes", {"image_bytes": contents(IMAGES)}),
        ("serve_bytes", {"image_bytes": contents(IMAGES[:1])}),
    ]


def expected_of(model):
    """What the Keras model and `Predictor` say to `calls`."""
    predictor = Predictor(model, score_threshold=0.0)
    batch = model.predict(PHOTOS, verbose=0)
    alone = model.predict(PHOTOS[:1], verbose=0)
    rows = [
        [
            {name: answer[name][i][: answer["num_detections"][i]] for name in (*NAMES, "masks")}
            for i in range(len(answer["boxes"]))
        ]
        for answer in (batch, alone)
    ]
    return [
        *rows,
        predictor.predict_batch(list(PHOTOS)),
        predictor.predict_batch([PHOTOS[0]]),
        predictor.predict_batch(IMAGES),
        predictor.predict_batch(IMAGES[:1]),
    ]


def test_signatures_equal_the_model(tiny_model, exported, program, tmp_path):
    answers = CProgram(program, exported, tmp_path)(calls())
    for answer, expected in zip(answers, expected_of(tiny_model), strict=True):
        assert len(answer["boxes"]) == len(expected) in (1, 3)
        for row, detections in enumerate(expected):
            count = answer["num_detections"][row]
            assert count == len(detections["boxes"]) > 0
            for name in (*NAMES, "masks"):
                np.testing.assert_allclose(
                    answer[name][row, :count], detections[name], rtol=1e-4, atol=1e-4
                )
    assert answers[4]["image_sizes"].tolist() == [[150, 110], [64, 200], [96, 96]]


def test_what_cannot_be_decoded_is_told(exported, program, tmp_path):
    files = contents(IMAGES)
    files[1] = b"<html>"
    with pytest.raises(RuntimeError, match="image_bytes: image. .1. .of the batch is not the cont"):
        CProgram(program, exported, tmp_path)([("serve_bytes", {"image_bytes": files})])


@pytest.mark.slow
def test_compiled_ops_and_run_lengths(tiny_model, program, tmp_path):
    folder, scratch = tmp_path / "cells" / "1", tmp_path / "scratch"
    scratch.mkdir()
    tiny_model.export(folder, custom_ops=True, masks="rle", verbose=False)
    assert {"MrcnnNms", "MrcnnRoiAlign"} <= set(custom_ops(folder))
    with pytest.raises(RuntimeError, match="Op type not registered 'Mrcnn"):
        CProgram(program, folder, scratch)(calls())
    answers = CProgram(program, folder, scratch, LIBRARY_PATH)(calls())
    for answer, expected in zip(answers, expected_of(tiny_model), strict=True):
        for row, detections in enumerate(expected):
            count = answer["num_detections"][row]
            assert count == len(detections["boxes"]) > 0
            for name in NAMES:
                np.testing.assert_allclose(
                    answer[name][row, :count], detections[name], rtol=1e-4, atol=1e-4
                )
            pixels = np.prod(answer["image_sizes"][row])
            assert (answer["mask_counts"][row, :count].sum(axis=1) == pixels).all()
            assert (answer["mask_lengths"][row, :count] > 0).all()
