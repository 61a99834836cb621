"""`scripts/test_gpu`: what it says where there is no GPU, and that it sees an op that is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from mrcnn_tf import ops
from mrcnn_tf.ops.implementation import compiled_ops as compiled

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"


@pytest.fixture
def run_script(tmp_path):
    """Runs the script with a few tools and what the test adds in PATH: no nvidia-smi, no nvcc."""
    for tool in ("dirname", "cat", "grep"):
        (tmp_path / tool).symlink_to(shutil.which(tool))
    environment = {**os.environ, "PATH": str(tmp_path), "CUDA_HOME": str(tmp_path)}
    environment.pop("CUDACXX", None)

    def run(*arguments):
        command = [shutil.which("bash"), str(SCRIPTS / "test_gpu"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True)

    return run


def test_without_a_gpu_or_nvcc_it_tells_the_remedy(run_script, tmp_path):
    done = run_script()
    assert done.returncode == 1
    assert "there is no GPU" in done.stderr and "--device cpu" in done.stderr
    (tmp_path / "nvidia-smi").write_text(f"#!{shutil.which('bash')}\necho GPU 0: of a test\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    done = run_script("--json", "figures.json")
    assert done.returncode == 1
    assert "there is no working nvcc" in done.stderr and "CUDACXX" in done.stderr
    done = run_script("--help")
    assert done.returncode == 0 and "examples:" in done.stdout


def test_on_the_cpu_every_op_equals_its_twin(compiled_ops, tmp_path):
    command = [sys.executable, SCRIPTS / "test_gpu.py", "--device", "cpu", "--parts", "ops"]
    command += ["--cases", "3", "--json", tmp_path / "found.json"]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr[-2000:]}"
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["passed"] and found["device"] == "cpu" and found["ops"]["compiled"]
    names = {"RoiAlign", "RoiAlignGrad", "Nms", "Proposals", "MatchBoxes", "PasteMasks"}
    assert {row["op"] for row in found["op_checks"]} == {f"Mrcnn{name}" for name in names}
    assert all(row["compared"] and row["cases"] == 3 for row in found["op_checks"])


def test_a_wrong_op_is_seen(compiled_ops, monkeypatch):
    monkeypatch.syspath_prepend(SCRIPTS)
    import test_gpu_ops

    # Where the right answer is plain, the compiled op is off by a little.
    def off(name, by):
        right = getattr(ops, name)

        def wrong(*arguments, **options):
            result = right(*arguments, **options)
            is_plain = compiled() is None
            return result if is_plain else tf.nest.map_structure(lambda each: each + by, result)

        monkeypatch.setattr(ops, name, wrong)

    off("roi_align", 0.5)
    off("match_boxes", 1)
    rows = {row["op"]: row for row in test_gpu_ops.compare_ops("/CPU:0", 2, seed=0)}
    assert not rows["MrcnnRoiAlign"]["passed"] and "FAILED" in rows["MrcnnRoiAlign"]["result"]
    assert not rows["MrcnnMatchBoxes"]["passed"]
    assert "numbers are equal" in rows["MrcnnMatchBoxes"]["result"]
    assert rows["MrcnnNms"]["passed"] and rows["MrcnnPasteMasks"]["passed"]
