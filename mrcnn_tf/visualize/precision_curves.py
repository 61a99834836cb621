"""Precision over recall."""

import os
from pathlib import Path

_NO_MATPLOTLIB = (
    "precision_curves needs matplotlib, which is not installed: pip install 'mrcnn-tf[plots]'"
)


def precision_curves(precision: dict[str, dict[str, list[float]]], path: str | os.PathLike) -> Path:
    """Draws the precision-recall curves behind COCO's AP, which is the area below them.

    Args:
        precision: by `box`, `mask` and `keypoint` a curve by IoU, as
            `mrcnn_tf.evaluation.CocoEvaluation` has them in `last.precision`.
        path: the picture to write; the suffix chooses the format (`.png`, `.svg`, `.pdf`).

    Returns:
        The path of the picture.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
        ValueError: there is no curve.

    Example:

    ```python
    precision_curves({"box": {"0.50": [1.0] * 51 + [0.0] * 50}}, "precision.png")
    ```
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(_NO_MATPLOTLIB, name=error.name) from error

    precision = {kind: curves for kind, curves in precision.items() if curves}
    if not precision:
        raise ValueError("there is no precision-recall curve to draw")
    figure = Figure(figsize=(4.8 * len(precision), 4.2), layout="constrained")
    panels = figure.subplots(1, len(precision), squeeze=False)[0]
    for axes, (kind, curves) in zip(panels, precision.items(), strict=True):
        similarity = "OKS" if kind == "keypoint" else "IoU"
        for name, values in curves.items():
            recall = [index / (len(values) - 1) for index in range(len(values))]
            area = sum(values) / len(values)
            label = f"{similarity} {'0.50 to 0.95' if name == 'mean' else name}: AP {area:.3f}"
            axes.plot(recall, values, label=label, linewidth=2.2 if name == "mean" else 1.2)
        axes.set(title=kind, xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    path = Path(path)
    temporary = path.with_name(f"{path.stem}.writing{path.suffix}")
    figure.savefig(temporary, dpi=120)
    os.replace(temporary, path)
    return path
