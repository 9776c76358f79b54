"""What the parts of the bench share: processes that end with it, peers, loads, and the figures.

Servers under test are pinned to one cpu, the load generator and the upstream to another.
"""
import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.path.join(ROOT, os.environ.get("BUILD", "build")))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
TICK = os.sysconf("SC_CLK_TCK")
CPUS = sorted(os.sched_getaffinity(0))
SERVER_CPU, LOAD_CPU = str(CPUS[0]), str(CPUS[min(1, len(CPUS) - 1)])
TASKSET = ["taskset", "-c", SERVER_CPU]  # what a command of a server begins with


class Skip(Exception):
    """A peer or a part that is not there; the text says why."""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for(port, process, name, seconds=15):
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise Skip(f"{name} did not start")


def program(name):
    path = os.path.join(BUILD, name)
    if not os.path.exists(path):
        raise Skip(f"{name} is not built")
    return path


def completion():
    """A chat completion of exactly 600 bytes."""
    answer = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1700000000,
              "model": "gpt-4o-mini", "choices": [{"index": 0, "message": {
                  "role": "assistant", "content": ""}, "finish_reason": "stop"}],
              "usage": {"prompt_tokens": 90, "completion_tokens": 60, "total_tokens": 150}}
    message = answer["choices"][0]["message"]
    message["content"] = "x" * (600 - len(json.dumps(answer)))
    return json.dumps(answer)


def chat_request(**more):
    """A chat request of exactly 500 bytes."""
    body = {"model": "gpt-4o-mini", **more, "messages": [{"role": "user", "content": ""}]}
    body["messages"][0]["content"] = "y" * (500 - len(json.dumps(body)))
    return json.dumps(body)


def cpu_s(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            fields = f.read().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def rss_mb(pids):
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/status", encoding="ascii") as f:
            total += int(re.search(r"VmRSS:\s*(\d+)", f.read()).group(1))
    return total / 1024


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        return [int(p) for p in f.read().split()]


def met(value, goal):
    """Whether `value` is as `goal` says: "<= 60", ">= 0.5"; None when there is none."""
    if not goal:
        return None
    how, limit = goal.split()
    return value <= float(limit) if how == "<=" else value >= float(limit)


class Bench:
    """Processes, files and figures of one run; the former are gone when it ends."""

    def __init__(self):
        self.tmp = tempfile.mkdtemp(prefix="pk-bench-")
        os.chmod(self.tmp, 0o755)
        self.processes = []
        self.lasting = []  # those that serve all parts
        self.part = None
        self.figures, self.loads, self.notes = [], [], []

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.stop(*reversed(self.processes))
        shutil.rmtree(self.tmp, ignore_errors=True)

    def stop(self, *processes):
        """Ends processes that were spawned."""
        for p in processes:
            if p.poll() is None:
                p.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    p.wait(15)
            if p.poll() is None:
                p.kill()
                p.wait()
            if p in self.processes:
                self.processes.remove(p)

    def end_part(self):
        """Ends what the part started."""
        self.stop(*[p for p in reversed(self.processes) if p not in self.lasting])

    def title(self, text):
        print(f"\n{text}\n", flush=True)

    def figure(self, what, value, goal="", note=""):
        """Prints a figure, and keeps it for the report."""
        good = met(value, goal)
        digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
        says = "" if good is None else f"target {goal}: {'met' if good else 'NOT met'}"
        print(f"  {what:62}{value:10.{digits}f}   {'; '.join(filter(None, (note, says)))}", flush=True)
        self.figures.append({"part": self.part, "what": what, "value": value, "goal": goal,
                             "met": good, "note": note})

    def note(self, text):
        """Says what could not be measured."""
        print(f"  {text}", flush=True)
        self.notes.append({"part": self.part, "note": text})

    def spawn(self, command, **more):
        with open(os.path.join(self.tmp, "output"), "ab") as out:
            p = subprocess.Popen(command, **{"stdout": out, "stderr": out, "cwd": self.tmp, **more})
        self.processes.append(p)
        return p

    def nginx(self, cpu, location, extra=""):
        """A one-worker nginx on its own port: (port, pids)."""
        port, folder = free_port(), tempfile.mkdtemp(prefix="nginx", dir=self.tmp)
        os.chmod(folder, 0o755)
        with open(folder + "/conf", "w", encoding="ascii") as f:
            f.write(f"""daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error crit;
{'user root;' if os.geteuid() == 0 else ''} worker_rlimit_nofile 32768;
events {{ worker_connections 16384; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600;
client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e; {extra}
server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ {location} }} }} }}""")
        p = self.spawn(["taskset", "-c", cpu, "nginx", "-c", folder + "/conf", "-e", folder + "/error"])
        wait_for(port, p, "nginx")
        return port, [p.pid] + children(p.pid)

    def upstream(self):
        """The provider: answers at once, always the same."""
        if not hasattr(self, "upstream_port"):
            body = completion().replace("'", "\\'")
            self.upstream_port, _ = self.nginx(
                LOAD_CPU, f"default_type application/json; return 200 '{body}';")
            self.lasting.append(self.processes[-1])
        return self.upstream_port


# --- loads of requests -------------------------------------------------------------------------

# wrk's own summary has neither the 99.9th percentile nor all counts.
SUMMARY = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\\nJSON {"requests":%d,"us":%d,"p50":%d,"p90":%d,"p99":%d,"p999":%d,"refused":%d,"broken":%d}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90),
    latency:percentile(99), latency:percentile(99.9), e.status, e.connect + e.read + e.write + e.timeout))
