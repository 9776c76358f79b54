#!/usr/bin/env python3
"""What the documents of the field show, run against pkd:  tests/e2e/seeds.py BUILD [WORD...]

Documents about Portkey teach by snippets. A user who changes the base URL and the keys must be able to
run them; so each of them runs here, with the real SDKs (make sdk), and the log is asked what happened. The
documents are not part of this project: they are read from $PK_SEEDS, else ../shared/seeds, and without
them only the snippets of our own page run. seeds_list.py says which lines are snippets, what each presupposes, and what must
have happened; seeds_text.py makes programs of them.

WORD picks cases by their names.
"""
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
WORDS = sys.argv[2:]
sys.path[:0] = [HERE, os.path.join(HERE, "..", "regress")]

from pkd_harness import *
from seeds_list import CONFIGS, GUARDRAILS, KEYS, OWN, PROMPTS, SNIPPETS
from seeds_text import program_of

SEEDS = os.environ.get("PK_SEEDS") or os.path.join(ROOT, "..", "shared", "seeds")
OWN_PAGE = "docs/portkey.md"
SDK = program("sdk")
COLUMNS = ("virtual_key provider request_model model status http_status attempts fallback_index cache_status "
           "trace_id span_id metadata prompt guardrail_verdict input_tokens output_tokens operation").split()


def document(start):
    """The lines of the document whose name begins so, or of our own."""
    if start == OWN_PAGE:
        with open(os.path.join(ROOT, start), encoding="utf-8") as f:
            return f.read().split("\n")
    for name in os.listdir(SEEDS):
        if name.startswith(start):
            with open(os.path.join(SEEDS, name), encoding="utf-8") as f:
                return f.read().split("\n")
    raise Skip(f"no document {start}")


def own_snippets():
    """What our own page shows, each with what it presupposes and the lines where it stands."""
    lines = document(OWN_PAGE)
    fences = [i for i, line in enumerate(lines) if line.startswith("```")]
    shown = [(a, b) for a, b in zip(fences[::2], fences[1::2]) if lines[a] in ("```python", "```ts")]
    return [s._replace(document=OWN_PAGE, first=a + 2, last=b) for s, (a, b) in zip(OWN, shown, strict=True)]


class Gateway:
    """A pkd with all that snippets presuppose; the providers behind the keys `down` answer 503."""

    def __init__(self, mock, down=()):
        self.pkd = Pkd()
        for slug, provider in KEYS.items():
            base = f"http://127.0.0.1:{mock.port}" + ("/m/status-503" if slug in down else "")
            self.admin("key", "put", slug, provider, json.dumps({"custom_host": base + "/v1"}), given="sk-of-the-provider")
        for kind, items in ("config", CONFIGS), ("guardrail", GUARDRAILS), ("prompt", PROMPTS):
            for slug, document_ in items.items():
                self.admin(kind, "put", slug, given=json.dumps(document_))
        self.api_key = re.search(r"pk-\S+", self.admin("apikey", "create", "seeds", '{"scopes": ["call", "admin", "logs"]}'))[0]
        until(lambda: self.pkd.http("GET", "/v1/models")[0] == 401)

    def admin(self, *command, given=""):
        return subprocess.run([program("pkd"), *command, "--store", self.pkd.store], input=given, check=True,
                              text=True, stdout=subprocess.PIPE).stdout

    def rows(self, since_us):
        return [dict(zip(COLUMNS, row)) for row in self.pkd.rows(
            f"select {', '.join(COLUMNS)} from pk_log where started_us > {since_us} order by started_us")]


def run_program(snippet, gateway):
    """What it printed. A program that fails is a failed case, with its own words."""
    base = f"http://127.0.0.1:{gateway.pkd.port}/v1"
    text = program_of(snippet, document(snippet.document), base, gateway.api_key)
    python = snippet.language == "python"
    path = os.path.join(gateway.pkd.folder, "snippet" + (".py" if python else ".mjs"))
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    env.update(PORTKEY_PROXY=base, PORTKEY_API_KEY=gateway.api_key, PK_SDK=SDK, PKD=base,
               PORTKEY_OPENAI_VIRTUAL_KEY="openai-vk", PORTKEY_ANTHROPIC_VIRTUAL_KEY="anthropic-vk",
               PORTKEY_GROQ_VIRTUAL_KEY="groq-vk", OPENAI_VIRTUAL_KEY="openai-vk",
               PORTKEY_ANTHROPIC_VK="anthropic-vk", PORTKEY_OPENAI_VK="openai-vk")
    got = subprocess.run([SDK + "/venv/bin/python" if python else "node", path], env=env, capture_output=True,
                         text=True, timeout=120)
    if got.returncode != 0:
        raise AssertionError("\n".join(got.stderr.splitlines()[-25:]))
    return got.stdout


def case_of(snippet, gateway):
    def body():
        since = time.time_ns() // 1000
        said = run_program(snippet, gateway)
        until(lambda: len(gateway.rows(since)) >= snippet.rows)
        rows = gateway.rows(since)
        expect(len(rows) >= snippet.rows, f"{len(rows)} log rows of {snippet.rows}")
        expect(all(r["trace_id"] for r in rows), "a row without a trace")
        expect(snippet.holds(said, rows), f"printed: {said}\nlogged: {rows}")

    body.__name__ = f"{snippet.name} ({snippet.document}, lines {snippet.first}-{snippet.last})"
    return body


def main():
    missing = [language for language, mark in (("python", "/venv/installed"), ("node", "/node/installed"))
               if not os.path.exists(SDK + mark) or not shutil.which(language if language == "node" else "python3")]
    if missing:
        print(f"skip seeds: the SDKs in {', '.join(missing)} are not installed (make sdk)")
        return
    snippets = own_snippets()
    if os.path.isdir(SEEDS):
        snippets += SNIPPETS
    else:
        print("skip seeds: the documents are not there (PK_SEEDS)", flush=True)
    wanted = [s for s in snippets if all(w in s.name for w in WORDS)]
    mock = Mock()
    for down in sorted({s.down for s in wanted}):
        gateway = Gateway(mock, down)
        run(*[case_of(s, gateway) for s in wanted if s.down == down])
        gateway.pkd.stop()
    mock.stop()
    end()


main()
