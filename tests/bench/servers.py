"""The servers that the bench compares: pkd, nginx, Portkey's gateway, LiteLLM's proxy.

Each start function returns (port, pids, headers of a request) once the server takes connections. What
npm and pip install is kept in $XDG_CACHE_HOME/pk-bench for the next run.
"""
import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

from rig import BUILD, SERVER_CPU, TASKSET, Skip, free_port, program, wait_for

# 1.15.2 with the server library that it was published for: with a newer one its streams break.
GATEWAY = {"dependencies": {"@portkey-ai/gateway": "1.15.2"},
           "overrides": {"@hono/node-server": "1.13.8"}}
LITELLM = "litellm[proxy]==1.80.0"
INSTALL_SECONDS = 120

LIMITS = (("bench-rate", {"counts": "requests", "amount": 10 ** 9, "per": "minute", "rolling": True}),
          ("bench-budget", {"counts": "cost", "amount": 1000000, "per": "month"}))


def start_nginx(bench, upstream):
    port, pids = bench.nginx(SERVER_CPU,
                             "proxy_pass http://up; proxy_http_version 1.1; proxy_buffering off; "
                             "proxy_set_header Connection ''; proxy_read_timeout 600;",
                             f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 512; "
                             "keepalive_requests 100000000; }")
    return port, pids, {}


# --- pkd ---------------------------------------------------------------------------------------

def sqlite_with_pk(store):
    program("pk.so")
    os.environ["PK_STORE"] = store
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(BUILD + "/pk")
    return db


def store_key(store, upstream, limited=True, config=None):
    """A sealed virtual key, as anybody would have one, and an API key, which is returned."""
    with contextlib.closing(sqlite_with_pk(store)) as db:
        db.execute("select pk_key_put('bench', 'openai', 'sk-bench', ?)",
                   (json.dumps({"custom_host": f"http://127.0.0.1:{upstream}/v1"}),)).fetchone()
        for slug, terms in LIMITS if limited else ():
            db.execute("select pk_limit_put(?, ?)", (slug, json.dumps(terms))).fetchone()
        if config:
            db.execute("select pk_config_put('bench', ?)", (json.dumps(config),)).fetchone()
        return db.execute("select pk_api_key_create('bench')").fetchone()[0]


def pkd_command(listen="127.0.0.1:0"):
    return [*TASKSET, program("pkd"), "serve", "--listen", listen]


def pkd_env(folder):
    return {**os.environ, "PK_STORE": folder + "/store.pkdb", "HOME": folder}


def port_in(log, process):
    """The port that the daemon's log names, once it is ready."""
    for _ in range(500):
        with open(log, encoding="utf-8") as f:
            text = f.read()
        m = re.search(r"listening\b.*127\.0\.0\.1:(\d+)", text)
        if m and " ready" in text:
            return int(m.group(1))
        if process.poll() is not None:
            break
        time.sleep(0.02)
    raise Skip("it did not start: " + text[-200:])


def start_pkd(bench, upstream, limited=True, config=None):
    folder = tempfile.mkdtemp(prefix="pkd", dir=bench.tmp)
    with open(folder + "/log", "ab") as log:
        p = bench.spawn(pkd_command(), stdout=log, stderr=log, env=pkd_env(folder))
    port = port_in(folder + "/log", p)
    key = store_key(folder + "/store.pkdb", upstream, limited, config)
    by = {"x-portkey-config": "bench"} if config else {"x-portkey-virtual-key": "bench"}
    return port, [p.pid], {**by, "x-portkey-api-key": key}


# --- peers that are installed ------------------------------------------------------------------

def kept(name, install):
    """The folder that `install(folder)` has filled, in this run or an earlier one."""
    cache = os.path.join(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "pk-bench")
    folder = os.path.join(cache, re.sub(r"[^\w.=-]", "_", name))
    if os.path.exists(folder + "/.installed"):
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    print(f"  installing {name} in {cache} ...", flush=True)
    try:
        install(folder)
    except subprocess.TimeoutExpired as e:
        raise Skip(f"{name} was not installed within {INSTALL_SECONDS} s") from e
    except subprocess.CalledProcessError as e:
        raise Skip(f"{name} could not be installed: " + (e.stderr or "").strip()[-200:]) from e
    open(folder + "/.installed", "w", encoding="ascii").close()
    return folder


def quietly(command, **more):
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_SECONDS, **more)


def install_gateway(folder):
    with open(folder + "/package.json", "w", encoding="ascii") as f:
        json.dump({"private": True, **GATEWAY}, f)
    quietly(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"], cwd=folder)


def gateway_command(port):
    if not shutil.which("npm") or not shutil.which("node"):
        raise Skip("npm is not installed")
    folder = kept("@portkey-ai/gateway-" + GATEWAY["dependencies"]["@portkey-ai/gateway"], install_gateway)
    return [*TASKSET, "node", folder + "/node_modules/@portkey-ai/gateway/build/start-server.js", f"--port={port}", "--headless"]


def gateway_headers(upstream):
    return {"Authorization": "Bearer sk-bench", "x-portkey-provider": "openai",
            "x-portkey-custom-host": f"http://127.0.0.1:{upstream}/v1"}


def start_gateway(bench, upstream):
    port = free_port()
    p = bench.spawn(gateway_command(port), env={**os.environ, "NODE_ENV": "production"})
    wait_for(port, p, "the gateway")
    return port, [p.pid], gateway_headers(upstream)


def install_litellm(folder):
    quietly([sys.executable, "-m", "venv", folder])
    quietly([folder + "/bin/pip", "install", "-q", LITELLM])


def start_litellm(bench, upstream):
    folder, port = kept(LITELLM, install_litellm), free_port()
    conf = os.path.join(bench.tmp, f"litellm-{port}.yaml")
    with open(conf, "w", encoding="ascii") as f:
        f.write(f"""model_list:
  - model_name: gpt-4o-mini
    litellm_params: {{model: openai/gpt-4o-mini, api_key: sk-bench, api_base: "http://127.0.0.1:{upstream}/v1"}}
""")
    env = {**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR",
           "LITELLM_MODE": "PRODUCTION"}
    p = bench.spawn([*TASKSET, folder + "/bin/litellm", "--config", conf, "--host",
                     "127.0.0.1", "--port", str(port), "--num_workers", "1", "--telemetry", "False"], env=env)
    wait_for(port, p, "LiteLLM", 60)
    return port, [p.pid], {"Authorization": "Bearer sk-any"}


SERVERS = {"nginx proxy_pass": start_nginx, "pkd": start_pkd, "@portkey-ai/gateway": start_gateway,
           "LiteLLM proxy": start_litellm}


def start_all(bench, upstream, names=tuple(SERVERS)):
    """Those that can be had: {name: (port, pids, headers)}."""
    running = {}
    for name in names:
        try:
            running[name] = SERVERS[name](bench, upstream)
        except Skip as why:
            bench.note(f"{name}: skipped: {why}")
    return running
