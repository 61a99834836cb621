"""The folder of a run: what it was started with, and whether it may be started or gone on with."""

import json
import os

from mrcnn_tf.data.write_json import write_json

CHECKPOINTS = "checkpoints"
SETTINGS = "settings.json"
_MOVABLE = ("data", "val_data")  # folders that have another path on another machine


def open_run(out: str, settings: dict, resume: bool) -> None:
    """Make the folder and write the settings, or check that a run is gone on with its own.

    Args:
        out: the folder.
        settings: everything the run is started with, as JSON takes it.
        resume: go on with what is there.

    Raises:
        FileExistsError: there is a run to go on with, and `resume` is False.
        ValueError: it was started with other settings; they are named.
    """
    path = os.path.join(out, SETTINGS)
    has_run = os.path.isdir(os.path.join(out, CHECKPOINTS))
    if has_run and not resume:
        raise FileExistsError(
            f"{out} holds a run. Go on with it by --resume (resume=True), or give another --out."
        )
    if has_run and os.path.exists(path):
        with open(path, encoding="utf-8") as file:
            saved = json.load(file)
        differing = _differences(saved, json.loads(json.dumps(settings)))
        if differing:
            raise ValueError(
                f"{out} was started with other settings: {'; '.join(differing)}. Resume with the "
                "same ones, or start a new run in another folder."
            )
        return
    write_json(path, settings)


def _differences(saved: dict, given: dict, prefix: str = "") -> list[str]:
    found = []
    for name in sorted(saved.keys() | given.keys()):
        was, now = saved.get(name), given.get(name)
        if was == now or (not prefix and name in _MOVABLE):
            continue
        if isinstance(was, dict) and isinstance(now, dict):
            found += _differences(was, now, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name} was {was!r}, now {now!r}")
    return found
