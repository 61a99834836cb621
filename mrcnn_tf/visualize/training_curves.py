"""Losses and average precision over the epochs of a training."""

import csv
import os
from pathlib import Path

_NO_MATPLOTLIB = (
    "training_curves needs matplotlib, which is not installed: pip install 'mrcnn-tf[plots]'"
)


def training_curves(history: object, path: str | os.PathLike) -> Path:
    """Draws a training's losses and, if it was evaluated, its average precision.

    Losses are on a logarithmic axis, one colour a loss, solid for training and dashed for
    validation. Epochs in which a figure was not measured are bridged.

    Args:
        history: what `fit` returns, its `history` dictionary, or the path of a file that
            `keras.callbacks.CSVLogger` wrote. A history does not tell in which epochs a figure with
            fewer values was measured: they are taken for every n-th one and the last.
        path: the picture to write; the suffix chooses the format (`.png`, `.svg`, `.pdf`).

    Returns:
        The path of the picture.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        FileNotFoundError: there is no such log.
        ValueError: the history has no loss in it.

    Example:

    ```python
    training_curves("runs/first/log.csv", "runs/first/curves.png")
    ```
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(_NO_MATPLOTLIB, name=error.name) from error

    columns = _columns(history)
    losses = [name for name in columns if name.endswith("loss")]
    if not losses:
        raise ValueError(f"there is no loss among the columns of the history: {list(columns)}")
    precisions = [name for name in columns if "_ap" in name]
    panels = 1 + bool(precisions)
    figure = Figure(figsize=(6.4 * panels, 4.4), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_losses(axes[0], {name: columns[name] for name in losses})
    if precisions:
        _draw_precisions(axes[1], {name: columns[name] for name in precisions})
    path = Path(path)
    temporary = path.with_name(f"{path.stem}.writing{path.suffix}")
    figure.savefig(temporary, dpi=120)
    os.replace(temporary, path)
    return path


def _columns(history: object) -> dict[str, dict[int, float]]:
    """Each figure's values by epoch, counted from 1."""
    if isinstance(history, (str, os.PathLike)):
        return _read_log(Path(history))
    values = history if isinstance(history, dict) else history.history
    epochs = max((len(column) for column in values.values()), default=0)
    columns = {}
    for name, column in values.items():
        # A figure measured every n-th epoch has fewer values, the last of them in the last epoch.
        every = -(-epochs // len(column)) if column else 1
        measured = [min(every * (i + 1), epochs) for i in range(len(column))]
        columns[name] = dict(zip(measured, map(float, column), strict=True))
    return columns


def _read_log(path: Path) -> dict[str, dict[int, float]]:
    if not path.is_file():
        raise FileNotFoundError(f"training log not found: {path}")
    columns: dict[str, dict[int, float]] = {}
    with open(path, newline="") as file:
        for number, row in enumerate(csv.DictReader(file)):
            for name, text in row.items():
                if name != "epoch" and text not in (None, "", "NA"):
                    columns.setdefault(name, {})[number + 1] = float(text)
    return columns


def _draw_losses(axes, losses: dict[str, dict[int, float]]) -> None:
    names = list(dict.fromkeys(name.removeprefix("val_") for name in losses))
    for name, values in losses.items():
        axes.plot(
            list(values),
            list(values.values()),
            label=name,
            color=f"C{names.index(name.removeprefix('val_'))}",
            linestyle="--" if name.startswith("val_") else "-",
            linewidth=2.2 if name.removeprefix("val_") == "loss" else 1.2,
            marker="o" if len(values) == 1 else None,
        )
    axes.set(xlabel="epoch", ylabel="loss", yscale="log")
    _finish(axes)


def _draw_precisions(axes, precisions: dict[str, dict[int, float]]) -> None:
    for name, values in precisions.items():
        axes.plot(list(values), list(values.values()), label=name.removeprefix("val_"), marker=".")
    axes.set(xlabel="epoch", ylabel="average precision", ylim=(0, 1))
    _finish(axes)


def _finish(axes) -> None:
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
