import argparse
import subprocess
import sys

import pytest

from mrcnn_tf.cli import main as command


@pytest.fixture
def verb(monkeypatch):
    """A verb whose `run` is a function that the test assigns."""

    class Verb:
        @staticmethod
        def add_parser(subparsers):
            parser = subparsers.add_parser("try")
            parser.add_argument("data")
            parser.add_argument("--number", type=int)
            parser.add_argument("settings", nargs="*")
            parser.set_defaults(run=lambda args: Verb.run(args))
            return parser

    monkeypatch.setitem(sys.modules, "try_verb", Verb)
    monkeypatch.setitem(command.VERBS, "try", ("try_verb", "try something"))
    return Verb


def test_help_is_there_without_tensorflow():
    code = (
        "import sys; from mrcnn_tf.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert not {'tensorflow', 'keras'} & set(sys.modules)"
    )
    for verb in ("", "data", "train", "evaluate", "predict", "import-weights", "benchmark", "info"):
        arguments = [verb, "--help"] if verb else ["--help"]
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert "examples:" in done.stdout and f"mrcnn-tf {verb}" in done.stdout
        if not verb:
            assert all(name in done.stdout for name in command.VERBS)


def test_run_and_its_exit_code(verb):
    seen = []
    verb.run = lambda args: seen.append((args.data, args.number, args.settings, args.debug))
    assert command.main(["try", "folder", "--number", "3", "a=1", "b=2"]) == 0
    assert command.main(["--debug", "try", "folder", "a=1"]) == 0
    assert command.main(["try", "folder", "--debug"]) == 0
    assert seen == [
        ("folder", 3, ["a=1", "b=2"], False),
        ("folder", None, ["a=1"], True),
        ("folder", None, [], True),
    ]
    verb.run = lambda args: 1
    assert command.main(["try", "folder"]) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("the file\n  x.json is wrong"), 2),
        (FileNotFoundError("the file x.json is wrong"), 2),
        (FloatingPointError("the file x.json is wrong"), 1),
    ],
)
def test_errors_are_one_line_and_a_traceback_on_demand(verb, capsys, error, code):
    def run(args: argparse.Namespace):
        raise error

    verb.run = run
    assert command.main(["try", "folder"]) == code
    assert capsys.readouterr().err == "mrcnn-tf: error: the file x.json is wrong\n"
    assert command.main(["try", "folder", "--debug"]) == code
    assert "Traceback" in capsys.readouterr().err


def test_mistakes_of_the_program_are_not_hidden(verb):
    def run(args: argparse.Namespace):
        raise TypeError("a mistake")

    verb.run = run
    with pytest.raises(TypeError):
        command.main(["try", "folder"])


def test_wrong_arguments(capsys):
    for arguments in ([], ["fly"], ["evaluate", "model.keras"], ["info", "--colour"]):
        with pytest.raises(SystemExit) as stopped:
            command.main(arguments)
        assert stopped.value.code == 2
        assert "error:" in capsys.readouterr().err
