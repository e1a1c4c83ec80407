"""Headless Chromium, driven by the DevTools protocol over a pipe: no driver and no library is needed."""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--remote-debugging-pipe",
)  # fmt: skip
COMMANDS, ANSWERS = 3, 4  # descriptors of --remote-debugging-pipe
KEYS = {"ArrowLeft": 37, "ArrowRight": 39, "Backspace": 8, "Enter": 13, "Tab": 9, "1": 49, "2": 50}
TEXT = {"Enter": "\r", "1": "1", "2": "2"}


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def browse(profile: Path, downloads: Path) -> Iterator[Tab]:
    """A tab of a new Chromium with this profile folder, which is closed in the end."""
    commands, answers = os.pipe(), os.pipe()
    command = [find_chromium(), *FLAGS, f"--user-data-dir={profile}", "about:blank"]
    process = subprocess.Popen(
        command,
        pass_fds=(COMMANDS, ANSWERS),
        preexec_fn=lambda: _place(commands[0], answers[1]),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(commands[0])
    os.close(answers[1])
    try:
        with os.fdopen(commands[1], "wb", 0) as write, os.fdopen(answers[0], "rb") as read:
            tab = Tab(write, read)
            tab.download_to(downloads)
            yield tab
            tab.browser("Browser.close")  # writes what localStorage holds to the profile
        process.wait(20)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _place(commands: int, answers: int) -> None:
    """Put two descriptors where Chromium expects them, whatever their numbers are."""
    aside = [fcntl.fcntl(one, fcntl.F_DUPFD, 10) for one in (commands, answers)]
    for one, target in zip(aside, (COMMANDS, ANSWERS), strict=True):
        os.dup2(one, target)


class Tab:
    """One tab; `messages` are what its console and its security policy complained about."""

    def __init__(self, write: Any, read: Any) -> None:
        self._write, self._read, self._ids, self.messages = write, read, itertools.count(1), []
        self.requests: list[str] = []
        target = next(one for one in self.browser("Target.getTargets")["targetInfos"] if one["type"] == "page")
        attached = self.browser("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.send(f"{domain}.enable")

    def browser(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to the browser itself."""
        return self._call({"method": method, "params": parameters})

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command to the tab."""
        return self._call({"method": method, "params": parameters, "sessionId": self._session})

    def download_to(self, folder: Path) -> None:
        """Save what the page downloads in a folder, without asking."""
        self.browser("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))

    def open(self, path: Path) -> None:
        """Open a file by its file:// address and wait until it has loaded."""
        self.send("Page.navigate", url=path.absolute().as_uri())
        self.wait("document.readyState === 'complete'")

    def run(self, expression: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited."""
        options = {"returnByValue": True, "awaitPromise": True, "userGesture": True}
        answer = self.send("Runtime.evaluate", expression=expression, **options)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript condition holds; fails after five seconds."""
        poll = f"""new Promise((done) => {{
            const end = Date.now() + 5000;
            const look = () => {{
                const holds = ({condition});
                if (holds || Date.now() > end) done(Boolean(holds));
                else setTimeout(look, 20);
            }};
            look();
        }})"""
        assert self.run(poll), f"{condition} did not come true"

    def text(self, selector: str) -> str:
        """The text of an element."""
        return self.run(f"document.querySelector({json.dumps(selector)}).textContent")

    def press(self, key: str) -> None:
        """Press and release a key."""
        about = {"key": key, "windowsVirtualKeyCode": KEYS[key], "code": key}
        text = {"text": TEXT[key]} if key in TEXT else {}
        self.send("Input.dispatchKeyEvent", type="keyDown", **about, **text)
        self.send("Input.dispatchKeyEvent", type="keyUp", **about)

    def type(self, text: str) -> None:
        """Insert text where the focus is."""
        self.send("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """Click an element with the mouse."""
        x, y = self._middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def tap(self, selector: str) -> None:
        """Touch an element with a finger."""
        x, y = self._middle(selector)
        self.send("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.send("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def become(self, width: int, height: int, *, phone: bool = False, dark: bool = False) -> None:
        """Take the size, the pointer and the colour scheme of a device."""
        size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1}
        self.send("Emulation.setDeviceMetricsOverride", **size, mobile=phone)
        self.send("Emulation.setTouchEmulationEnabled", enabled=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, path: Path) -> None:
        """Write what the tab shows as PNG."""
        path.write_bytes(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def _middle(self, selector: str) -> tuple[float, float]:
        place = f"document.querySelector({json.dumps(selector)})"
        box = self.run(f"{place}.scrollIntoView({{block: 'nearest'}}), {place}.getBoundingClientRect().toJSON()")
        assert box["width"] and box["height"], f"{selector} is not visible"
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def _call(self, message: dict[str, Any]) -> dict[str, Any]:
        number = next(self._ids)
        self._write.write(json.dumps({"id": number, **message}).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == number:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self._note(answer)

    def _receive(self) -> dict[str, Any]:
        data = bytearray()
        while (byte := self._read.read(1)) != b"\0":
            assert byte, "Chromium ended"
            data += byte
        return json.loads(data)

    def _note(self, event: dict[str, Any]) -> None:
        about = event.get("params", {})
        if event["method"] == "Log.entryAdded":
            self.messages.append(about["entry"]["text"])
        elif event["method"] == "Runtime.exceptionThrown":
            self.messages.append(about["exceptionDetails"]["text"])
        elif event["method"] == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])
