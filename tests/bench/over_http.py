"""Parts that ask servers over HTTP, peers beside pkd: daemon, cachehit, soak, start, size."""
import contextlib
import http.client
import os
import shutil
import statistics
import subprocess
import time

from rig import SERVER_CPU, TASKSET, Skip, chat_request, completion, free_port, load, load_script, program, rss_mb, side_by_side
from servers import gateway_command, gateway_headers, pkd_command, pkd_env, start_all, start_pkd, store_key

CONNECTIONS = (1, 16, 64, 256)
PATH = "/v1/chat/completions"
CACHED = {"virtual_key": "bench", "cache": {"mode": "simple"}}
SOAK = int(os.environ.get("BENCH_SOAK", "1000000"))
STARTS = 15


def daemon(bench):
    """Daemon: 500-byte requests, 600-byte answers; everything on: keys, a rate, a budget, price, log row"""
    running = {name: (f"http://127.0.0.1:{port}{PATH}", load_script(bench, headers), pids)
               for name, (port, pids, headers) in start_all(bench, bench.upstream()).items()}
    got = side_by_side(bench, running, CONNECTIONS)
    print()

    def beside(peer, goal):
        if ("pkd", 64) not in got or (peer, 64) not in got:
            return
        mine, theirs = got["pkd", 64], got[peer, 64]
        bench.figure(f"throughput at 64 connections, pkd / {peer}", mine["rate"] / theirs["rate"], goal)
        bench.figure(f"CPU per request at 64 connections, pkd / {peer}", mine["cpu"] / theirs["cpu"])

    beside("nginx proxy_pass", ">= 0.5")
    beside("@portkey-ai/gateway", ">= 20")
    beside("LiteLLM proxy", "")
    if ("pkd", 1) in got and ("nginx proxy_pass", 1) in got:
        mine, theirs = got["pkd", 1], got["nginx proxy_pass", 1]
        bench.figure("added p50 at 1 connection over nginx, us", mine["p50"] - theirs["p50"], "<= 60")
        bench.figure("added p99 at 1 connection over nginx, us", mine["p99"] - theirs["p99"], "<= 1000")
        bench.figure("memory under 256 connections, MB", got["pkd", 256]["rss"], "<= 32")


def cachehit(bench):
    """Cache: an exact hit of 600 bytes over HTTP, beside nginx with a file of that size"""
    folder = os.path.join(bench.tmp, "static")
    os.mkdir(folder, 0o755)
    with open(folder + "/answer.json", "w", encoding="ascii") as f:
        f.write(completion())
    port, pids = bench.nginx(SERVER_CPU, f"root {folder};", "types { application/json json; }")
    running = {"nginx static file": (f"http://127.0.0.1:{port}/answer.json",
                                     load_script(bench, {}, "GET", ""), pids)}
    port, pids, headers = start_pkd(bench, bench.upstream(), config=CACHED)
    ask(port, headers)
    time.sleep(0.5)  # until it is stored
    if ask(port, headers) != "HIT":
        raise Skip("the second answer was no hit")
    running["pkd cache hit"] = (f"http://127.0.0.1:{port}{PATH}", load_script(bench, headers), pids)
    got = side_by_side(bench, running, (1, 64, 256))
    print()
    mine, theirs = got["pkd cache hit", 64], got["nginx static file", 64]
    bench.figure("hits at 64 connections, pkd / nginx static file", mine["rate"] / theirs["rate"], ">= 0.6")
    bench.figure("CPU per hit at 64 connections, pkd / nginx static file", mine["cpu"] / theirs["cpu"])


def ask(port, headers):
    """One request; its cache status. Raises OSError when nobody answers, and when it is refused."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as c:
        c.request("POST", PATH, chat_request(), {"Content-Type": "application/json", **headers})
        r = c.getresponse()
        text = r.read()
        if r.status != 200:
            raise ConnectionError(f"{r.status}: {text[:200]}")
        return r.headers["x-portkey-cache-status"]


def soak(bench):
    """Soak: memory over many requests, 64 connections, everything on"""
    port, pids, headers = start_pkd(bench, bench.upstream())
    url, script = f"http://127.0.0.1:{port}{PATH}", load_script(bench, headers)
    done, failed = 0, 0
    seen = []
    while done < SOAK:
        got = load(url, script, 64, pids, 5)
        done += got["requests"]
        failed += got["refused"] + got["broken"]
        seen.append((done, rss_mb(pids)))
    first, end = seen[0], seen[-1]
    bench.figure("requests", done, note=f"{failed} failed")
    bench.figure(f"memory after {first[0]} requests, MB", first[1])
    bench.figure(f"memory after {end[0]} requests, MB", end[1], "<= 32", f"most seen {max(m for _, m in seen):.1f}")
    bench.figure("growth from the first 5 s to the end", end[1] / first[1], "<= 1.1")


# --- start ---------------------------------------------------------------------------------------

def first_answer_ms(bench, command, port, headers, env):
    """Time from exec to the first answered request, asking every half millisecond."""
    cpus = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {int(SERVER_CPU)})  # which what is started inherits: taskset's own start is none of its
    started = time.monotonic()
    p = bench.spawn(command, env=env)
    os.sched_setaffinity(0, cpus)
    try:
        while time.monotonic() - started < 20:
            with contextlib.suppress(OSError, http.client.HTTPException):
                ask(port, headers)
                return (time.monotonic() - started) * 1000
            time.sleep(0.0005)
        raise Skip("no answer within 20 s")
    finally:
        bench.stop(p)


def start(bench):
    """Start: from exec to the first answered request, with an existing store"""
    folder = os.path.join(bench.tmp, "start")
    os.mkdir(folder)
    key = store_key(folder + "/store.pkdb", bench.upstream())
    headers = {"x-portkey-virtual-key": "bench", "x-portkey-api-key": key}

    def times(command, headers, env, count):
        seen = []
        for _ in range(count):
            port = free_port()
            seen.append(first_answer_ms(bench, command(port)[len(TASKSET):], port, headers, env))
        return seen
    mine = times(lambda port: pkd_command(f"127.0.0.1:{port}"), headers, pkd_env(folder), STARTS)
    bench.figure("pkd: from exec to the first answer, ms (median)", statistics.median(mine), "<= 20", f"{min(mine):.1f} to {max(mine):.1f}")
    try:
        theirs = times(gateway_command, gateway_headers(bench.upstream()),
                       {**os.environ, "NODE_ENV": "production"}, 5)
        bench.figure("@portkey-ai/gateway: the same", statistics.median(theirs),
                     note=f"{min(theirs):.0f} to {max(theirs):.0f}")
    except Skip as why:
        bench.note(f"@portkey-ai/gateway: skipped: {why}")


def size(bench):
    """Size: files without symbols, as they are installed"""
    for name, goal in (("pkd", "<= 3"), ("pk.so", "<= 2")):
        path = os.path.join(bench.tmp, name)
        shutil.copy(program(name), path)
        subprocess.run(["strip", path], check=True)
        bench.figure(f"size of {name}, MB", os.path.getsize(path) / 1e6, goal)


PARTS = {"daemon": daemon, "cachehit": cachehit, "soak": soak, "start": start, "size": size}
