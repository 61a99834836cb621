import io
import json
import re
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mrcnn_tf.export import read_portable
from mrcnn_tf.export.runtimes.chromium import Chromium
from mrcnn_tf.export.runtimes.file_server import FileServer
from mrcnn_tf.export.runtimes.web import WebRuntime
from mrcnn_tf.export.tfjs_environment import VARIABLE, converter_python
from mrcnn_tf.export.web import save_web
from mrcnn_tf.export.web_vendor import fetch_engine

from .browser import require_chromium
from .conftest import blocks

# Until nothing more is looked for, or something went wrong.
DONE = """(async () => {
  const status = document.getElementById("status"), error = document.getElementById("error");
  while (!/ ms /.test(status.textContent) && error.hidden) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return error.hidden ? status.textContent : error.textContent;
})()"""
STARTED = """(async () => {
  const engine = document.getElementById("engine");
  while (!engine.textContent) await new Promise((resolve) => setTimeout(resolve, 20));
})()"""
# Until another picture of the camera is drawn.
OTHER_FRAME = """(async () => {
  const canvas = document.getElementById("picture"), first = canvas.toDataURL();
  while (canvas.toDataURL() === first) await new Promise((resolve) => setTimeout(resolve, 20));
})()"""
SHOWN = """mrcnn.%s.map(({ mask, ...found }) => found)"""
SET = """(() => {
  const input = document.querySelector(%s);
  if (input.type === "range") input.value = %s; else input.checked = %s;
  for (const kind of ["input", "change"]) input.dispatchEvent(new Event(kind, { bubbles: true }));
  return document.getElementById("picture").toDataURL();
})()"""


def give(page, picture):
    """Drops a picture; what the page says when it is done."""
    page.evaluate("document.getElementById('status').textContent = ''")
    page.drop("#zone", [picture])
    return page.evaluate(DONE)


def expected_of(portable, picture):
    images = tf.constant(np.asarray(Image.open(picture))[None])
    found = portable.function(images=images, image_sizes=tf.constant([images.shape[1:3]]))
    return {name: value.numpy() for name, value in found.items()}


def check_detections(page, portable, picture):
    """The page has found what the portable function of the Keras model finds; the list of it."""
    images = tf.constant(np.asarray(Image.open(picture))[None])
    expected = portable.function(images=images, image_sizes=tf.constant([images.shape[1:3]]))
    expected = {name: value.numpy()[0] for name, value in expected.items()}
    count = expected["num_detections"]
    found = page.evaluate(SHOWN % "detections")
    assert [one["class"] for one in found] == expected["classes"][:count].tolist() != []
    for name, key in (("score", "scores"), ("box", "boxes")):
        values = np.array([one[name] for one in found])
        np.testing.assert_allclose(values, expected[key][:count], atol=1e-3)
    with_joints = [i for i, one in enumerate(found) if one["class"] in (0, 2)]
    assert with_joints == [i for i, one in enumerate(found) if "joints" in one] != []
    joints = [[[*joint.values()] for joint in found[i]["joints"]] for i in with_joints]
    np.testing.assert_allclose(joints, expected["keypoints"][with_joints], atol=1e-3)
    return found


def seen(page):
    """What a screenshot shows of the drawing."""
    page.middle("#picture")
    x, y, width, height = page.evaluate(
        "(({ x, y, width, height }) => [x, y, width, height])"
        "(document.querySelector('#picture').getBoundingClientRect())"
    )
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    box = [round(value) for value in (x, y, x + width, y + height)]
    return np.asarray(image.crop(box), np.int32)


def change(page, selector, value):
    """Moves a slider or ticks a box; the drawing after it."""
    return page.evaluate(SET % (*map(json.dumps, (selector, value, value)),))


@pytest.fixture(scope="module")
def portable(exported):
    return read_portable(exported)


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    file = tmp_path_factory.mktemp("pictures") / "blocks.png"
    Image.fromarray(blocks(1, 96, 128)[0]).save(file)
    return file


@pytest.fixture(scope="module")
def site(portable, litert_file, picture, tmp_path_factory):
    try:
        fetch_engine("litert")
    except OSError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("web") / "site"

    def save(source, path, *, precision, calibration):
        assert (source, precision, calibration) == (portable, "float32", None)
        shutil.copyfile(litert_file, path)

    with pytest.MonkeyPatch.context() as patch:
        # The same model is converted once for all tests.
        patch.setattr("mrcnn_tf.export.web.save_litert", save)
        save_web(portable, folder, title="Cells & <more>", samples=[picture])
    return folder


