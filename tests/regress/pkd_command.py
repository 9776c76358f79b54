#!/usr/bin/env python3
"""What the command line says and prints: pkd_command.py BUILD"""
import subprocess

from pkd_harness import *

OPTIONS = [m for m in re.finditer(r'^(OPTION|COMMON|FILTER|MAPPED)\(\w+, +\w+, +"([\w-]+)", +(?:"(\w+)"|NULL)',
                                  open(os.path.join(ROOT, "sidecar/options.def")).read(), re.M)]
folder = tempfile.mkdtemp(prefix="pkd")
STORE = ["--store", os.path.join(folder, "t.pkdb")]


def pkd(*words, stdin=None, **variables):
    clean = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("PK_")}
    p = subprocess.run([program("pkd"), *words], input=stdin, capture_output=True, text=True, env={**clean, **variables}, timeout=60)
    return p.returncode, p.stdout, p.stderr


def commands():
    """{command: [verb]} as --help has them."""
    found = {}
    for name in re.findall(r"^  (\w+) +\S", pkd("--help")[1].split("\noptions")[0], re.M):
        out = pkd(name, "--help")[1]
        found[name] = re.findall(r"^  (\w+)", out.split("\nverbs\n")[1].split("\n\n")[0], re.M) if "\nverbs\n" in out else []
    return found


def every_command_and_verb_has_help():
    all_of_them = commands()
    expect({"serve", "doctor", "key", "provider", "apikey", "limit", "config", "guardrail", "prompt", "price",
            "completion", "manual"} <= set(all_of_them), all_of_them)
    expect(all_of_them["key"] == ["put", "rotate", "list", "reseal", "revoke"], all_of_them)
    for command, verbs in all_of_them.items():
        for words in [[command]] + [[command, v] for v in verbs]:
            code, out, err = pkd(*words, "--help")
            expect(code == 0 and err == "" and out.startswith("usage: pkd " + " ".join(words)), words)
            expect("\nexample\n  pkd " in out or "| pkd " in out, f"{words}: no example")
            expect("\nexit status: 0" in out and "--help" in out, words)
    expect("--listen" in pkd("serve", "--help")[1] and "--listen" not in pkd("key", "put", "--help")[1])


def what_is_asked_for_wrongly_ends_with_2():
    for words, says in [(["key"], "usage: pkd key put"), (["key", "frob"], "pkd key: frob: no such verb"),
                        (["key", "put", "a"], "pkd key put: takes SLUG PROVIDER"),
                        (["key", "list", "x"], "pkd key list: takes nothing more"),
                        (["frob"], "pkd: frob: no such command"), (["completion"], "bash|zsh|fish"),
                        (["completion", "csh"], "bash|zsh|fish"), (["manual", "pdf"], "man|markdown"),
                        (["key", "list", "--frob"], "pkd key: --frob: unknown option"),
                        (["key", "list", "--json=1"], "--json: takes no value"),
                        (["key", "list", "--store"], "--store: needs a value"), ([], "usage: pkd")]:
        code, out, err = pkd(*words)
        expect(code == 2 and out == "" and says in err, f"{words}: {code} {err}")
    code, out, err = pkd("config", "get", "absent", *STORE)
    expect(code == 1 and out == "" and "pkd config get: absent: no such config" in err, err)
    code, out, err = pkd("config", "list", "--store", "/proc/nowhere/x.pkdb")
    expect(code == 1 and "/proc/nowhere" in err, err)
    for words, says in [(["key", "list", "--store", ""], "--store: must not be empty"),
                        (["key", "list", "--store", "mysql://x/y"], "--store: must be a path, or postgresql://..., not mysql://x/y"),
                        (["price", "import", "pk", "/tmp", *STORE], "/tmp: Is a directory"),
                        (["logs", "list", "--since", "soon", *STORE], "pkd logs list: --since: must be like"),
                        (["serve", "--upstream-ca", "/nowhere", *STORE], "--upstream-ca: /nowhere: No such file")]:
        code, out, err = pkd(*words)
        expect(code == 1 and out == "" and says in err, f"{words}: {code} {err}")
    for words, says in [(["serve", "--threads", "257"], "--threads: must be a number from 1 to 256"),
                        (["serve", "--allow-host", "a b"], '--allow-host: must be a name, an address, "*.example.com", or'),
                        (["serve", "--allow-host", "a,http://b/"], 'not "http://b/"; repeat it for more'),
                        (["serve", "--server-name", ""], "--server-name: must be a name"),
                        (["serve", "--head-timeout", "1m"], "--head-timeout: must be milliseconds from 1 to"),
                        (["jobs", "list", "x"], "takes nothing more, not 1 word\nusage: pkd jobs list\n")]:
        code, out, err = pkd(*words)
        expect(code == 2 and out == "" and says in err, f"{words}: {code} {err}")
    code, out, err = pkd("serve", PK_THREADS="many")
    expect(code == 2 and err == "pkd serve: PK_THREADS: must be a number from 1 to 256\n", err)
    code, out, err = pkd("serve", PK_ALLOWED_HOSTS="a *.b.example:443, c/")
    expect(code == 2 and 'PK_ALLOWED_HOSTS: must be a name' in err and 'not "c/"\n' in err, err)
    expect("usage: pkd map FILE.csv [OPTION...]\n" in pkd("map", "--help")[1])


