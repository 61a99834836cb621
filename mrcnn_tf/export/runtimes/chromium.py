"""A page in Chromium without a window."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import typing
from collections.abc import Sequence
from pathlib import Path

from mrcnn_tf.export.runtimes.devtools import DevTools

_PROGRAMS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)
_ARGUMENTS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--disable-gpu",
    # It opens pages of this machine alone, and containers lack what these need.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--mute-audio",
)


def find_chromium() -> str:
    """The program: `$MRCNN_TF_CHROMIUM`, or a Chromium or Chrome that is installed.

    Raises:
        FileNotFoundError: there is none.
    """
    named = os.environ.get("MRCNN_TF_CHROMIUM")
    for name in [named] if named else _PROGRAMS:
        if found := shutil.which(name):
            return found
    if named:
        raise FileNotFoundError(f"MRCNN_TF_CHROMIUM={named} is no program.")
    raise FileNotFoundError(
        "neither Chromium nor Chrome was found: install one, e.g. by apt-get install chromium, or "
        "name its program in MRCNN_TF_CHROMIUM."
    )


class Chromium:
    """A page, driven through the DevTools protocol. Linux and macOS.

    A context manager: the browser ends with it.

    Args:
        size: width and height of the page in CSS pixels.
        arguments: further ones of Chromium's, e.g. `--use-fake-device-for-media-stream`.
        timeout: seconds that an answer may take.

    Attributes:
        errors: what went wrong in the page and its workers: messages that they wrote to the console
            as errors, exceptions that nobody caught, requests that failed.
        requests: addresses of all that the page and its workers asked for.

    Raises:
        FileNotFoundError: see `find_chromium`.
        OSError: it does not start.

    Example:

    ```python
    with FileServer("site") as server, Chromium() as page:
        page.open(server.url)
        page.evaluate("document.title")
    ```
    """

    def __init__(
        self,
        size: tuple[int, int] = (1280, 800),
        arguments: Sequence[str] = (),
        timeout: float = 60.0,
    ):
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.timeout = timeout
        program = find_chromium()
        self._folder = tempfile.TemporaryDirectory(prefix="mrcnn-tf-", ignore_cleanup_errors=True)
        profile = Path(self._folder.name, "profile")
        command = [program, *_ARGUMENTS, f"--user-data-dir={profile}", *arguments, "about:blank"]
        self._loaded = False
        self._session = None
        self._devtools = DevTools(command, Path(self._folder.name, "log"), self._on_event)
        try:
            target = self._devtools.call("Target.createTarget", url="about:blank", timeout=timeout)[
                "targetId"
            ]
            attached = self._devtools.call("Target.attachToTarget", targetId=target, flatten=True)
            self._session = attached["sessionId"]
            self.call("Page.enable")
            self._watch(self._session)
            self.resize(*size)
        except BaseException:
            self.close()
            raise

    def open(self, url: str) -> None:
        """Go to an address and wait until the page has loaded.

        Raises:
            OSError: it cannot be reached.
        """
        self._loaded = False
        answer = self.call("Page.navigate", url=url)
        if answer.get("errorText"):
            raise OSError(f"{url} cannot be opened: {answer['errorText']}")
        self._devtools.wait_until(lambda: self._loaded, f"load {url}", self.timeout)

    def evaluate(self, expression: str) -> typing.Any:
        """The value of an expression in the page, as JSON has it; a promise is waited for.

        Raises:
            RuntimeError: it throws.
        """
        answer = self.call(
            "Runtime.evaluate",
            expression=expression,
            awaitPromise=True,
            returnByValue=True,
            userGesture=True,
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(_exception_text(answer["exceptionDetails"]))
        return answer["result"].get("value")

    def screenshot(self, file: str | os.PathLike | None = None) -> bytes:
        """What is seen, as PNG, also written to `file`."""
        answer = self.call("Page.captureScreenshot", format="png")
        data = base64.b64decode(answer["data"])
        if file is not None:
            Path(file).write_bytes(data)
        return data

    def resize(self, width: int, height: int, phone: bool = False) -> None:
        """Change the size of the page, in CSS pixels; a phone has two pixels in one of these."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )

    def drop(self, selector: str, files: Sequence[str | os.PathLike]) -> None:
        """Drop files on the middle of an element, as if dragged there from another program."""
        x, y = self.middle(selector)
        files = [os.fspath(Path(file).absolute()) for file in files]
        data = {"items": [], "files": files, "dragOperationsMask": 1}
        for kind in ("dragEnter", "dragOver", "drop"):
            self.call("Input.dispatchDragEvent", type=kind, x=x, y=y, data=data)

    def choose(self, selector: str, files: Sequence[str | os.PathLike]) -> None:
        """Choose files in an `input type=file`."""
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        files = [os.fspath(Path(file).absolute()) for file in files]
        self.call("DOM.setFileInputFiles", nodeId=node, files=files)

    def middle(self, selector: str) -> tuple[float, float]:
        """The middle of an element, which is scrolled into view, in CSS pixels of the page."""
        return tuple(
            self.evaluate(
                f"""(() => {{
                  const element = document.querySelector({json.dumps(selector)});
                  element.scrollIntoView({{block: "center", behavior: "instant"}});
                  const box = element.getBoundingClientRect();
                  return [box.x + box.width / 2, box.y + box.height / 2];
                }})()"""
            )
        )

    def call(self, method: str, **parameters) -> dict:
        """The result of any command of the protocol, given to the page; see `DevTools.call`."""
        return self._devtools.call(method, self._session, timeout=self.timeout, **parameters)

    def close(self) -> None:
        """End the browser; a second call does nothing."""
        self._devtools.close()
        self._folder.cleanup()

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def _watch(self, session: str) -> None:
        """Let a page or a worker tell what it does, and its workers wait until they do, too."""
        for command in ("Runtime.enable", "Log.enable", "Network.enable"):
            self._devtools.send(command, session)
        self._devtools.send(
            "Target.setAutoAttach",
            session,
            autoAttach=True,
            waitForDebuggerOnStart=True,
            flatten=True,
        )

    def _on_event(self, event: dict) -> None:
        method, about = event["method"], event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method == "Target.attachedToTarget" and "sessionId" in event:
            self._watch(about["sessionId"])
            self._devtools.send("Runtime.runIfWaitingForDebugger", about["sessionId"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
        elif method == "Runtime.exceptionThrown":
            self.errors.append(_exception_text(about["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
            self.errors.append(" ".join(map(_value_text, about["args"])))
        elif method == "Log.entryAdded" and about["entry"]["level"] == "error":
            entry = about["entry"]
            self.errors.append(f"{entry['text']} {entry.get('url', '')}".strip())


def _exception_text(details: dict) -> str:
    return details.get("exception", {}).get("description") or details["text"]


def _value_text(value: dict) -> str:
    return str(value.get("value", value.get("description", value["type"])))
