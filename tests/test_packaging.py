"""How the package hangs together: imports, metadata, what it drags in."""

import ast
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import mrcnn_tf

PACKAGE = Path(mrcnn_tf.__file__).parent
# Each room may import those in the rows above it; rooms of a row do not know each other.
ROWS = [
    ["boxes"],
    ["ops"],
    ["losses"],
    ["layers"],
    ["models"],
    ["data", "training", "evaluation", "export", "weights", "visualize", "benchmark"],
    ["cli"],
]
# Reading data is part of training on it, evaluating on it and drawing it, and training evaluates
# after each epoch. It starts from presets, and its report draws. Reading and exported models are
# timed, too. Nothing goes the other way.
EXTRA = {
    ("training", "data"),
    ("evaluation", "data"),
    ("visualize", "data"),
    ("benchmark", "data"),
    ("benchmark", "export"),
    ("training", "evaluation"),
    ("training", "weights"),
    ("training", "visualize"),
}
# Conveniences on the model itself, imported when they are called.
LAZY = {("models", "weights"): "from_preset", ("models", "export"): "export"}


def imports(path: Path) -> list[tuple[str, str | None]]:
    """Every room that a file imports, with the function around the import if there is one."""
    found = []

    def visit(node, function):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            function = node.name
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute"
            names = [node.module]
            if node.module == "mrcnn_tf":
                names = [f"mrcnn_tf.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "mrcnn_tf" and len(parts) > 1 and (PACKAGE / parts[1]).is_dir():
                found.append((parts[1], function))
        for child in ast.iter_child_nodes(node):
            visit(child, function)

    visit(ast.parse(path.read_text()), None)
    return found


def test_imports_run_one_way():
    rank = {room: i for i, row in enumerate(ROWS) for room in row}
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(rank), "a room is missing from ROWS, or from the package"
    wrong, lazy = [], set()
    for room in rank:
        for path in sorted((PACKAGE / room).rglob("*.py")):
            for other, function in imports(path):
                if other == room or rank[other] < rank[room] or (room, other) in EXTRA:
                    continue
                if function is not None and LAZY.get((room, other)) == function:
                    lazy.add((room, other))
                    continue
                wrong.append(f"{path.relative_to(PACKAGE)} imports {other}")
    assert not wrong
    assert lazy == set(LAZY), "a lazy import that is allowed is no longer there"


@pytest.mark.parametrize(
    "code",
    [
        "import mrcnn_tf; mrcnn_tf.__version__; dir(mrcnn_tf)",
        "from mrcnn_tf.cli.main import main\ntry: main(['--help'])\nexcept SystemExit: pass",
    ],
    ids=["import mrcnn_tf", "mrcnn-tf --help"],
)
def test_starts_without_tensorflow(code):
    check = "import sys; loaded = {'tensorflow', 'keras', 'matplotlib'} & set(sys.modules)"
    script = f"{code}\n{check}\nassert not loaded, loaded"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_version_stands_in_one_place():
    assert metadata.version("mrcnn-tf") == mrcnn_tf.__version__
    for name in mrcnn_tf.__all__:
        assert name in dir(mrcnn_tf)


def test_metadata():
    about = metadata.metadata("mrcnn-tf")
    assert about["License-Expression"] == "Apache-2.0"
    assert about["Requires-Python"] == ">=3.10"
    assert {"efficientnet", "plots", "dev"} <= set(about.get_all("Provides-Extra"))
    [command] = metadata.entry_points(group="console_scripts", name="mrcnn-tf")
    assert command.load().__module__ == "mrcnn_tf.cli.main"
