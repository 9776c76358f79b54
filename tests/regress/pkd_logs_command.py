#!/usr/bin/env python3
"""pkd logs: the log from a shell: pkd_logs_command.py BUILD"""
import csv
import io
import select
import subprocess
import threading

from pkd_harness import *

mock = Mock()
pkd = Pkd()
trace = {"x-portkey-trace-id": "trace-1", "x-portkey-metadata": '{"feature": "search", "a": "x=y"}'}
for i in range(3):
    expect(chat(pkd, mock, "echo", f"question {i}", trace)[0] == 200)
time.sleep(0.01)  # ids of the same millisecond are in no order
expect(chat(pkd, mock, "status-503\x1b[31m", "in vain")[0] == 503)
time.sleep(0.01)
expect(chat(pkd, mock, "gpt-4o-mini", 'a "quoted", line\nand more')[0] == 200)
pkd.rows_within("select 1 from pk_log", lambda r: len(r) == 5)


def logs(*words, status=0):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PK_")}
    p = subprocess.run([program("pkd"), "logs", *words, "--store", pkd.store], capture_output=True, text=True,
                       env=clean, timeout=60)
    expect(p.returncode == status, f"{words}: {p.returncode} {p.stderr}")
    return p.stdout if status == 0 else p.stderr


def listed(*words):
    return json.loads(logs("list", "--json", *words))


def the_list_is_for_people_and_for_programs():
    lines = [l.split("\t") for l in logs("list").strip().split("\n")]
    expect("\x1b" not in logs("list"), "a client's text reaches the terminal")
    expect(len(lines) == 5 and all(len(l) == 11 for l in lines), lines)
    expect(lines[0][1:5] == ["success", "200", "openai", "gpt-4o-mini"] and lines[1][1:3] == ["error", "503"], lines)
    rows = listed()
    expect([r["id"] for r in rows] == [l[9] for l in lines] and rows[0]["cost_usd"] > 0, rows[0])
    expect("request" not in rows[0] and "question" not in json.dumps(rows))
    rows = listed("--payloads", "--limit", "1")
    expect(len(rows) == 1 and "quoted" in json.dumps(rows[0]["request"]) and rows[0]["response"]["choices"], rows)


def filters_are_those_of_the_api():
    for words, count in [(["--status", "error"], 1), (["--status", "success,error"], 5), (["--trace", "trace-1"], 3),
                         (["--provider", "openai"], 5), (["--provider", "groq"], 0), (["--model", "gpt-4o-mini"], 1),
                         (["--since", "1h"], 5), (["--metadata", "feature=search"], 3),
                         (["--metadata", "feature=search", "--metadata", "a=x=y"], 3), (["--metadata", "feature=x"], 0),
                         (["--limit", "2"], 2), (["status_code=503"], 1), (["cost_usd_min=0.0000001"], 1),
                         (["operation=chat", "source=http"], 5), (["--trace", "trace-1", "status=error"], 0)]:
        got = len(listed(*words))
        expect(got == count, f"{words}: {got}, not {count}")


def what_is_no_filter_is_named():
    for words, says in [(["list", "frob=1"], "pkd logs list: frob: there is no such filter"),
                        (["list", "--since", "soon"], "--since: must be like"),
                        (["list", "source=htp"], "source: must be of sqlite, postgres, http"),
                        (["list", "frob"], "frob: must be FILTER=VALUE"), (["list", "--metadata", "x"], "--metadata: must be"),
                        (["show", "nothing"], 'there is no call "nothing"')]:
        err = logs(*words, status=1)
        expect(says in err, f"{words}: {err}")
    expect("must be one of jsonl|csv" in logs("export", "--format", "xml", status=2))
    done = subprocess.run([program("pkd"), "key", "list", "--since", "1h"], capture_output=True, text=True)
    expect(done.returncode == 2 and "only pkd logs takes it" in done.stderr, done.stderr)


def one_call_is_shown_whole():
    [row] = listed("--status", "error")
    text = logs("show", row["id"])
    shown = json.loads(text)
    expect(shown == json.loads(logs("show", row["id"], "--json")) and "\n  \"id\": " in text, text[:300])
    expect(shown["id"] == row["id"] and shown["spans"][0]["http_status"] == 503, shown)
    expect("in vain" in json.dumps(shown["request"]["body"]), shown)
    [row] = listed("--model", "gpt-4o-mini")
    expect(json.loads(logs("show", row["id"]))["request"]["body"]["messages"][0]["content"] == 'a "quoted", line\nand more')


