import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mrcnn_tf.export.cache import cache_folder, made_once

MAKER = """
import sys, time
from pathlib import Path
from mrcnn_tf.export.cache import made_once

def make(new):
    new.mkdir()
    (new / "first").touch()
    print("making", flush=True)
    time.sleep(60)

made_once(Path(sys.argv[1]), make)
"""


def test_the_place_of_the_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "mrcnn-tf"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/.cache/mrcnn-tf")


def test_two_at_once_make_it_once(tmp_path):
    folder, made = tmp_path / "tools" / "tool-1", []
    started, may_end = threading.Event(), threading.Event()

    def make(new):
        made.append(new)
        new.mkdir()
        started.set()
        may_end.wait(10)
        (new / "tool").touch()

    threads = [threading.Thread(target=made_once, args=(folder, make)) for _ in range(2)]
    threads[0].start()
    started.wait(10)
    threads[1].start()
    threads[1].join(0.2)
    assert threads[1].is_alive() and not folder.exists()  # waits, and nobody sees half of it
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert len(made) == 1 and [path.name for path in folder.iterdir()] == ["tool"]
    made_once(folder, make)
    assert len(made) == 1


def test_what_failed_or_was_killed_is_made_anew(tmp_path):
    folder = tmp_path / "tool-1"

    def fail(new):
        new.mkdir()
        raise OSError("no network")

    with pytest.raises(OSError, match="no network"):
        made_once(folder, fail)
    killed = subprocess.Popen(
        [sys.executable, "-c", MAKER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert killed.stdout.readline() == "making\n"
    finally:
        killed.kill()
        killed.communicate()
    assert not folder.exists() and any(tmp_path.glob(".tool-1.partial/first"))

    def make(new):
        new.mkdir()
        (new / "tool").touch()

    assert made_once(folder, make) == folder
    assert [path.name for path in folder.iterdir()] == ["tool"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".tool-1.lock", "tool-1"]