end
"""


def load_script(bench, headers, method="POST", body=None):
    """A script for wrk: a chat request of 500 bytes, or what is given."""
    body = chat_request() if body is None else body
    fd, path = tempfile.mkstemp(suffix=".lua", dir=bench.tmp)
    with os.fdopen(fd, "w", encoding="ascii") as f:
        f.write(f"wrk.method = {json.dumps(method)}\n")
        if body:
            f.write(f"wrk.body = [==[{body}]==]\n")
        for key, value in {"Content-Type": "application/json", **headers}.items():
            f.write(f"wrk.headers[{json.dumps(key)}] = [==[{value}]==]\n")
        f.write(SUMMARY)
    return path


def load(url, script, connections, pids, seconds=SECONDS):
    """One load: requests per second, percentiles in us, CPU us per request, MB, failures."""
    before = cpu_s(pids)
    out = subprocess.run(["taskset", "-c", LOAD_CPU, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s",
                          "-s", script, url], capture_output=True, text=True, check=True).stdout
    got = json.loads(re.search(r"^JSON (.*)$", out, re.M).group(1))
    failed = got["refused"] + got["broken"]
    return {**got, "rate": got["requests"] * 1e6 / got["us"], "connections": connections,
            "cpu": (cpu_s(pids) - before) * 1e6 / max(got["requests"], 1), "rss": rss_mb(pids),
            "bad": f"{failed} failed" if failed else ""}


LOAD_HEAD = (f"{'':22}{'conns':>6}{'req/s':>9}{'p50 us':>8}{'p90 us':>8}{'p99 us':>8}{'p99.9 us':>9}"
             f"{'CPU us':>8}{'MB':>7}")


def side_by_side(bench, running, connections):
    """Loads every server {name: (url, script, pids)} with each number of connections in turn, so that
    they meet the same weather; {(name, connections): figures}."""
    print(LOAD_HEAD)
    figures = {}
    for url, script, pids in running.values():
        load(url, script, 4, pids, 1)  # warm
    for n in connections:
        for name, (url, script, pids) in running.items():
            f = figures[name, n] = load(url, script, n, pids)
            bench.loads.append({"part": bench.part, "server": name, **f})
            print(f"{name:22}{n:6}{f['rate']:9.0f}{f['p50']:8.0f}{f['p90']:8.0f}{f['p99']:8.0f}"
                  f"{f['p999']:9.0f}{f['cpu']:8.1f}{f['rss']:7.1f}  {f['bad']}", flush=True)
    return figures
