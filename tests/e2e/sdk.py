#!/usr/bin/env python3
"""The SDKs that people use, against pkd:  tests/e2e/sdk.py BUILD [--install] [WORD...]

The packages are kept in BUILD/sdk. --install puts them there (pip and npm, from their registries);
without them the cases are skipped. sdk_python*.py and sdk_node*.mjs hold the cases; here is what
they talk to, and what must be in the log afterwards. WORD picks scripts by their names.
"""
import os
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "regress"))

from pkd_harness import *

HOME = program("sdk")
WORDS = [word for word in sys.argv[2:] if word != "--install"]
PYTHON_SDKS = ["openai[realtime]", "anthropic", "portkey-ai", "httpx", "openapi-spec-validator"]
NODE_SDKS = ["openai", "@anthropic-ai/sdk", "portkey-ai"]
LANGUAGES = {
    "python": (HOME + "/venv/bin/python", ["sdk_python.py", "sdk_python_http.py", "sdk_python_control.py"], HOME + "/venv/installed"),
    "node": ("node", ["sdk_node.mjs", "sdk_node_http.mjs"], HOME + "/node/installed"),
}
ADMINISTER = {"python": "sdk_control.py", "node": "sdk_control.mjs"}


def install_python():
    venv = HOME + "/venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    subprocess.run([venv + "/bin/pip", "install", "-q", *PYTHON_SDKS], check=True)


def install_node():
    os.makedirs(HOME + "/node", exist_ok=True)
    subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix",
                    HOME + "/node", *NODE_SDKS], check=True)


def install():
    for language, put in ("python", install_python), ("node", install_node):
        done = LANGUAGES[language][2]
        if os.path.exists(done):
            continue
        try:
            put()
            open(done, "w").close()
        except (OSError, subprocess.CalledProcessError) as e:
            print(f"# {language}: {e}")


def add_key(pkd, slug, provider, base):
    subprocess.run([program("pkd"), "key", "put", slug, provider,
                    json.dumps({"custom_host": base}), "--store", pkd.store],
                   input=b"sk-of-the-provider", check=True, stdout=subprocess.DEVNULL)


def add_prompt(pkd, slug, document):
    subprocess.run([program("pkd"), "prompt", "put", slug, "--store", pkd.store],
                   input=json.dumps(document).encode(), check=True, stdout=subprocess.DEVNULL)


def play(language, pkd, mock):
    """Runs the cases of one language; they print their own lines."""
    interpreter, scripts, done = LANGUAGES[language]
    if not os.path.exists(done) or not shutil.which(interpreter):
        print(f"skip the SDKs in {language}: not installed (make sdk)", flush=True)
        return
    env = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY")}
    env.update(PKD=f"http://127.0.0.1:{pkd.port}", MOCK=mock.base, KEY=pkd.api_key, PK_SDK=HOME)
    codes = {script: subprocess.run([interpreter, os.path.join(HERE, script)], env=env, timeout=240).returncode
             for script in scripts if any(word in script for word in WORDS or [script])}

    def the_log_has_what_the_sdk_said():
        expect(not any(codes.values()), f"ended with: {codes}")
        trace = "trace-" + language
        rows = pkd.rows_within("select user_id, virtual_key, cost_pusd > 0, metadata from pk_log "
                               f"where trace_id = '{trace}'", lambda r: r)
        expect(rows and rows[0][:3] == ("u1", "oai", 1), rows)
        expect(json.loads(rows[0][3]) == {"_user": "u1", "env": "test"}, rows)
        given = pkd.rows_within("select value, weight from pk_feedback_item where trace_id = "
                                f"'{trace}'", lambda r: r)
        expect(given == [(5, 0.5)], given)

    the_log_has_what_the_sdk_said.__name__ += f" ({language})"
    if not WORDS:
        run(the_log_has_what_the_sdk_said)


def administer(language, mock):
    """An administrator's cases of one language, on a new store that has an admin key from its start."""
    interpreter, _, done = LANGUAGES[language]
    script = ADMINISTER[language]
    if not os.path.exists(done) or not shutil.which(interpreter) or not any(w in script for w in WORDS or [script]):
        return
    folder = tempfile.mkdtemp(prefix="pkd-sdk")
    path = os.path.join(folder, "admin.key")
    pkd = Pkd("--admin-key-file", path)
    with open(path) as f:
        env = {**os.environ, "PKD": f"http://127.0.0.1:{pkd.port}", "KEY": f.read().strip(), "MOCK": mock.base, "PK_SDK": HOME}

    def the_sdk_administers():
        code = subprocess.run([interpreter, os.path.join(HERE, script)], env=env, timeout=120).returncode
        expect(code == 0, f"{script} ended with {code}")

    the_sdk_administers.__name__ += f" ({language})"
    run(the_sdk_administers)
    pkd.stop()
    shutil.rmtree(folder)


def main():
    if "--install" in sys.argv:
        install()
    if not any(os.path.exists(done) for _, _, done in LANGUAGES.values()):
        print("skip the SDKs: not installed (make sdk)")
        return
    mock, pkd = Mock(), Pkd()
    add_key(pkd, "oai", "openai", mock.base)
    add_key(pkd, "oai-down", "openai", f"http://127.0.0.1:{mock.port}/m/status-503/v1")
    add_key(pkd, "ant", "anthropic", mock.base)
    add_key(pkd, "ant-down", "anthropic", f"http://127.0.0.1:{mock.port}/m/status-529/v1")
    add_key(pkd, "mis", "mistral-ai", mock.base)
    add_key(pkd, "goo", "google", f"http://127.0.0.1:{mock.port}/v1beta")
    add_key(pkd, "coh", "cohere", f"http://127.0.0.1:{mock.port}")
    add_key(pkd, "voy", "voyage", mock.base)
    add_prompt(pkd, "partial/sign", "-- {{from}}")
    add_prompt(pkd, "pp-greet", {
        "string": json.dumps([{"role": "system", "content": "Be {{tone}}."},
                              {"role": "user", "content": 'Say "{{words}}" {{>sign}}'}]),
        "model": "echo", "parameters": {"temperature": 0.5, "max_tokens": 99}, "virtual_key": "oai"})
    created = subprocess.run([program("pkd"), "apikey", "create", "sdk", '{"scopes": ["call", "admin", "logs"]}', "--store", pkd.store], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
    pkd.api_key = re.search(r"pk-\S+", created)[0]
    until(lambda: pkd.http("GET", "/v1/models")[0] == 401)
    for language in LANGUAGES:
        play(language, pkd, mock)
        administer(language, mock)
    pkd.stop()
    mock.stop()
    end()


main()
