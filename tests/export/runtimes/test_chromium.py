import io
import socket
import struct
import urllib.error
import urllib.parse
import urllib.request

import pytest
from PIL import Image

from mrcnn_tf.export.runtimes.chromium import Chromium, find_chromium
from mrcnn_tf.export.runtimes.file_server import FileServer

from ..browser import require_chromium

PAGE = """<!doctype html><title>A page</title><link rel="icon" href="data:,">
<body style="background: rgb(1, 2, 3)">
<div id="zone" style="height: 90px"></div><input type="file" id="chooser">
<script>
  const zone = document.querySelector("#zone"), chooser = document.querySelector("#chooser");
  const read = async (file) => { document.title = file.name + ":" + await file.text(); };
  zone.ondragover = (event) => event.preventDefault();
  zone.ondrop = (event) => { event.preventDefault(); read(event.dataTransfer.files[0]); };
  chooser.onchange = () => read(chooser.files[0]);
</script>"""
WORKER = "onmessage = async (event) => postMessage(await (await fetch(event.data)).text());"
ASK = """new Promise((resolve) => {
  const worker = new Worker("worker.js");
  worker.onmessage = (event) => resolve(event.data);
  worker.postMessage("word.txt");
})"""

UNTIL = """new Promise((resolve) => {
  const timer = setInterval(() => { if (%s) { clearInterval(timer); resolve(); } }, 10);
})"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    for name, text in (("index.html", PAGE), ("worker.js", WORKER), ("word.txt", "spoken")):
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def server(site):
    with FileServer(site) as server:
        yield server


@pytest.fixture(scope="module")
def page():
    require_chromium()
    with Chromium((300, 200)) as page:
        yield page


def test_a_page_is_seen_and_asked(page, server):
    page.open(server.url)
    assert page.evaluate("document.title") == "A page"
    assert page.evaluate("Promise.resolve([1, null, {a: 'ü'}])") == [1, None, {"a": "ü"}]
    image = Image.open(io.BytesIO(page.screenshot()))
    assert image.size == (300, 200) and image.convert("RGB").getpixel((299, 199)) == (1, 2, 3)
    page.resize(200, 150, phone=True)
    assert Image.open(io.BytesIO(page.screenshot())).size == (400, 300)
    page.resize(300, 200)
    assert len(page.evaluate("'x'.repeat(3e6)")) == 3e6
    with pytest.raises(RuntimeError, match="TypeError: .*null"):
        page.evaluate("document.querySelector('#none').id")


def test_files_are_dropped_and_chosen(page, server, tmp_path):
    page.open(server.url)
    for name, give in (("dropped", page.drop), ("chosen", page.choose)):
        (tmp_path / name).write_text("text")
        give("#zone" if name == "dropped" else "#chooser", [tmp_path / name])
        page.evaluate(UNTIL % f"document.title == '{name}:text'")


def test_errors_and_requests_are_noted_also_of_workers(page, server):
    page.open(server.url)
    page.errors.clear()
    page.requests.clear()
    assert page.evaluate(ASK) == "spoken"
    assert page.requests == [server.url + "worker.js", server.url + "word.txt"]
    assert not page.errors
    page.evaluate("console.error('broken', 3), setTimeout(() => nothing(), 0), fetch('none')")
    page.evaluate("new Promise((resolve) => setTimeout(resolve, 50))")
    errors = "\n".join(page.errors)
    assert "broken 3" in errors and "nothing is not defined" in errors and "404" in errors


def test_what_cannot_be_opened(page, site):
    with FileServer(site) as closed:
        pass
    with pytest.raises(OSError, match="cannot be opened: net::ERR_CONNECTION_REFUSED"):
        page.open(closed.url)


def test_the_program_is_looked_for(monkeypatch, tmp_path):
    monkeypatch.setenv("MRCNN_TF_CHROMIUM", str(tmp_path / "none"))
    with pytest.raises(FileNotFoundError, match="MRCNN_TF_CHROMIUM=.*none is no program"):
        find_chromium()
    program = tmp_path / "chromium"
    program.write_text("#!/bin/sh\necho no display >&2\n")
    program.chmod(0o755)
    monkeypatch.setenv("MRCNN_TF_CHROMIUM", str(program))
    assert find_chromium() == str(program)
    with pytest.raises(OSError, match="the browser has ended: no display"):
        Chromium()
    monkeypatch.delenv("MRCNN_TF_CHROMIUM")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_chromium() == str(program)
    program.unlink()
    monkeypatch.setattr("mrcnn_tf.export.runtimes.chromium._PROGRAMS", ("chromium",))
    with pytest.raises(FileNotFoundError, match="install one, e.g. by apt-get install chromium"):
        find_chromium()


def test_a_folder_is_served(site, tmp_path, capfd):
    with FileServer(site, isolated=True) as server:
        with urllib.request.urlopen(server.url + "word.txt") as answer:
            assert answer.read() == b"spoken"
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(server.url + "none")
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(server.url)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        FileServer(site / "none")
    (tmp_path / "large").write_bytes(bytes(2**25))
    with FileServer(tmp_path) as server:
        address = urllib.parse.urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as client:
            # Closing it resets it, while the server is still writing.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            client.recv(10)
    assert not capfd.readouterr().err