@pytest.fixture(scope="module")
def run(site):
    require_chromium()
    with WebRuntime(site) as run:
        yield run


def test_what_the_folder_holds(site, tiny_model):
    about = json.loads((site / "detector.json").read_text())
    assert about["size"] == [96, 128] and about["labels"]["class_names"] == tiny_model.class_names
    assert about["samples"] == [{"file": "samples/1.png", "name": "blocks.png"}]
    assert "<title>Cells &amp; &lt;more&gt;</title>" in (site / "index.html").read_text()
    for package in ("litertjs-core", "litertjs-wasm-utils"):
        assert "Apache License" in (site / "vendor" / package / "LICENSE").read_text()
    script = (site / "vendor/litertjs-core/dist/index.js").read_text()
    assert script.startswith("// Changed by") and '"@litertjs/wasm-utils"' not in script
    assert not list(site.glob("vendor/*/*/*.map")) and not (site / "tfjs").exists()


def test_the_page_answers_as_the_function_does(run, portable):
    images = blocks(1, 96, 128, seed=1)
    for sizes in np.int32([[[96, 128]], [[60, 80]]]):
        expected = portable.function(images=tf.constant(images), image_sizes=sizes)
        found = run(images, sizes)
        assert sorted(found) == sorted(expected) and found["num_detections"][0] > 0
        for name, value in expected.items():
            assert found[name].shape == value.shape and found[name].dtype == value.dtype.name
            np.testing.assert_allclose(found[name], value, atol=1e-3)
    assert (run.engine, run.threads) == ("LiteRT.js", 1) and run.seconds > 0


def test_a_dropped_picture(run, picture, portable):
    page, server = run.page, run._server.url
    assert " ms for this picture" in give(page, picture)
    found = check_detections(page, portable, picture)
    assert found[0]["name"] == portable.labels["class_names"][found[0]["class"]]
    assert not page.errors
    assert all(address.startswith((server, "blob:")) for address in page.requests)


def test_slider_and_classes_change_what_is_drawn(run, picture):
    page = run.page
    page.evaluate("document.getElementById('status').textContent = ''")
    page.choose("#file", [picture])
    page.evaluate(DONE)
    all_of_them = page.evaluate(SHOWN % "detections")
    scores = sorted(one["score"] for one in all_of_them)
    drawings = [change(page, "#score", 0.0)]
    assert len(page.evaluate(SHOWN % "shown")) == len(scores)
    least = round((scores[0] + scores[-1]) / 2, 2)
    drawings.append(change(page, "#score", least))
    shown = page.evaluate(SHOWN % "shown")
    assert 0 < len(shown) < len(scores) and all(one["score"] >= least for one in shown)
    change(page, "#score", 0.0)
    index = all_of_them[0]["class"]
    drawings.append(change(page, f"#classes input[value='{index}']", False))
    page.evaluate("document.querySelector('#list').open = true, mrcnn.detector.started")
    rows = page.evaluate("[...document.querySelectorAll('#rows tr')].map((row) => row.innerText)")
    shown = page.evaluate(SHOWN % "shown")
    assert len(shown) == len(rows) == sum(one["class"] != index for one in all_of_them)
    page.evaluate("document.querySelector('#all-classes').click()")
    assert page.evaluate("document.querySelector('#status').innerText").startswith(
        f"{len(scores)} objects"
    )
    for layer in ("masks", "boxes", "joints", "names"):
        drawings.append(change(page, f"#layers input[name='{layer}']", False))
    assert len(set(drawings)) == len(drawings) and not page.errors
    plain = page.evaluate(
        "document.querySelector('#picture').getContext('2d').getImageData(0,0,1,1).data[0]"
    )
    assert abs(plain - int(np.asarray(Image.open(picture))[0, 0, 0])) <= 2


def test_a_picture_larger_than_the_canvas(run, tmp_path):
    Image.fromarray(blocks(1, 240, 200)[0]).save(tmp_path / "large.png")
    give(run.page, tmp_path / "large.png")
    boxes = np.array([one["box"] for one in run.page.evaluate(SHOWN % "detections")])
    assert boxes.min() >= 0 and (boxes[:, 2:].max(axis=0) <= (200 + 0.01, 240 + 0.01)).all()
    assert boxes[:, 2:].max() > 128  # pixels of the picture, not of the canvas


