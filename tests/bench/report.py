#!/usr/bin/env python3
"""Writes docs/performance.md and its plots from the figures of a run:  tests/bench/report.py FILE DOCS

FILE is what `tests/bench/run --json FILE` wrote; `make bench-report` measures and writes at once.
"""
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import plot  # noqa: E402

COLOURS = {"pkd": 0, "nginx proxy_pass": 1, "@portkey-ai/gateway": 2, "LiteLLM proxy": 3}
PERCENTILES = {"p50": "p50", "p90": "p90", "p99": "p99", "p999": "p99.9"}
AT = 64  # connections of the plots
PARTS = {
    "daemon": "A request through pkd and its peers",
    "cachehit": "An exact cache hit over HTTP",
    "sse": "Event streams",
    "start": "Start",
    "size": "Size",
    "soak": "Memory over many requests",
    "scalar": "`pk_chat` in SQL",
    "cache": "An exact cache hit in SQL",
    "map": "`pk_map`",
    "scan": "Plain statements",
    "cancel": "Cancel",
    "near": "Semantic look-up",
    "transport": "Transport",
    "limits": "Limits",
    "writer": "The log writer",
    "graphs": "Analytics",
    "route": "Choosing a target",
    "checks": "Checks",
    "guard": "Guardrails",
    "dialect": "Translation",
    "codec": "Embeddings",
}
WHAT = {
    "daemon": "Requests of 500 bytes, answers of 600. pkd does what it does in production: API key checked, virtual key "
              "resolved, a rate and a budget reserved and settled, usage priced, a log row written. nginx only passes bytes; "
              "the peers keep no log.",
    "cachehit": "pkd checks the key, finds the answer in its store and logs the hit; nginx sends a file of the same size.",
    "sse": "Events of 190 bytes, each a write of its own; pkd counts usage and logs each stream.",
    "start": "From `exec` to the first answered request. The store of pkd exists, with a key and a limit in it.",
    "soak": "One server, 64 connections, everything on.",
}


def number(value):
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def loads_table(loads):
    rows = ["| | connections | requests/s | p50 µs | p90 µs | p99 µs | p99.9 µs | CPU µs a request | RSS MB |",
            "|---|--:|--:|--:|--:|--:|--:|--:|--:|"]
    for f in loads:
        answered = [number(f["rate"]), *(f"{f[p]:,}" for p in PERCENTILES), number(f["cpu"])]
        cells = [f["server"] + (f" ({f['bad']})" if f["bad"] else ""), str(f["connections"]),
                 *(answered if f["requests"] else ["-"] * len(answered)), number(f["rss"])]
        rows.append("| " + " | ".join(cells) + " |")
    return rows


def figures_table(figures):
    goals = any(f["goal"] for f in figures)
    rows = ["| | |" + (" target | |" if goals else " |"), "|---|--:|" + ("---|---|" if goals else "---|")]
    for f in figures:
        cells = [f["what"], number(f["value"])]
        if goals:
            goal = f["goal"].replace("<=", "≤").replace(">=", "≥")
            cells.append(goal + ("" if f["met"] in (None, True) else ", not met"))
        rows.append("| " + " | ".join([*cells, f["note"]]) + " |")
    return rows


def of_part(result, part):
    loads, figures, notes = ([f for f in result[kind] if f["part"] == part] for kind in ("loads", "figures", "notes"))
    if not loads and not figures and not notes:
        return []
    out = [f"## {PARTS.get(part, part)}", ""]
    if part in WHAT:
        out += [WHAT[part], ""]
    for table in (loads_table(loads) if loads else [], figures_table(figures) if figures else []):
        out += [*table, ""] if table else []
    out += [f"- {n['note']}" for n in notes] + ([""] if notes else [])
    return out


def facts(result):
    m = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in m["versions"].items() if version)
    return (f"{m['cores']} cores of {m['cpu']}, {m['memory_gb']} GB, Linux {m['kernel']}; {versions}. "
            f"{result['made_on']}, {result['seconds_per_load']} s a load.")


def page(result, plots):
    parts = list(PARTS) + sorted({f["part"] for f in result["figures"]} - set(PARTS))
    missed = [f for f in result["figures"] if f["met"] is False]
    out = ["# Performance", "",
           "`make bench-report` measures and writes this page; `make bench` prints the same figures. Everything runs on one "
           "machine: the server under test alone on one cpu, the load generator (`wrk`) and the provider (nginx, a fixed answer) on "
           "another. Read the ratios; absolute figures are those of the machine.", "", facts(result), ""]
    out += [f"![{alt}]({name})" for name, alt in plots] + ([""] if plots else [])
    out += ["Every target is met." if not missed else
            "Not met in this run: " + "; ".join(f"{f['what']} ({number(f['value'])})" for f in missed) + ".", ""]
    for part in parts:
        out += of_part(result, part)
    return "\n".join(out)


def draw(result, scheme=None):
    """{file name: (what it shows, SVG)}."""
    loads = [f for f in result["loads"] if f["part"] == "daemon" and f["connections"] == AT and f["requests"]]
    if not loads:
        return {}
    loads.sort(key=lambda f: -f["rate"])
    rate = f"Requests per second on one core, {AT} connections"
    late = f"Latency at {AT} connections"
    return {
        "performance-throughput.svg": (rate, plot.bars(rate, [
            (f["server"], COLOURS[f["server"]], f["rate"], f"{f['rate']:,.0f}   ({number(f['cpu'])} µs CPU)") for f in loads], scheme)),
        "performance-latency.svg": (late, plot.lines(late, list(PERCENTILES.values()), [
            (f["server"], COLOURS[f["server"]], [f[p] for p in PERCENTILES]) for f in loads], scheme)),
    }


def write(result, docs):
    plots = draw(result)
    for name, (_, svg) in plots.items():
        with open(os.path.join(docs, name), "w", encoding="utf-8") as f:
            f.write(svg)
    with open(os.path.join(docs, "performance.md"), "w", encoding="utf-8") as f:
        f.write(page(result, [(name, alt) for name, (alt, _) in plots.items()]))


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as source:
        write(json.load(source), sys.argv[2])
