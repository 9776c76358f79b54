"""The part that measures the log writer."""
import json
import subprocess
import tempfile

from rig import program


def sqlite(bench):
    folder = tempfile.mkdtemp(prefix="writer", dir=bench.tmp)
    out = subprocess.run([program("bench-writer"), folder], check=True, capture_output=True, text=True).stdout
    for got in map(json.loads, out.splitlines()):
        name = "SQLite, " + got["traffic"] + " texts: "
        bench.figure(name + "rows per second", got["rows_per_s"], ">= 20000")
        bench.figure(name + "CPU of the writer, us per row", got["cpu_us"],
                     note=f"{got['cpu_us'] / got['bare_cpu_us']:.2f} x a bare INSERT")
        bench.figure(name + "bytes per row with indexes", got["row_bytes"], "<= 400",
                     note=f"and {got['payload_bytes']:.0f} of texts")


def writer(bench):
    """Log writer: 500 bytes asked, 600 answered, one attempt a row, beside a bare INSERT of the same columns"""
    sqlite(bench)


PARTS = {"writer": writer}
