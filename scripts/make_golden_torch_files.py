"""Writes tests/golden/torch_zip.pth and torch_legacy.pth, the two formats of torch.save.

Needs an environment of its own, without TensorFlow:
    pip install torch
    python scripts/make_golden_torch_files.py
Takes a second. tests/weights/test_torch_files.py knows what is in them: every dtype, a transposed
tensor, two views of one storage, a parameter, an empty tensor and a scalar.
"""

from collections import OrderedDict
from pathlib import Path

import torch

GOLDEN = Path(__file__).resolve().parent.parent / "tests/golden"
DTYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8")


def main() -> None:
    base = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    content = OrderedDict((name, torch.arange(5).to(getattr(torch, name))) for name in DTYPES)
    content["bool"] = torch.tensor([True, False, True])
    content["transposed"] = base.permute(2, 0, 1)
    content["view"] = base[1, 1:, ::2]
    content["parameter"] = torch.nn.Parameter(torch.full([2, 2], 0.5))
    content["empty"] = torch.zeros(0, 3)
    content["scalar"] = torch.tensor(7.0)
    for name, zipped in (("torch_zip.pth", True), ("torch_legacy.pth", False)):
        torch.save(content, GOLDEN / name, _use_new_zipfile_serialization=zipped)


if __name__ == "__main__":
    main()
