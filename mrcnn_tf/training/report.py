"""A run on one page, to read or to send."""

import base64
import csv
import datetime
import html
import io
import json
import os
import shlex
import string
import sys
import tempfile
from pathlib import Path

import keras

from mrcnn_tf.environment import environment
from mrcnn_tf.evaluation import CocoEvaluation
from mrcnn_tf.progress import PARTS, stage_of
from mrcnn_tf.training.run_folder import SETTINGS
from mrcnn_tf.visualize import draw_beside_ground_truth, precision_curves, training_curves

_PAGE = Path(__file__).with_name("report.html")
_WHAT = {
    "tracing": "making the graph of a step",
    "input": "waiting for images",
    "forward": "forward pass",
    "backward": "backward pass and update",
    "validation": "losses of the validation data",
    "evaluation": "measuring AP",
    "saving": "writing models and checkpoints",
    "other": "callbacks and the rest",
}


class WriteReport(keras.callbacks.Callback):
    """Write `report.html` into the folder of a run after every evaluation and at the end.

    The page has everything in itself: pictures too. Curves need matplotlib, the extra `plots`.
    Put it behind `LogEpochs` and `LogTimes`, whose files it reads.

    Args:
        folder: of the run.
        evaluation: whose figures and curves it shows, and on whose first images it draws
            predictions; without one the page is written after every epoch.
        images: how many.
    """

    chief_only = True

    def __init__(self, folder: str, evaluation: CocoEvaluation | None = None, images: int = 8):
        super().__init__()
        self.folder = folder
        self.evaluation = evaluation
        self.images = images
        self._is_behind = False

    def on_epoch_end(self, epoch, logs=None):
        self._is_behind = True
        if self.evaluation is None or "val_box_ap" in (logs or {}):
            self._write()

    def on_train_end(self, logs=None):
        if self._is_behind:  # stopped early, at an epoch that was not evaluated
            self._write()

    def _write(self) -> None:
        with stage_of(self, "saving", "writing report.html"):
            path = os.path.join(self.folder, "report.html")
            with open(f"{path}.writing", "w", encoding="utf-8") as file:
                file.write(self._page())
            os.replace(f"{path}.writing", path)
        self._is_behind = False

    def _page(self) -> str:
        log, times = (_rows(os.path.join(self.folder, n)) for n in ("log.csv", "times.csv"))
        now = datetime.datetime.now().astimezone().isoformat(" ", "seconds")
        sections = [
            self._run(),
            *self._precision(),
            _section("Losses and AP by epoch", self._curves(), _epochs(log)) if log else "",
            *self._pictures(),
            _section("Where the time went", _time_table(times)) if times else "",
            *self._settings(),
        ]
        page = string.Template(_PAGE.read_text(encoding="utf-8"))
        return page.substitute(
            title=html.escape(f"Training {os.path.basename(os.path.abspath(self.folder))}"),
            subtitle=html.escape(
                f"Written {now} after {len(log)} of {self.params.get('epochs')} epochs, "
                f"{int(self.model.optimizer.iterations.numpy())} steps."
            ),
            sections="\n".join(sections),
        )

    def _saved_settings(self) -> dict:
        path = os.path.join(self.folder, SETTINGS)
        if not os.path.exists(path):
            return {}
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def _run(self) -> str:
        facts = environment()
        ops, settings = facts["ops"], self._saved_settings()
        devices = ", ".join(f"{device['type']} {device['name']}" for device in facts["devices"])
        rows = {
            "command": shlex.join([os.path.basename(sys.argv[0]), *sys.argv[1:]]),
            **{name: settings[name] for name in ("data", "train", "val") if name in settings},
            **({"seed": settings["recipe"]["seed"]} if "recipe" in settings else {}),
            **{name: facts[name] for name in ("mrcnn_tf", "tensorflow", "keras", "python")},
            "ops": "compiled" if ops["compiled"] else f"plain TensorFlow: {ops['reason']}",
            "devices": devices,
            "replicas": self.model.distribute_strategy.num_replicas_in_sync,
        }
        return _section("The run", _pairs(rows))

    def _precision(self) -> list[str]:
        last = self.evaluation and self.evaluation.last
        if not last:
            return []
        kinds = list(last.precision)
        names = dict.fromkeys(
            name.partition("_")[2] for name in last.figures if name.partition("_")[0] in kinds
        )
        # COCO's -1: there is no object to measure the figure on.
        cells = {
            name: [last.figures.get(f"{kind}_{name}", -1.0) for kind in kinds] for name in names
        }
        rows = [[name, *("" if x < 0 else f"{x:.4f}" for x in row)] for name, row in cells.items()]
        about = (
            f"On {last.figures['images']} images, at most {last.figures['max_detections']} "
            "detections each, by the last evaluation."
        )
        curves = _plot(precision_curves, last.precision) if any(last.precision.values()) else ""
        return [
            _section("Average precision and recall", _note(about), _table(["", *kinds], rows)),
            _section("Precision over recall", curves) if curves else "",
        ]

    def _curves(self) -> str:
        return _plot(training_curves, os.path.join(self.folder, "log.csv"))

    def _pictures(self) -> list[str]:
        if self.evaluation is None or self.evaluation.predictor is None:
            return []
        dataset, figures = self.evaluation.dataset, []
        for image_id in dataset.image_ids[: self.images]:
            picture = draw_beside_ground_truth(self.evaluation.predictor, dataset, image_id)
            data = io.BytesIO()
            picture.save(data, "JPEG", quality=88)
            caption = html.escape(f"{os.path.basename(dataset.path(image_id))} (id {image_id})")
            image = _image(data.getvalue(), "jpeg", caption)
            figures.append(f"<figure>{image}<figcaption>{caption}</figcaption></figure>")
        about = "Left what is annotated, right what the model finds with a score of at least 0.5."
        return [_section("Predictions beside ground truth", _note(about), *figures)]

    def _settings(self) -> list[str]:
        settings = self._saved_settings()
        return [
            _section(title, _pairs(settings[name]))
            for name, title in (("recipe", "Recipe"), ("model", "Arguments of the model"))
            if name in settings
        ]


