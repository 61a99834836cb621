"""A server of files for programs of this machine."""

from __future__ import annotations

import functools
import http.server
import os
import sys
import threading
from pathlib import Path

_ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class FileServer:
    """Serves a folder on localhost, at a port that is free, until it is closed.

    What `python -m http.server` serves, without its log.

    Args:
        folder: what to serve.
        isolated: send the headers by which a browser lets a page use shared memory, and so threads
            in WebAssembly.

    Attributes:
        url: the address of the folder, with a slash at its end.

    Raises:
        FileNotFoundError: there is no such folder.

    Example:

    ```python
    with FileServer("site") as server:
        urllib.request.urlopen(server.url + "index.html")
    ```
    """

    def __init__(self, folder: str | os.PathLike, isolated: bool = False):
        if not Path(folder).is_dir():
            raise FileNotFoundError(f"there is no folder {folder} to serve.")
        handler = functools.partial(_Handler, isolated, directory=os.fspath(folder))
        self._server = _Server(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """Stop serving; a second call does nothing."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> FileServer:
        return self

    def __exit__(self, *error) -> None:
        self.close()


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        # A browser drops what it no longer needs: the page was left, or a file is of no use.
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, isolated, *args, **kwargs):
        self._isolated = isolated
        super().__init__(*args, **kwargs)

    def end_headers(self):
        for name, value in _ISOLATION.items() if self._isolated else ():
            self.send_header(name, value)
        self.send_header("Cache-Control", "no-store")  # a folder is exported again under one name
        super().end_headers()

    def log_message(self, *args):
        pass
