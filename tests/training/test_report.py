import base64
import io
import os
import re
import sys

import numpy as np
import pytest
from PIL import Image

from mrcnn_tf.data.write_json import write_json
from mrcnn_tf.evaluation import CocoEvaluation
from mrcnn_tf.progress import PARTS, Progress
from mrcnn_tf.training import LogEpochs, LogTimes, WriteReport
from tests.evaluation.fake_model import BrightRectangle, write_dataset


@pytest.fixture
def run(tmp_path):
    """Two epochs of a model that learns nothing: the callbacks of a run and its folder."""
    (tmp_path / "data").mkdir()
    out = tmp_path / "run <b>"
    settings = {"data": "photos", "train": "train", "val": "val"}
    write_json(out / "settings.json", {**settings, "recipe": {"seed": 7}, "model": {"mask": True}})
    model, progress = BrightRectangle(), Progress()
    model.compile(optimizer="sgd")
    evaluation = CocoEvaluation(*write_dataset(tmp_path / "data"), every=2)
    callbacks = [evaluation, LogEpochs(str(out / "log.csv")), LogTimes(str(out / "times.csv"))]
    callbacks.append(WriteReport(str(out), evaluation, images=3))
    for callback in callbacks:
        callback.set_model(model)
        callback.set_params({"epochs": 3, "progress": progress})

    def epoch(number):
        logs = {"loss": 1.5 - number}
        for callback in callbacks:
            callback.on_epoch_end(number, logs)

    return out, epoch, callbacks[-1]


def test_a_run_on_one_page(run, monkeypatch):
    pytest.importorskip("matplotlib")
    out, epoch, report = run
    monkeypatch.setattr(sys, "argv", ["/bin/mrcnn-tf", "train", "photos", "<i>"])
    epoch(0)
    assert not (out / "report.html").exists()  # nothing was evaluated
    epoch(1)
    assert sorted(os.listdir(out)) == ["log.csv", "report.html", "settings.json", "times.csv"]
    page = (out / "report.html").read_text()
    assert (
        "Training run &lt;b&gt;" in page and "mrcnn-tf train photos &#x27;&lt;i&gt;&#x27;" in page
    )
    assert "<i>" not in page and "$" not in page
    assert "after 2 of 3 epochs" in page and "<tr><th>seed</th><td><code>7</code>" in page
    assert "<tr><td>ap50</td><td>1.0000</td><td>1.0000</td></tr>" in page
    assert "<tr><td>ap_large</td><td></td><td></td></tr>" in page  # there is no large object
    assert "<tr><td>1</td><td>0.5</td>" in page
    times = (out / "times.csv").read_text()
    assert all(f"seconds_{part}" in times for part in PARTS) and "measuring AP" in page

    # It stands alone: whatever it refers to is in it.
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    pictures = [Image.open(io.BytesIO(base64.b64decode(s.partition(",")[2]))) for s in sources]
    assert all(source.startswith("data:image/") for source in sources) and "url(" not in page
    assert len(pictures) == 2 + 3  # curves of precision and of losses, predictions
    assert all(np.asarray(picture.convert("L")).std() > 5 for picture in pictures)

    before = (out / "report.html").stat().st_mtime_ns
    report.on_train_end()
    assert (out / "report.html").stat().st_mtime_ns == before
    epoch(2)  # the last epoch is always evaluated
    assert "after 3 of 3 epochs" in (out / "report.html").read_text()


def test_without_matplotlib_the_page_says_so(run, monkeypatch):
    out, epoch, _ = run
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    epoch(1)
    page = (out / "report.html").read_text()
    assert page.count("No curves here: ") == 2 and "pip install &#x27;mrcnn-tf[plots]&#x27;" in page
    assert page.count("<img") == 3 and "<td>0.5</td>" in page
