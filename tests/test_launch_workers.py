"""`scripts/launch_workers`: processes that train together, started and ended together."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent.parent / "scripts" / "launch_workers"

SHOW = "import os; print(os.environ['TF_CONFIG'])"
# The second of three fails while the others wait.
FAIL = """
import json, os, sys, time
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
if index == 1:
    time.sleep(0.5)
    sys.exit(7)
time.sleep(60)
"""
WAIT = """
import signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(print("saved")))
print("ready")
time.sleep(60)
"""


def launch(code, count):
    command = [SCRIPT, str(count), sys.executable, "-c", code]
    environment = {**os.environ, "PYTHON": sys.executable}
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_each_worker_knows_itself_and_the_others():
    process = launch(SHOW, 3)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 0 and not error
    lines = sorted(out.splitlines())
    assert [line[:4] for line in lines] == ["[0] ", "[1] ", "[2] "]
    configs = [json.loads(line[4:]) for line in lines]
    assert [config["task"] for config in configs] == [
        {"type": "worker", "index": index} for index in range(3)
    ]
    addresses = configs[0]["cluster"]["worker"]
    assert len(set(addresses)) == 3
    assert all(config["cluster"] == {"worker": addresses} for config in configs)


def test_all_end_when_one_fails():
    start = time.monotonic()
    process = launch(FAIL, 3)
    _, error = process.communicate(timeout=30)
    assert process.returncode == 7 and time.monotonic() - start < 20
    assert error == ("launch_workers: worker 1 of 3 ended with exit code 7; the others are ended\n")


def test_signals_are_passed_on():
    process = launch(WAIT, 2)
    assert sorted(process.stdout.readline() for _ in range(2)) == ["[0] ready\n", "[1] ready\n"]
    process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert sorted(out.splitlines()) == ["[0] saved", "[1] saved"]
    assert error == "launch_workers: got SIGTERM, which is passed on to all workers\n"


def test_a_command_that_is_not_there():
    command = [SCRIPT, "2", "no-such-command"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 127
    assert done.stderr == (
        "launch_workers: cannot start 'no-such-command': No such file or directory\n"
    )