def _section(title: str, *parts: str) -> str:
    return "\n".join([f"<h2>{html.escape(title)}</h2>", *parts])


def _note(text: str) -> str:
    return f'<p class="note">{html.escape(text)}</p>'


def _table(head: list, rows: list[list]) -> str:
    def line(tag, cells):
        return f"<tr>{''.join(f'<{tag}>{html.escape(str(cell))}</{tag}>' for cell in cells)}</tr>"

    body = "\n".join(line("td", row) for row in rows)
    head = f"<thead>{line('th', head)}</thead>" if head else ""
    return f'<div class="wide"><table>{head}<tbody>\n{body}\n</tbody></table></div>'


def _pairs(values: dict) -> str:
    rows = (
        f"<tr><th>{html.escape(name)}</th><td><code>{html.escape(str(value))}</code></td></tr>"
        for name, value in values.items()
    )
    return f"<table><tbody>{''.join(rows)}</tbody></table>"


def _image(data: bytes, kind: str, caption: str) -> str:
    text = base64.b64encode(data).decode()
    return f'<img alt="{caption}" src="data:image/{kind};base64,{text}">'


def _plot(draw, what) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "plot.png")
        try:
            draw(what, path)
        except ModuleNotFoundError as error:
            return _note(f"No curves here: {error}")
        return _image(Path(path).read_bytes(), "png", draw.__name__.replace("_", " "))


def _rows(path: str) -> list[dict[str, str]]:
    if not os.path.exists(path):
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def _epochs(log: list[dict[str, str]]) -> str:
    rows = [[row["epoch"], *(_short(row[n]) for n in row if n != "epoch")] for row in log]
    table = _table(list(log[0]), rows)
    return f"<details><summary>in figures</summary>{table}</details>"


def _short(text: str) -> str:
    return f"{float(text):.4g}" if text else ""


def _time_table(times: list[dict[str, str]]) -> str:
    seconds = {part: sum(float(row[f"seconds_{part}"]) for row in times) for part in PARTS}
    total = sum(seconds.values()) or 1.0
    rows = [
        [_WHAT[part], f"{value:.1f} s", f"{100 * value / total:.1f} %"]
        for part, value in seconds.items()
        if value
    ]
    images = sum(float(row["images"]) for row in times)
    steps = sum(seconds[part] for part in ("input", "forward", "backward"))
    speed = f"{images / steps:.3g} images a second in the steps" if steps else "no step yet"
    return _note(f"{total:.0f} s in all, {speed}.") + _table([], rows)
