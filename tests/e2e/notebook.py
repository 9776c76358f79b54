#!/usr/bin/env python3
"""The cells of docs/notebooks.md, in IPython:  tests/e2e/notebook.py BUILD [--install]

pandas, jupysql and psycopg are kept in BUILD/sdk/notebook. --install puts them there (pip, from its registry); without them the
cases are skipped.
"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "regress"))

import pg_temp
from pkd_harness import Mock, ROOT, end, expect, program, run

PACKAGES = ["ipython==9.18.1", "jupysql==0.11.1", "pandas==3.1.1", "sqlalchemy==2.1.9", "psycopg[binary]==3.2.13"]
HOME = program("sdk/notebook")
DONE = HOME + "/installed"
PLAY = """
import json, sys, warnings
warnings.simplefilter("ignore")
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
for cell in json.load(sys.stdin):
    done = shell.run_cell(cell)
    if not done.success:
        sys.exit("this cell failed:\\n" + cell)
"""


def install():
    if os.path.exists(DONE):
        return
    try:
        subprocess.run([sys.executable, "-m", "venv", HOME], check=True)
        subprocess.run([HOME + "/bin/pip", "install", "-q", *PACKAGES], check=True)
        open(DONE, "w").close()
    except (OSError, subprocess.CalledProcessError) as e:
        print(f"# notebooks: {e}")


def cells(base, cluster):
    """What the page shows, led to the mock and to the files of this test."""
    with open(os.path.join(ROOT, "docs/notebooks.md"), encoding="utf-8") as f:
        page = f.read()
    found = re.findall(r"```python\n(.*?)```", page, re.S)
    there = {"'env:OPENAI_API_KEY')": f"""'sk-of-a-notebook', '{{\\"custom_host\\": \\"{base}\\"}}')""",
             "/usr/local/lib/pk": program("pk"),
             "postgresql:///shop": f"host={cluster.host} port={cluster.port} user={cluster.user} dbname=postgres",
             '"sql/dbt/': f'"{ROOT}/sql/dbt/'}
    for name, place in there.items():
        expect(any(name in cell for cell in found), f"no cell has {name}")
        found = [cell.replace(name, place) for cell in found]
    return found


def main():
    if "--install" in sys.argv:
        install()
    if not os.path.exists(DONE):
        print("skip notebooks: not installed (make sdk)")
        return
    mock, folder = Mock(), tempfile.mkdtemp(prefix="pk-notebook")
    try:
        with pg_temp.Cluster({"max_worker_processes": "64"}) as cluster:
            def the_cells_of_the_page_run():
                env = {**os.environ, "PK_STORE": folder + "/store.pkdb", "IPYTHONDIR": folder, "HOME": folder,
                       "PLOOMBER_STATS_ENABLED": "false"}
                done = subprocess.run([HOME + "/bin/python", "-c", PLAY], input=json.dumps(cells(mock.base, cluster)), cwd=folder, env=env,
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=300)
                expect(done.returncode == 0, done.stdout.replace("\n", "\n# "))
                # a colour in each engine, the moods, texts in each engine, three sentences
                expect(mock.page("stats")["requests"] == 1 + 1 + 10 + 10 + 10 + 3, f"{mock.page('stats')['requests']} calls\n{done.stdout}")
            run(the_cells_of_the_page_run)
    finally:
        mock.stop()
        shutil.rmtree(folder)
    end()


main()
