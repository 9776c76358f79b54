#!/usr/bin/env python3
"""pkd map: a CSV file with answers: pkd_map.py BUILD"""
import csv
import io
import pty
import re
import stat

from pkd_harness import *

mock = Mock()
folder = tempfile.mkdtemp(prefix="pkd")
STORE = ["--store", os.path.join(folder, "t.pkdb")]
CLEAN = {k: v for k, v in os.environ.items() if not k.endswith("_API_KEY") and not k.startswith("PK_")}


def inline(model="gpt-4o-mini", path=""):
    return json.dumps({"provider": "openai", "api_key": "sk-1", "custom_host": f"http://127.0.0.1:{mock.port}{path}/v1",
                       "override_params": {"model": model}})


def put(name, text):
    path = os.path.join(folder, name)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


def begin(*words, **how):
    return subprocess.Popen([program("pkd"), "map", *words, *STORE], text=True, errors="replace", env=CLEAN, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, **how)


def pkd_map(*words, stdin=None):
    p = begin(*words, stdin=subprocess.PIPE)
    out, err = p.communicate(stdin, timeout=60)
    return p.returncode, out, err


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def requests():
    return mock.page("stats")["requests"]


def each_row_comes_back_with_its_answer():
    f = put("a.csv", b'\xef\xbb\xbfid,body\r\n1,"late, very ""late"""\r\n2,"two\nlines"\r\n3, blank \r\n4,"late, very ""late"""\r\n')
    before = requests()
    code, out, err = pkd_map(f, "--config", inline(), "--prompt", "{{body}}")
    expect(code == 0, err)
    got = rows(out)
    expect([(r["id"], r["body"], r["answer"], r["error"]) for r in got] == [
        ("1", 'late, very "late"', 'late, very "late"', ""), ("2", "two\nlines", "two\nlines", ""),
        ("3", " blank ", " blank ", ""), ("4", 'late, very "late"', 'late, very "late"', "")], got)
    expect(requests() - before == 3, "equal rows are one call")
    expect("rows 4, calls 3" in err and "cost $0.0" in err, err)
    log = subprocess.run([program("pkd"), "logs", "list", "--json", *STORE], capture_output=True, text=True, env=CLEAN)
    expect(log.stdout.count('"trace_id"') >= 3, log.stdout[:300])


def what_was_answered_is_not_asked_again():
    f = put("many.csv", "body\n" + "".join(f"row {i}\n" for i in range(60)))
    out = os.path.join(folder, "many.out.csv")
    words = [f, "--config", inline(path="/d/50"), "--prompt", "Say {{body}}", "--concurrency", "4", "--out", out]
    before = requests()
    for wound in (signal.SIGKILL, signal.SIGINT, signal.SIGKILL):
        p = begin(*words)
        asked = requests()
        until(lambda: requests() > asked + 6)
        p.send_signal(wound)
        p.communicate(timeout=20)
        expect(p.returncode != 0 and not os.path.exists(out))
    code, _, err = pkd_map(*words)
    expect(code == 0 and len(rows(open(out, newline="").read())) == 60, err)
    expect(not os.path.exists(out + ".part"))
    twice = requests() - before - 60
    expect(0 <= twice <= 2 * 3 * 4, f"{twice} were paid for twice")
    asked = requests()
    expect(pkd_map(*words)[0] == 0 and requests() == asked, "all is in the cache")


def a_failed_row_says_why_and_is_asked_again():
    f = put("f.csv", "id,body\n1,a\n2\n")
    code, out, err = pkd_map(f, "--config", inline(), "--prompt", "{{body}}!")
    got = rows(out)
    expect(code == 1 and got[0]["answer"] == "a!" and "1 fields" in got[1]["error"], got)
    code, out, _ = pkd_map(f, "--config", inline("status-401"), "--prompt", "{{body}}?")
    expect(code == 1 and "401" in rows(out)[0]["error"], out)
    code, out, _ = pkd_map("-", "--config", inline(), "--prompt", "{{body}}", stdin="body\nfrom stdin")
    expect(code == 0 and rows(out)[0]["answer"] == "from stdin", out)


def bounds_hold():
    f = put("b.csv", "body\n" + "".join(f"bound {i}\n" for i in range(30)))
    code, out, err = pkd_map(f, "--config", inline(), "--prompt", "{{body}}", "--max-cost", "0.000005", "--concurrency", "2")
    got = rows(out)
    expect(code == 1 and len(got) == 30 and 0 < sum(r["error"] == "" for r in got) < 30, err)
    expect("max_cost" in got[-1]["error"], got[-1])


