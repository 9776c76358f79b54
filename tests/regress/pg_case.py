"""What the Postgres tests share: named cases, and a mock provider."""
import json
import sys
import traceback

import pg_temp
from mockd import Mockd

CASES = []


def case(function):
    """A test: its name, with blanks, is what is reported; it fails by raising."""
    CASES.append(function)
    return function


def run_cases(*args):
    """Runs all cases, or those whose names contain a word of the command line."""
    failed, only = 0, [word.replace("_", " ") for word in sys.argv[1:]]
    cases = {f: f.__name__.replace("_", " ") for f in CASES}
    for word in only:
        if not any(word in name for name in cases.values()):
            print(f"not ok no case is called {word}", flush=True)
            failed += 1
    for function, name in cases.items():
        if only and not any(word in name for word in only):
            continue
        try:
            outcome = function(*args)
            print(outcome if outcome else "ok " + name, flush=True)
        except Exception:
            failed += 1
            print("not ok " + name, flush=True)
            print("# " + traceback.format_exc().replace("\n", "\n# "), flush=True)
    return failed


def main(setup=None, **settings):
    """Runs the cases with a mock provider and a cluster of these settings; with `setup`, SQL, also with a connection on
    which that was run. Shows the server's log when one failed. The program's exit status."""
    with Mock() as mock, pg_temp.Cluster(settings) as pg:
        if setup is None:
            failed = run_cases(pg, mock)
        else:
            with pg.connect() as k:
                k.query(setup)
                failed = run_cases(pg, mock, k)
        if failed:
            print("# " + pg.log_text()[-6000:].replace("\n", "\n# "))
    return failed != 0


def skip(name, why):
    return f"skip {name}: {why}"


def expect(held, *what):
    if not held:
        raise AssertionError(" ".join(map(str, what)))


def expect_error(sqlstate, call, *words):
    try:
        call()
    except pg_temp.Error as e:
        text = " ".join(filter(None, (e.message, e.detail, e.hint)))
        expect(e.sqlstate == sqlstate, "sqlstate", e.sqlstate, "not", sqlstate, text)
        for word in words:
            expect(word in text, repr(word), "is not in", repr(text))
        return e
    raise AssertionError(f"no error {sqlstate}")


class Mock(Mockd):
    def __init__(self):
        super().__init__(pg_temp.BUILD)
        self.url = self.origin + "/v1"

    def config(self, **more):
        return json.dumps({"provider": "openai", "api_key": "sk-test", "custom_host": self.url, **more})

    def reset(self):
        self.page("reset", "POST")


def model(name, **more):
    return json.dumps({"model": name, **more})