def results_are_json_when_asked():
    for words, stdin, want in [
            (["key", "put", "a", "openai"], "sk-secret-1", {"slug": "a"}),
            (["key", "rotate", "a"], "sk-secret-2", {"slug": "a", "rotated": True}),
            (["key", "revoke", "a"], None, {"slug": "a", "revoked": True}),
            (["key", "revoke", "a"], None, None),
            (["provider", "put", "ours"], '{"base_url": "https://llm.example.com/v1"}', {"name": "ours"}),
            (["provider", "delete", "ours"], None, {"name": "ours", "deleted": True}),
            (["limit", "put", "five"], '{"counts": "cost", "amount": 5, "per": "day"}', {"slug": "five"}),
            (["limit", "delete", "five"], None, {"slug": "five", "deleted": True}),
            (["config", "put", "c"], '{"provider": "openai"}', {"slug": "c", "version": 1}),
            (["config", "put", "c"], '{"provider": "groq"}', {"slug": "c", "version": 2}),
            (["config", "delete", "c"], None, {"slug": "c", "deleted": True}),
            (["guardrail", "put", "g"], '{"checks": [{"id": "portkey.pii"}]}', {"slug": "g", "version": 1}),
            (["guardrail", "delete", "g"], None, {"slug": "g", "deleted": True}),
            (["prompt", "put", "p\"x"], "Hello", None),
            (["prompt", "put", "p"], "Hello {{name}}", {"slug": "p", "version": 1}),
            (["prompt", "publish", "p", "1"], None, {"slug": "p", "published": True}),
            (["prompt", "delete", "p"], None, {"slug": "p", "deleted": True}),
            (["cache", "purge"], None, {"purged": 0}), (["cache", "purge", '{"all": true}'], None, {"purged": 0}),
            (["cache", "size"], None, {"entries": 0, "bytes": 0}), (["cache", "purge", '{"everything": 1}'], None, None),
            (["feedback", "put", "trace", "11"], None, None), (["feedback", "put", "trace", "x"], None, None),
            (["feedback", "put", "trace", "5", "x"], None, None), (["feedback", "put", "trace", "5", "2"], None, None),
            (["feedback", "put", "trace", "5", "0.5", "[]"], None, None),
            (["apikey", "revoke", "nobody"], None, None)]:
        code, out, err = pkd(*words, "--json", *STORE, stdin=stdin)
        if want is None:
            expect(code == 1 and out == "" and err.startswith("pkd " + " ".join(words[:2]) + ": "), f"{words}: {out} {err}")
        else:
            expect(code == 0 and err == "" and json.loads(out) == want, f"{words}: {out} {err}")
    code, out, _ = pkd("apikey", "create", "shop", "--json", *STORE)
    made = json.loads(out)
    expect(made["name"] == "shop" and made["key"].startswith("pk-"), out)
    expect(pkd("apikey", "rotate", "shop", *STORE)[1].startswith("pk-"))
    code, out, err = pkd("feedback", "put", *STORE, "--", "trace-9", "-3", "0.5", '{"why": "made up"}')
    expect(code == 0 and len(out.strip()) == 36, err)
    db = sqlite3.connect(STORE[1])
    expect(db.execute("select trace_id, value, weight from pk_feedback_item").fetchall() == [("trace-9", -3, 0.5)])
    db.close()


def lists_are_json_when_asked():
    for noun in "key", "provider", "apikey", "limit", "config", "guardrail", "prompt", "price":
        code, out, err = pkd(noun, "list", "--json", *STORE)
        expect(code == 0 and err == "" and isinstance(json.loads(out), list), f"{noun}: {out[:200]} {err}")
    expect(json.loads(pkd("key", "list", "--json", *STORE)[1]) == [{"slug": "a", "provider": "openai", "status": "revoked"}])
    expect(isinstance(json.loads(pkd("doctor", "--json", *STORE)[1]), list))