def what_is_wrong_is_said_before_a_call():
    f = put("w.csv", "id,body\n1,a\n")
    before = requests()
    for words, word in (([f], "--config and --prompt"), ([], "one FILE.csv"),
                        ([f, "--config", inline(), "--prompt", "{{text}}"], "text"),
                        ([f, "--config", inline(), "--prompt", "{{body"], "--prompt"),
                        ([f, "--config", "nowhere", "--prompt", "{{body}}"], "nowhere"),
                        ([f + "x", "--config", inline(), "--prompt", "x"], "No such file"),
                        ([f, "--config", inline(), "--prompt", "x", "--max-cost", "much"], "--max-cost: must be dollars"),
                        ([f, "--config", inline(), "--prompt", "x", "--concurrency", "2000"], "--concurrency: must be a number from 1 to 1024"),
                        ([f, "--config", inline(), "--prompt", "x", "--concurrency", "0"], "--concurrency: must be a number from 1 to 1024"),
                        ([f, "--config", inline(), "--prompt", "{{body}}", "--out", f], "--out: " + f + ": is the file that is read"),
                        ([put("p.csv.part", "body\nx\n"), "--config", inline(), "--prompt", "x", "--out",
                          os.path.join(folder, "p.csv")], "is the file that is read"),
                        ([folder, "--config", inline(), "--prompt", "x"], "Is a directory"),
                        ([f, "--config", inline(), "--prompt", "x", "--out", "/nowhere/x.csv"], "--out"),
                        ([put("e.csv", ""), "--config", inline(), "--prompt", "x"], "no first row"),
                        ([put("q.csv", 'a\n"b" c\n'), "--config", inline(), "--prompt", "x"], "row 2: a quote"),
                        ([put("t.csv", "a,answer\n1,2\n"), "--config", inline(), "--prompt", "x"], "already")):
        code, _, err = pkd_map(*words)
        expect(code in (1, 2) and word in err, (words[1:], code, err))
    code, out, _ = pkd_map(put("u.csv", b"body\n\xff\n"), "--config", inline(), "--prompt", "{{body}}")
    expect(code == 1 and "UTF-8" in out, out)
    expect(requests() == before)
    expect(open(f).read() == "id,body\n1,a\n" and os.path.exists(os.path.join(folder, "p.csv.part")))
    p = subprocess.run([program("pkd"), "key", "list", "--max-cost", "1", *STORE], capture_output=True, text=True, env=CLEAN)
    expect(p.returncode == 2 and "only pkd map takes it" in p.stderr, p.stderr)


def an_output_that_takes_no_more_ends_it():
    f = put("full.csv", "body\n" + "".join(f"{i} {'long' * 100}\n" for i in range(300)))
    words = [f, "--config", inline(path="/d/20"), "--prompt", "{{body}}", "--concurrency", "4"]
    before = requests()
    code, out, err = pkd_map(*words, "--out", "/dev/full")
    expect(code == 1 and "--out: /dev/full: No space left" in err and requests() - before < 200, (err, requests() - before))
    expect(stat.S_ISCHR(os.stat("/dev/full").st_mode) and not os.path.exists("/dev/full.part"))
    p = begin(*words, stdin=subprocess.DEVNULL)
    p.stdout.read(1)
    p.stdout.close()
    err = p.stderr.read()
    expect(p.wait(20) == 1 and "standard output: Broken pipe" in err, err)
    with open("/dev/full", "w") as full:
        for words in ["--version"], ["--help"], ["key", "--help"], ["completion", "bash"], ["manual", "man"], ["doctor", *STORE]:
            p = subprocess.run([program("pkd"), *words], stdout=full, stderr=subprocess.PIPE, text=True, env=CLEAN)
            expect(p.returncode == 1 and re.search("standard output: (No space left|not all of it)", p.stderr), (words, p.returncode, p.stderr))


def a_terminal_sees_how_far_it_is():
    f = put("t2.csv", "body\n" + "".join(f"seen {i}\n" for i in range(60)))
    ours, theirs = pty.openpty()
    p = subprocess.Popen([program("pkd"), "map", f, "--config", inline(path="/d/100"), "--prompt", "{{body}}", "--concurrency",
                          "4", "--out", os.path.join(folder, "t2.out.csv"), *STORE], stderr=theirs, env=CLEAN)
    p.wait(30 * SLOW)
    os.close(theirs)
    seen = os.read(ours, 65536).decode()
    os.close(ours)
    expect(seen.count("\r\x1b[K") >= 2 and "rows 60, calls 60" in seen and "rows a second" in seen, repr(seen))


def others_see_how_far_it_is():
    f = put("t3.csv", "body\n" + "".join(f"other {i}\n" for i in range(60)))
    p = begin(f, "--config", inline(path=f"/d/{300 * SLOW}"), "--prompt", "{{body}}", "--concurrency", "4", "--out",
              os.path.join(folder, "t3.out.csv"))
    seen = []

    def look():
        for one in json.loads(subprocess.run([program("pkd"), "jobs", "running", "--json", *STORE], text=True, env=CLEAN,
                                             capture_output=True, check=True).stdout):
            expect((one["kind"], one["pid"], one["failed"], one["cost_usd"] > 0) == ("pkd map", p.pid, 0, one["done"] > 0), one)
            seen.append(one["done"])
        return p.poll() is not None
    expect(until(look) and len(set(seen)) >= 2 and seen == sorted(seen), seen)
    before = len(seen)
    look()
    expect(len(seen) == before, "it is over")
    p.communicate()


run(each_row_comes_back_with_its_answer, what_was_answered_is_not_asked_again, a_failed_row_says_why_and_is_asked_again,
    bounds_hold, what_is_wrong_is_said_before_a_call, an_output_that_takes_no_more_ends_it, a_terminal_sees_how_far_it_is,
    others_see_how_far_it_is)
mock.stop()
end()
