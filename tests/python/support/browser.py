"""A headless Chromium, driven by its DevTools protocol over two pipes.

Over pipes and not over a WebSocket: there is no port to wait for, and the browser ends with its
test.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

#: The programs that will do, the smallest first.
PROGRAMS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

#: Seconds for one answer of the browser. It only ends what hangs.
PATIENCE = 120.0

#: The descriptors on which Chromium reads and writes the protocol.
READS, WRITES = 3, 4


def find_program() -> str | None:
    """Returns the path of a Chromium, or None."""
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Browser:
    """A running browser. The protocol is a JSON object and a zero byte, in both directions."""

    def __init__(self, process: subprocess.Popen[bytes], commands: int, answers: int) -> None:
        self._process = process
        self._commands = commands
        self._answers = answers
        self._rest = b""
        self._number = 0

    def call(self, method: str, *, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Calls a method and returns its result.

        Raises:
            RuntimeError: The browser reports an error, or has ended.
            TimeoutError: It does not answer.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE
        while True:
            answer = self._read(deadline)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            readable, _, _ = select.select([self._answers], [], [], deadline - time.monotonic())
            if not readable:
                raise TimeoutError("the browser does not answer")
            if not (chunk := os.read(self._answers, 1 << 20)):
                raise RuntimeError(f"the browser has ended with {self._process.wait()}")
            self._rest += chunk
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer

    def open(self, url: str) -> Tab:
        """Opens a page in a tab of its own and waits until it is loaded."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, target, session)
        tab.call("Page.navigate", url=url)
        tab.wait("location.href !== 'about:blank' && document.readyState === 'complete'")
        return tab


class Tab:
    """A tab. It is closed when it is left as a context, if it has not been before."""

    def __init__(self, browser: Browser, target: str, session: str) -> None:
        self._browser = browser
        self._target = target
        self._session = session
        self._open = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the tab, as a person does."""
        if self._open:
            self._open = False
            self._browser.call("Target.closeTarget", targetId=self._target)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Calls a method of the protocol on this tab."""
        return self._browser.call(method, session=self._session, **parameters)

    def value(self, expression: str) -> Any:
        """Evaluates JavaScript and returns its value; a promise is waited for.

        Raises:
            RuntimeError: The expression throws.
        """
        result = self.call(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait(self, condition: str) -> None:
        """Waits until a JavaScript condition holds."""
        self.value(
            "new Promise((done) => { const look = () => "
            f"({condition}) ? done(true) : setTimeout(look, 10); look(); }})"
        )

    def text(self, selector: str) -> str:
        """Returns what the first element of a selector shows."""
        return str(self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    def type(self, text: str) -> None:
        """Types into the element that has the focus."""
        self.call("Input.insertText", text=text)

    def press_enter(self, *, shift: bool = False) -> None:
        """Presses the enter key."""
        key = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
        modifiers = 8 if shift else 0
        self.call("Input.dispatchKeyEvent", type="keyDown", text="\r", modifiers=modifiers, **key)
        self.call("Input.dispatchKeyEvent", type="keyUp", modifiers=modifiers, **key)

    def click(self, selector: str) -> None:
        """Clicks into the middle of the first element of a selector."""
        box = self.value(
            f"(() => {{ const box = document.querySelector({json.dumps(selector)})"
            ".getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        mouse = {"x": box[0], "y": box[1], "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, **mouse)

    def look(self, *, width: int, height: int, dark: bool = False) -> None:
        """Sets the size of the window, and whether the person prefers dark colours."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if width < 600 else 1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def save_screenshot(self, path: Path) -> None:
        """Writes what is seen to a PNG file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


@contextmanager
def browser(program: str) -> Iterator[Browser]:
    """Runs a browser with a profile of its own, and ends it."""
    # Above the two numbers, so that neither pipe is overwritten by the other in the child.
    reads, commands = _pipe_above(WRITES)
    answers, writes = _pipe_above(WRITES)

    def place_pipes() -> None:
        os.dup2(reads, READS)
        os.dup2(writes, WRITES)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = subprocess.Popen(
            [
                program,
                "--headless",
                "--remote-debugging-pipe",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                f"--user-data-dir={profile}",
                # Chromium's sandbox cannot be used by root, as in a container.
                *(["--no-sandbox"] if os.geteuid() == 0 else []),
                "about:blank",
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(READS, WRITES),
            preexec_fn=place_pipes,
        )
        os.close(reads)
        os.close(writes)
        try:
            yield Browser(process, commands, answers)
        finally:
            # It ends when its commands end.
            os.close(commands)
            os.close(answers)
            process.wait(PATIENCE)


def _pipe_above(lowest: int) -> tuple[int, int]:
    ends = os.pipe()
    above = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, lowest + 1) for end in ends]
    for end in ends:
        os.close(end)
    return above[0], above[1]
