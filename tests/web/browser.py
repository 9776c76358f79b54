"""A headless Chromium, driven over the DevTools protocol, for the tests of the dashboard."""
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time

from pkd_websocket import WebSocket, TEXT

KEYS = {"Tab": 9, "Enter": 13}


def find():
    """The browser's program, or None."""
    return next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)


class Browser:
    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="pkd-web")
        self.process = subprocess.Popen(
            [find(), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
             "--disable-background-networking", "--disable-component-update", "--disable-extensions",
             "--remote-debugging-port=0", "--user-data-dir=" + self.folder, "about:blank"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        port_file, end = os.path.join(self.folder, "DevToolsActivePort"), time.monotonic() + 60
        while not (os.path.exists(port_file) and open(port_file).read().count("\n")):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the browser did not start")
            time.sleep(0.05)
        port, path = open(port_file).read().split("\n")[:2]
        self.socket, self.count, self.events = WebSocket(int(port), path, timeout=60), 0, []
        target = self.ask("Target.createTarget", {"url": "about:blank"})["targetId"]
        self.session = self.ask("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        for domain in "Page", "Runtime", "Log", "Network":
            self.tell(domain + ".enable")

    def ask(self, method, params=None, session=None):
        self.count += 1
        message = {"id": self.count, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        self.socket.send(TEXT, json.dumps(message).encode())
        while True:
            answer = json.loads(self.socket.receive()[1])
            if answer.get("id") == self.count:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']}")
                return answer["result"]
            self.events.append(answer)

    def tell(self, method, **params):
        return self.ask(method, params, self.session)

    def value(self, expression):
        """Of JavaScript, awaited when it is a promise."""
        got = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in got:
            raise RuntimeError(f"{expression}: {got['exceptionDetails']}")
        return got["result"].get("value")

    def until(self, expression, seconds=10):
        end = time.monotonic() + seconds
        while True:
            try:
                got = self.value(f"Boolean({expression})")
            except RuntimeError:  # between two pages
                got = None
            if got or time.monotonic() > end:
                return got
            time.sleep(0.05)

    def open(self, url):
        self.tell("Page.navigate", url=url)
        self.until("document.readyState === 'complete'")

    def size(self, width, height):
        self.tell("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)

    def dark(self, on):
        self.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if on else "light"}])

    def press(self, key):
        for kind in "keyDown", "keyUp":
            self.tell("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=KEYS[key],
                      **({"text": "\r"} if key == "Enter" and kind == "keyDown" else {}))

    def write(self, text):
        self.tell("Input.insertText", text=text)

    def picture(self, path):
        whole = self.tell("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        with open(path, "wb") as f:
            f.write(base64.b64decode(whole["data"]))

    def complaints(self):
        """What the console and the content security policy had to say since the last time."""
        found = [json.dumps(e["params"]) for e in self.events
                 if e.get("method") == "Runtime.exceptionThrown"
                 or e.get("method") == "Log.entryAdded" and e["params"]["entry"]["level"] == "error"
                 or e.get("method") == "Runtime.consoleAPICalled" and e["params"]["type"] in ("error", "warning")]
        self.events.clear()
        return found

    def requested(self):
        """The addresses that were asked for since the last look at complaints()."""
        return [e["params"]["request"]["url"] for e in self.events if e.get("method") == "Network.requestWillBeSent"]

    def close(self):
        try:
            self.ask("Browser.close")
        except Exception:
            pass
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