def exports_hold_every_call():
    rows = [json.loads(l) for l in logs("export", "--payloads").strip().split("\n")]
    expect([r["id"] for r in rows] == [r["id"] for r in listed()], len(rows))
    expect('a \\"quoted\\", line\\nand more' in json.dumps(rows[0]["request"]), rows[0])
    text = subprocess.run([program("pkd"), "logs", "export", "--format", "csv", "--payloads", "--store", pkd.store],
                          capture_output=True, check=True).stdout.decode()
    table = list(csv.DictReader(io.StringIO(text, newline="")))
    expect([r["id"] for r in table] == [r["id"] for r in rows] and json.loads(table[0]["request"]) == rows[0]["request"])
    expect(table[0]["trace_id"] == rows[0]["trace_id"] and float(table[0]["cost_usd"]) == rows[0]["cost_usd"], table[0])
    expect(len(logs("export", "--limit", "2").strip().split("\n")) == 2)
    expect(logs("export", "--provider", "groq") == "")


def exports_of_many_pages_repeat_nothing():
    """More rows than a page holds: copies of one row, under other ids."""
    before = listed("--limit", "100")
    db = sqlite3.connect(pkd.store, timeout=120)
    names = [r[1] for r in db.execute("pragma table_info(pk_log)") if r[1] != "id"]
    db.create_function("id_of", 1, lambda i: bytes.fromhex("018f000000007000") + i.to_bytes(8, "big"))
    db.execute(f"""with recursive n(i) as (select 1 union all select i + 1 from n where i < 2500)
        insert into pk_log (id, {', '.join(names)}) select id_of(n.i), {', '.join(names)}
        from n, (select * from pk_log order by id limit 1)""")
    db.commit()
    db.close()
    ids = [json.loads(l)["id"] for l in logs("export").strip().split("\n")]
    expect(len(ids) == 2500 + len(before) and len(set(ids)) == len(ids) and ids == sorted(ids, reverse=True), len(ids))


def a_long_export_says_on_a_terminal_how_far_it_is():
    """After the case before there are rows enough to fill the pipe, which is left unread for a while."""
    for terminal in True, False:
        ours, theirs = os.openpty() if terminal else os.pipe()
        p = subprocess.Popen([program("pkd"), "logs", "export", "--store", pkd.store], stdout=subprocess.PIPE, stderr=theirs)
        running.append(p)
        time.sleep(1.3)
        rows = p.stdout.read().count(b"\n")
        expect(p.wait(20 * SLOW) == 0 and rows >= 2500, rows)
        os.set_blocking(ours, False)
        try:
            said = os.read(ours, 65536).decode()
        except BlockingIOError:
            said = ""
        expect((re.search(rf"\r{rows} calls, \d+ a second\r?\n$", said) is not None) if terminal else said == "", repr(said))
        os.close(ours)
        os.close(theirs)


def tail_follows():
    p = subprocess.Popen([program("pkd"), "logs", "tail", "--limit", "2", "--store", pkd.store], stdout=subprocess.PIPE, bufsize=0)
    running.append(p)

    def lines(count):
        got, end = [], time.monotonic() + 10 * SLOW
        while len(got) < count and time.monotonic() < end:
            if select.select([p.stdout], [], [], 0.1)[0]:
                got.append(p.stdout.readline().decode())
        return got

    expect("\terror\t503" in lines(1)[0] and "gpt-4o-mini" in lines(1)[0])
    slow = threading.Thread(target=chat, args=(pkd, mock, "slow-bytes:10ms", "x" * 40))
    slow.start()
    time.sleep(0.2)
    expect(chat(pkd, mock, "echo", "quick")[0] == 200)
    expect("\techo\t" in lines(1)[0])
    slow.join()
    expect("slow-bytes" in lines(1)[0], "a call that began before the one that was told last")
    p.terminate()
    p.wait(10)


run(the_list_is_for_people_and_for_programs, filters_are_those_of_the_api, what_is_no_filter_is_named,
    one_call_is_shown_whole, exports_hold_every_call, tail_follows, exports_of_many_pages_repeat_nothing,
    a_long_export_says_on_a_terminal_how_far_it_is)
expect(pkd.stop() == 0)
mock.stop()
end()