def secrets_do_not_come_back():
    for words in ["key", "list"], ["apikey", "list"], ["doctor"]:
        out = "".join(pkd(*words, *STORE)[1:])
        expect("sk-secret" not in out, out)


def health_is_asked_for():
    p = Pkd("--unix", os.path.join(folder, "sock"))
    for where in ["--listen", f"127.0.0.1:{p.port}"], ["--listen", f"0.0.0.0:{p.port}"], \
            ["--listen", "none", "--unix", os.path.join(folder, "sock")]:
        code, out, err = pkd("health", *where)
        expect(code == 0 and json.loads(out)["status"] == "ok" and err == "", f"{where}: {out} {err}")
    expect(p.stop() == 0)
    code, out, err = pkd("health", "--listen", f"127.0.0.1:{p.port}")
    expect(code == 1 and out == "" and err.startswith("pkd health: no answer: "), err)
    expect(pkd("health", "now")[0] == 2 and pkd("health", "--listen", "nowhere")[0] == 2)
    s = socket.create_server(("127.0.0.1", 0))  # that never answers
    began = time.monotonic()
    code, _, err = pkd("health", "--listen", "127.0.0.1:%d" % s.getsockname()[1])
    expect(code == 1 and "too long" in err and time.monotonic() - began < 30 * SLOW, err)


def shells_are_served():
    for shell in "bash", "zsh", "fish":
        code, script, err = pkd("completion", shell)
        expect(code == 0 and err == "", err)
        for command, verbs in commands().items():
            for word in [command] + verbs:
                expect(re.search(rf"\b{word}\b", script), f"{shell}: {word}")
        for option in OPTIONS:
            expect(re.search(rf"(--|-l ){option[2]}\b", script), f"{shell}: {option[2]}")
        if shutil.which(shell):
            path = os.path.join(folder, "script." + shell)
            with open(path, "w") as f:
                f.write(script)
            done = subprocess.run([shell, "-n", path], capture_output=True, text=True)
            expect(done.returncode == 0 and done.stderr == "", done.stderr)


def bash_completes():
    script = pkd("completion", "bash")[1] + """
try() { COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _pkd; echo "${COMPREPLY[*]}"; }
try pkd gu; try pkd prompt pub; try pkd key put --js; try pkd serve --log-payloads ''; try pkd serve --listen ''
"""
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True)
    expect(done.stdout.split("\n") == ["guardrail", "publish", "--json", "full hash none", "", ""], done)


def fish_completes():
    if not shutil.which("fish"):
        raise Skip("no fish")
    script = pkd("completion", "fish")[1] + "\ncomplete -C 'pkd gu'\ncomplete -C 'pkd prompt pub'\n"
    done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True,
                          env={**os.environ, "HOME": folder})
    expect([l.split("\t")[0] for l in done.stdout.split("\n")] == ["guardrail", "publish", ""], done)


def the_manual_is_whole_and_well_formed():
    code, page, err = pkd("manual", "man")
    expect(code == 0 and err == "", err)
    plain = page.replace("\\-", "-").replace("\\fI", "").replace("\\fR", "").replace("\\fB", "")
    for command, verbs in commands().items():
        for verb in verbs:
            expect(f"pkd {command} {verb}" in plain, f"{command} {verb}")
    for option in OPTIONS:
        expect(f"--{option[2]}" in plain and (not option[3] or option[3] in plain), option[2])
    path = os.path.join(folder, "pkd.1")
    with open(path, "w") as f:
        f.write(page)
    if shutil.which("mandoc"):
        done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", path], capture_output=True, text=True)
        expect(done.returncode == 0 and done.stdout == "", done.stdout)
    if shutil.which("man"):
        done = subprocess.run(["man", "--warnings", "-l", path], capture_output=True, text=True,
                              env={**os.environ, "MANPAGER": "cat", "LC_ALL": "C.UTF-8"})
        expect(done.returncode == 0 and done.stderr == "" and "pkd key put SLUG" in done.stdout, done.stderr)


def the_page_of_the_command_line_is_up_to_date():
    with open(os.path.join(ROOT, "docs/cli.md"), encoding="utf-8") as f:
        expect(f.read() == pkd("manual", "markdown")[1], "run: build/pkd manual markdown > docs/cli.md")


run(every_command_and_verb_has_help, what_is_asked_for_wrongly_ends_with_2, results_are_json_when_asked,
    lists_are_json_when_asked, secrets_do_not_come_back, health_is_asked_for, shells_are_served, bash_completes, fish_completes,
    the_manual_is_whole_and_well_formed, the_page_of_the_command_line_is_up_to_date)
shutil.rmtree(folder)
end()