def test_an_example_and_what_is_saved_of_it(run, picture, tmp_path):
    page = run.page
    page.evaluate("document.getElementById('status').textContent = ''")
    page.evaluate("document.querySelector('#samples button').click()")
    page.evaluate(DONE)
    change(page, "#score", 0.5)
    page.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    saved = [tmp_path / f"blocks_detections.{kind}" for kind in ("json", "png")]
    for button in ("list", "picture"):
        page.evaluate(f"document.querySelector('#save-{button}').click()")
    until = time.monotonic() + 30
    while not all(file.is_file() for file in saved):
        assert time.monotonic() < until
        time.sleep(0.02)
    told = json.loads(saved[0].read_text())
    assert (told["picture"], told["width"], told["height"]) == ("blocks.png", 128, 96)
    shown = page.evaluate(SHOWN % "shown")
    for name in ("class", "score", "box", "name"):
        assert [one[name] for one in told["detections"]] == [one[name] for one in shown] != []
    ids = run.labels["category_ids"]
    assert all(one["category_id"] == ids[one["class"]] for one in told["detections"])
    drawn = page.evaluate("(({ width, height }) => [width, height])(picture)")
    assert Image.open(saved[1]).size == tuple(drawn)


def test_what_goes_wrong_is_told_on_the_page(run, site, tmp_path):
    page = run.page
    (tmp_path / "notes.txt").write_text("no picture")
    assert (
        give(page, tmp_path / "notes.txt") == "notes.txt is no picture that this browser can read."
    )
    page.evaluate("document.querySelector('#camera').click()")
    assert page.evaluate(DONE) == "No camera was found."
    for missing, message in (
        ("model.tflite", "model.tflite is missing: it has to lie beside this page"),
        ("detector.json", "detector.json is missing"),
    ):
        broken = tmp_path / "broken"
        shutil.copytree(site, broken, symlinks=True)
        (broken / missing).unlink()
        with FileServer(broken) as server:
            page.open(server.url)
            assert message in page.evaluate(DONE)
        shutil.rmtree(broken)
    shutil.copytree(site, broken, symlinks=True)
    shutil.rmtree(broken / "vendor/litertjs-core/wasm")
    about = json.loads((broken / "detector.json").read_text())
    about["engines"].append({"name": "tfjs", "model": "tfjs/model.json"})
    (broken / "detector.json").write_text(json.dumps(about))
    with FileServer(broken) as server:
        page.open(server.url)
        message = page.evaluate(DONE)
        assert re.match(r"The model cannot .*\nLiteRT.js: .*wasm.*\nTF.js: .*core.* load", message)
    with FileServer(site) as server:
        page.open(server.url + "?engine=tfjs")
        assert page.evaluate(DONE) == "This page has no engine tfjs, but litert."
    page.open((site / "index.html").as_uri())
    assert "python -m http.server" in page.evaluate(DONE)


@pytest.fixture(scope="module")
def site_with_fallback(portable, tmp_path_factory):
    try:
        fetch_engine("litert"), fetch_engine("tfjs"), converter_python()
    except OSError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("fallback") / "site"
    text = save_web(portable, folder, fallback=True)
    assert re.search(r"a model of \d+\.\d MB, one of \d+\.\d MB where LiteRT.js does not", text)
    return folder


@pytest.mark.slow
def test_where_litert_does_not_start_tfjs_does(site_with_fallback, portable, picture, tmp_path):
    require_chromium()
    site = shutil.copytree(site_with_fallback, tmp_path / "site")
    names = [
        engine["name"] for engine in json.loads((site / "detector.json").read_text())["engines"]
    ]
    assert names == ["litert", "tfjs"]
    # A browser that may not cache answers fetches six at a time.
    assert len(list(site.glob("tfjs/*.bin"))) > 6
    assert "Apache License" in (site / "vendor/tensorflow-tfjs-core/LICENSE").read_text()
    with WebRuntime(site) as run:
        assert run.engine == "LiteRT.js"
        assert not any("tfjs" in address for address in run.page.requests)
    for file in site.glob("vendor/litertjs-core/wasm/*.wasm"):
        file.unlink()
    images, sizes = blocks(1, 96, 128, seed=1), np.int32([[60, 80]])
    expected = portable.function(images=tf.constant(images), image_sizes=sizes)
    with WebRuntime(site) as run:
        page = run.page
        assert (run.engine, run.threads) == ("TF.js (wasm)", 1)
        found = run(images, sizes)
        assert sorted(found) == sorted(expected) and found["num_detections"][0] > 0
        for name, value in expected.items():
            assert found[name].shape == value.shape and found[name].dtype == value.dtype.name
            np.testing.assert_allclose(found[name], value, atol=1e-3)
        said = page.evaluate("document.querySelector('#engine').textContent")
        assert said.startswith("TF.js (wasm), 1 thread") and "; LiteRT.js does not start" in said
        (failure,) = page.evaluate("mrcnn.detector.started.then(({ failures }) => failures)")
        assert failure["title"] == "LiteRT.js" and "WebAssembly" in failure["reason"]
        assert " ms for this picture" in give(page, picture)
        check_detections(page, portable, picture)
        assert all(address.startswith((run._server.url, "blob:")) for address in page.requests)
    with WebRuntime(site_with_fallback, engine="tfjs") as run:
        assert run.engine == "TF.js (wasm)" and not run.page.errors
        np.testing.assert_allclose(run(images, sizes)["boxes"], expected["boxes"], atol=1e-3)
    for file in site.glob("vendor/tensorflow-tfjs-backend-wasm/dist/*.wasm"):
        file.unlink()  # as in a browser without any WebAssembly
    with WebRuntime(site) as run:
        assert run.engine == "TF.js (cpu)"
        np.testing.assert_allclose(run(images, sizes)["boxes"], expected["boxes"], atol=1e-3)


