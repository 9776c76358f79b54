"""The mock provider (tests/mock) as a process that tests start."""
import http.client
import json
import os
import subprocess


class Mockd:
    def __init__(self, build):
        self.process = subprocess.Popen([os.path.join(build, "mockd"), "--port", "0"], stdout=subprocess.PIPE)
        self.port = int(self.process.stdout.readline().rsplit(b":", 1)[1])
        self.origin = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop()

    def stop(self):
        self.process.terminate()
        self.process.wait(10)

    def page(self, name, method="GET", body=None):
        """The JSON of one of its own pages, which tell what it was asked and change how it answers."""
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            c.request(method, "/__mock/" + name, body)
            return json.loads(c.getresponse().read() or b"null")
        finally:
            c.close()

    def requests(self):
        return self.page("stats")["requests"]
