"""Makes torchvision's golden files afresh and compares them with the committed ones."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from test_peers_pairs import deviation

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-4  # of the largest value of an array: other processors round otherwise
_IMPORTS_TORCHVISION = re.compile(r"^(?:from|import) \w*torchvision", re.MULTILINE)


def golden_makers(scripts: Path = ROOT / "scripts") -> list[Path]:
    """The makers that run torchvision."""
    makers = sorted(scripts.glob("make_golden_*.py"))
    return [maker for maker in makers if _IMPORTS_TORCHVISION.search(maker.read_text())]


def compare_golden_files(python: str, folder: Path) -> Iterator[dict]:
    """Runs every maker in a copy of what it needs, and compares what it writes.

    Args:
        python: of the peers.
        folder: where the copy is made.

    Yields:
        A dict of `what`, the file or the maker, `result` in words and `passed`.
    """
    copy = folder / "golden_checkout"
    (copy / "tests" / "golden").mkdir(parents=True)
    shutil.copytree(ROOT / "scripts", copy / "scripts")
    shutil.copytree(ROOT / "tests" / "weights", copy / "tests" / "weights")
    (copy / "tests" / "__init__.py").touch()
    for maker in golden_makers(copy / "scripts"):
        # Without arguments a maker writes into the checkout that it lies in.
        done = subprocess.run([python, str(maker)], cwd=copy, capture_output=True, text=True)
        if done.returncode:
            last = done.stderr.strip().rpartition("\n")[2]
            yield {"what": maker.name, "result": f"could not run: {last}", "passed": False}
    for fresh in sorted((copy / "tests" / "golden").iterdir()):
        row = compare_files(ROOT / "tests" / "golden" / fresh.name, fresh)
        yield {"what": fresh.name, **row}


def compare_files(committed: Path, fresh: Path) -> dict:
    """`result` and `passed` of a committed .npz file and one that was made now."""
    if not committed.exists():
        return {"result": "is not committed", "passed": False}
    with np.load(committed) as old, np.load(fresh) as new:
        if set(old.files) != set(new.files):
            names = sorted(set(old.files) ^ set(new.files))
            return {"result": f"only one of them has {', '.join(names)}", "passed": False}
        worst, at = 0.0, ""
        for name in old.files:
            if old[name].shape != new[name].shape or old[name].dtype != new[name].dtype:
                kinds = [f"{each[name].dtype} {each[name].shape}" for each in (old, new)]
                return {"result": f"{name} was {kinds[0]} and is {kinds[1]}", "passed": False}
            if old[name].dtype.kind == "f":
                value = deviation(new[name], old[name])
            else:
                value = float(not np.array_equal(old[name], new[name]))
            worst, at = max((worst, at), (value, name))
    text = f"{at} moved by {worst:.1e} of its largest value" if worst else "the same bits"
    return {"result": text, "passed": worst <= TOLERANCE}