@pytest.mark.slow
def test_without_a_network_from_a_plain_server(site, portable, picture):
    require_chromium()
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1"]
    with subprocess.Popen(
        command, cwd=site, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as server:
        try:
            url = re.search(r"http://[\d.:]+/", server.stdout.readline())[0]
            nowhere = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
            with Chromium(arguments=[nowhere]) as page:
                page.open(url)
                page.evaluate(STARTED)
                server.kill()  # nothing is fetched from here on
                assert " ms for this picture" in give(page, picture)
                found = check_detections(page, portable, picture)
                assert not page.errors
                assert all(address.startswith((url, "blob:")) for address in page.requests)
                drawn = seen(page)
                for layer in ("masks", "boxes", "joints", "names"):
                    change(page, f"#layers input[name='{layer}']", False)
                plain = seen(page)
        finally:
            server.kill()
    size = plain.shape[1::-1]
    given = np.asarray(Image.open(picture).resize(size, Image.Resampling.BILINEAR), np.int32)
    assert np.median(np.abs(plain - given)) <= 2 and np.abs(drawn - plain).max(axis=2).any()
    x1, y1, x2, y2 = np.array(found[0]["box"]) * size[0] / 128
    changed = np.abs(drawn - plain).max(axis=2) > 8
    top = changed[max(round(y1), 0), max(round(x1), 0) + 4 : round(x2) - 4]
    assert top.mean() > 0.9  # the upper side of the surest box


@pytest.mark.slow
def test_the_camera_and_threads(site):
    require_chromium()
    fake = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    with FileServer(site, isolated=True) as server, Chromium(arguments=fake) as page:
        page.open(server.url)
        page.evaluate("document.querySelector('#camera').click()")
        assert " ms for this picture" in page.evaluate(DONE)
        assert page.evaluate("mrcnn.detections.length") > 0
        page.evaluate(OTHER_FRAME)
        assert page.evaluate("mrcnn.detector.started.then(({ threads }) => threads)") > 1
        page.evaluate("document.querySelector('#camera').click()")
        assert page.evaluate("document.querySelector('#camera').innerText") == "Use the camera"
        assert page.evaluate("document.querySelector('#video').srcObject") is None
        assert not page.errors


def test_what_is_refused_before_any_work(tmp_path, monkeypatch):
    def save(**arguments):
        save_web("no-model.keras", tmp_path / "site", **arguments)

    with pytest.raises(FileNotFoundError, match="There is no file .*none.png to show"):
        save(samples=[tmp_path / "none.png"])
    Image.new("RGB", (8, 8)).save(tmp_path / "scan.tif")
    with pytest.raises(ValueError, match="scan.tif is TIFF: examples have to be .*PNG, JPEG"):
        save(samples=[tmp_path / "scan.tif"])
    with pytest.raises(ValueError, match="precision='half' must be one of float32"):
        save(precision="half")
    with monkeypatch.context() as patch:
        patch.setattr("mrcnn_tf.export.web.fetch_engine", lambda name: None)
        patch.setenv(VARIABLE, str(tmp_path / "none"))
        with pytest.raises(FileNotFoundError, match=f"{VARIABLE}=.*none is no Python environment"):
            save(fallback=True)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "photo.jpg").touch()
    with pytest.raises(FileExistsError, match="holds no detector.json"):
        save()


def test_a_folder_that_is_no_page(tmp_path):
    with pytest.raises(ValueError, match="holds no detector.json: it is no page"):
        WebRuntime(tmp_path)
