"""Compiles `served_program.c` and runs signatures of a SavedModel in it."""

import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

SOURCE = Path(__file__).with_name("served_program.c").resolve()


def compile_program(folder: Path) -> Path:
    """The program, linked to the libraries of the installed TensorFlow."""
    program, library = folder / "served_program", tf.sysconfig.get_lib()
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-Werror", "-std=gnu11"]
    command += ["-isystem", tf.sysconfig.get_include(), str(SOURCE), "-o", str(program)]
    command += [f"-L{library}", "-l:libtensorflow_cc.so.2", "-l:libtensorflow_framework.so.2"]
    # Linking to a library of a gigabyte takes 3 s by gold and 20 s by others.
    command += ["-fuse-ld=gold"] if shutil.which("ld.gold") else []
    subprocess.run([*command, f"-Wl,-rpath,{library}"], check=True)
    return program


class CProgram:
    """Signatures of a SavedModel, run without Python.

    Args:
        program: see `compile_program`.
        saved_model: the folder.
        scratch: a folder for tensors on their way.
        op_library: of the ops that the SavedModel holds.
    """

    def __init__(self, program: Path, saved_model: Path, scratch: Path, op_library=None):
        self.command = [program, saved_model, scratch / "plan"]
        self.command += [op_library] if op_library else []
        self.scratch = scratch
        graph = saved_model_pb2.SavedModel.FromString((saved_model / "saved_model.pb").read_bytes())
        self.signatures = graph.meta_graphs[0].signature_def

    def __call__(self, calls: list[tuple[str, dict]]) -> list[dict[str, np.ndarray]]:
        """Outputs of calls, each a signature's name and its inputs by name, in one process."""
        lines, targets = [], []
        for i, (name, inputs) in enumerate(calls):
            signature = self.signatures[name]
            assert sorted(inputs) == sorted(signature.inputs)
            for key, info in signature.inputs.items():
                path = self.scratch / f"{i}.{key}"
                value = np.asarray(inputs[key])
                path.write_bytes(_content(value))
                shape = " ".join(str(side) for side in value.shape)
                lines.append(f"input {_place(info)} {info.dtype} {path} {shape}")
            targets.append({key: self.scratch / f"{i}.out.{key}" for key in signature.outputs})
            for key, info in signature.outputs.items():
                lines.append(f"output {_place(info)} {targets[-1][key]}")
            lines.append("run")
        (self.scratch / "plan").write_text("\n".join(lines) + "\n")
        done = subprocess.run(self.command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(done.stderr[-2000:])
        self.seconds = [float(line) for line in done.stdout.split()]
        return [{key: _read(path) for key, path in each.items()} for each in targets]


def _place(info) -> str:
    operation, _, index = info.name.rpartition(":")
    return f"{operation} {index}"


def _content(value: np.ndarray) -> bytes:
    if value.dtype != object:
        return np.ascontiguousarray(value).tobytes()
    return b"".join(struct.pack("<Q", len(text)) + text for text in value.flat)


def _read(path: Path) -> np.ndarray:
    content = path.read_bytes()
    dtype, rank = np.frombuffer(content, np.int32, 2)
    shape = np.frombuffer(content, np.int64, rank, offset=8)
    dtype = tf.as_dtype(int(dtype)).as_numpy_dtype
    return np.frombuffer(content, dtype, offset=8 + 8 * rank).reshape(shape)
