"""The part sse: event streams through pkd and its peers. bench-streams is the provider and the client."""
import json
import os
import subprocess
import tempfile

from rig import LOAD_CPU, SECONDS, chat_request, cpu_s, program, rss_mb
from servers import start_all

GAP_US, WIDE = 20000, 200  # 10,000 events a second
HELD = 2000
OURS = ("nginx proxy_pass", "pkd")


def provider(bench, events, gap_us):
    """A provider of such streams; its port."""
    p = bench.spawn(["taskset", "-c", LOAD_CPU, program("bench-streams"), "serve", str(events), str(gap_us)],
                    stdout=subprocess.PIPE)
    return int(p.stdout.readline())


def request_file(bench, headers):
    body = chat_request(stream=True)
    headers = {"Host": "127.0.0.1", "Content-Type": "application/json", "Content-Length": len(body), **headers}
    fd, path = tempfile.mkstemp(dir=bench.tmp)
    with os.fdopen(fd, "w", encoding="ascii", newline="") as f:
        f.write("POST /v1/chat/completions HTTP/1.1\r\n" +
                "".join(f"{k}: {v}\r\n" for k, v in headers.items()) + "\r\n" + body)
    return path


def streams(bench, server, wide, seconds):
    """Keeps `wide` streams going; what the client counted, and the CPU us per event of the server."""
    port, pids, headers = server
    command = ["taskset", "-c", LOAD_CPU, program("bench-streams"), "load", str(port),
               request_file(bench, headers), str(wide)]
    subprocess.run([*command[:-1], "1", "200"], check=True, capture_output=True)  # warm
    before = cpu_s(pids)
    got = json.loads(subprocess.run([*command, str(int(seconds * 1000))], check=True, capture_output=True).stdout)
    got["cpu_us"] = (cpu_s(pids) - before) * 1e6 / max(got["events"], 1)
    got["rate"] = got["events"] / got["seconds"]
    return got


def first_event(bench):
    """What is added to the time until the first event: one stream at a time, three events each."""
    port = provider(bench, 3, 0)
    direct = streams(bench, (port, [os.getpid()], {}), 1, 2)["first_us"]["p50"]
    bench.figure("first event straight from the provider, p50, us", direct)
    for name, server in start_all(bench, port, OURS + ("@portkey-ai/gateway",)).items():
        got = streams(bench, server, 1, 2)["first_us"]
        bench.figure(f"{name}: added to the first event, p50, us", got["p50"] - direct,
                     "<= 200" if name == "pkd" else "", f"p99 {got['p99']} us in all")


def events_per_core(bench):
    """The CPU of one event, at a rate that all but the slowest keep; and as many as go through."""
    paced = {}
    port = provider(bench, 100, GAP_US)
    for name, server in start_all(bench, port).items():
        got = paced[name] = streams(bench, server, WIDE, SECONDS)
        bench.figure(f"{name}: {WIDE} streams, CPU us per event", got["cpu_us"],
                     note=f"{got['rate']:.0f} events/s, {got['broken']} broken, first event p50 {got['first_us']['p50']} us")
    port = provider(bench, 1000, 0)
    flood = {}
    for name, server in start_all(bench, port, OURS).items():
        got = flood[name] = streams(bench, server, 64, SECONDS)
        bench.figure(f"{name}: 64 streams without a pause, events per second", got["rate"],
                     note=f"CPU us per event {got['cpu_us']:.2f}, {got['broken']} broken")
    for what, figures, goal in (("one event at a time", paced, ">= 0.5"), ("without a pause", flood, "")):
        if all(name in figures for name in OURS):
            theirs, mine = (figures[name]["cpu_us"] for name in OURS)
            bench.figure(f"events per second per core, {what}, pkd / nginx", theirs / mine, goal)


def memory(bench):
    """Memory of an open stream: 2,000 of them, an event a second each."""
    port, each = provider(bench, 1000, 1000000), {}
    for name, server in start_all(bench, port, OURS).items():
        streams(bench, server, 1, 0.2)
        before = rss_mb(server[1])
        client = bench.spawn(["taskset", "-c", LOAD_CPU, program("bench-streams"), "hold", str(server[0]),
                              request_file(bench, server[2]), str(HELD)],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        said = client.stdout.readline().decode().strip()
        each[name] = (rss_mb(server[1]) - before) * 1024 / HELD
        bench.figure(f"{name}: {HELD} open streams, KB each", each[name], note=said)
        client.stdin.close()
        client.wait(10)
    if len(each) == 2:
        bench.figure("memory per open stream, pkd / nginx", each["pkd"] / each["nginx proxy_pass"], "<= 1.3")


def sse(bench):
    """Streams: events of 190 bytes, each a write of its own, with usage counted"""
    first_event(bench)
    events_per_core(bench)
    memory(bench)


PARTS = {"sse": sse}
