#!/usr/bin/env python3
"""A throw-away Postgres with the extension pk at hand.

    tests/regress/pg_temp.py run [--set NAME=VALUE]... COMMAND [ARGUMENT...]
        starts a server, runs the command with PGHOST, PGPORT, PGUSER and PGDATABASE set, stops it
    tests/regress/pg_temp.py start
        starts a server, prints its settings as NAME=value lines, stops it when stdin ends

In Python: `with pg_temp.Cluster() as pg:` and then pg.connect() or pg.psql().

The server listens on a unix socket in its own temporary folder and nowhere else. It runs as the
current user, or as `postgres` when root calls. The extension is installed into that folder too, so
the system is not touched. BUILD names the build folder (default build), PK_PG_BUILD that of the extension when
it is another one, PG_CONFIG the Postgres. PK_PG_OWN says that this is there for tests alone: the extension is installed
into it, as a server needs it that has neither Debian's extension_destdir nor 18's extension_control_path.
"""
import ctypes
import ctypes.util
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PG_CONFIG = os.environ.get("PG_CONFIG", "pg_config")
BUILD = os.path.abspath(os.path.join(ROOT, os.environ.get("BUILD", "build")))
PG_BUILD = os.path.abspath(os.path.join(ROOT, os.environ.get("PK_PG_BUILD", BUILD)))
SETTINGS = {
    "listen_addresses": "", "fsync": "off", "shared_buffers": "32MB", "max_connections": "120",
    "log_min_messages": "warning", "log_line_prefix": "%m [%p] %b ", "autovacuum": "off",
    "max_wal_senders": "4", "wal_level": "replica", "timezone": "UTC",
}


def pg_config(what):
    return subprocess.run([PG_CONFIG, "--" + what], check=True, capture_output=True,
                          text=True).stdout.strip()


def as_server_user(command):
    """Postgres refuses to run as root: root asks the user postgres to."""
    if os.geteuid() != 0:
        return command
    return ["runuser", "-u", "postgres", "--"] + command


def quoted(value):
    return "'" + str(value).replace("\\", "\\\\").replace("'", "''") + "'"


# --- libpq, as much of it as tests need ------------------------------------------------------

class Error(Exception):
    """An error of the server: .sqlstate, .message, .detail, .hint."""

    def __init__(self, message, sqlstate="", detail=None, hint=None):
        super().__init__(f"{sqlstate}: {message}")
        self.message, self.sqlstate, self.detail, self.hint = message, sqlstate, detail, hint


class Connection:
    """One session. Values go in and come out as text; NULL is None."""
    lib = None

    def __init__(self, **params):
        self.lib = Connection.lib = Connection.lib or load_libpq()
        info = " ".join(f"{k}={quoted(v)}" for k, v in params.items())
        self.conn = self.lib.PQconnectdb(info.encode())
        if self.lib.PQstatus(self.conn) != 0:
            message = self.lib.PQerrorMessage(self.conn).decode().strip()
            self.close()
            raise Error(message, "08006")

    def close(self):
        if self.conn:
            self.lib.PQfinish(self.conn)
            self.conn = None

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def pid(self):
        return self.lib.PQbackendPID(self.conn)

    def listen(self):
        """The list to which what the server tells (NOTICE, WARNING) is added from now on."""
        told = []
        self.processor = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_char_p)(lambda _, text: told.append(text.decode()))
        self.lib.PQsetNoticeProcessor.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p]
        self.lib.PQsetNoticeProcessor(self.conn, ctypes.cast(self.processor, ctypes.c_void_p), None)
        return told

    def query(self, sql, *args):
        """The rows of a statement; several statements may be given when there are no arguments."""
        if args:
            values = (ctypes.c_char_p * len(args))(
                *[None if a is None else str(a).encode() for a in args])
            return self.rows(self.lib.PQexecParams(self.conn, sql.encode(), len(args), None, values,
                                                   None, None, 0))
        return self.rows(self.lib.PQexec(self.conn, sql.encode()))

    def value(self, sql, *args):
        rows = self.query(sql, *args)
        return rows[0][0] if rows else None

    def send(self, sql):
        if not self.lib.PQsendQuery(self.conn, sql.encode()):
            raise Error(self.lib.PQerrorMessage(self.conn).decode().strip(), "08006")

    def finish(self):
        """The rows of what send() began."""
        rows, error = [], None
        while True:
            result = self.lib.PQgetResult(self.conn)
            if not result:
                break
            try:
                rows = self.rows(result)
            except Error as e:
                error = error or e
        if error:
            raise error
        return rows

    def cancel(self):
        handle = self.lib.PQgetCancel(self.conn)
        text = ctypes.create_string_buffer(256)
        self.lib.PQcancel(handle, text, 256)
        self.lib.PQfreeCancel(handle)

    def rows(self, result):
        lib = self.lib
        try:
            if lib.PQresultStatus(result) in (0, 1, 2, 9):
                return [[self.cell(result, i, j) for j in range(lib.PQnfields(result))]
                        for i in range(lib.PQntuples(result))]
            field = {c: lib.PQresultErrorField(result, ord(c)) for c in "CMDH"}
            field = {c: v.decode() if v else None for c, v in field.items()}
            raise Error(field["M"] or lib.PQerrorMessage(self.conn).decode().strip(),
                        field["C"] or "08006", field["D"], field["H"])
        finally:
            lib.PQclear(result)

    def cell(self, result, i, j):
        if self.lib.PQgetisnull(result, i, j):
            return None
        return self.lib.PQgetvalue(result, i, j).decode()


def load_libpq():
    lib = ctypes.CDLL(ctypes.util.find_library("pq"))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    strings = ctypes.POINTER(ctypes.c_char_p)
    for name, result, args in (
            ("PQconnectdb", pointer, [text]), ("PQstatus", number, [pointer]),
            ("PQerrorMessage", text, [pointer]), ("PQfinish", None, [pointer]),
            ("PQbackendPID", number, [pointer]), ("PQexec", pointer, [pointer, text]),
            ("PQexecParams", pointer, [pointer, text, number, pointer, strings, pointer, pointer, number]),
            ("PQsendQuery", number, [pointer, text]), ("PQgetResult", pointer, [pointer]),
            ("PQgetCancel", pointer, [pointer]), ("PQcancel", number, [pointer, text, number]),
            ("PQfreeCancel", None, [pointer]), ("PQresultStatus", number, [pointer]),
            ("PQresultErrorField", text, [pointer, number]), ("PQclear", None, [pointer]),
            ("PQnfields", number, [pointer]), ("PQntuples", number, [pointer]),
            ("PQgetisnull", number, [pointer, number, number]),
            ("PQgetvalue", text, [pointer, number, number])):
        function = getattr(lib, name)
        function.restype, function.argtypes = result, args
    return lib


# --- the server --------------------------------------------------------------------------------

class Cluster:
    def __init__(self, settings=None, env=None, extension=True):
        self.settings = {**SETTINGS, **(settings or {})}
        self.env = {**os.environ, **(env or {}), "LC_ALL": "C"}
        self.extension = extension
        self.port = 5432
        self.user = "postgres"
        self.bin = pg_config("bindir")
        self.running = False
        self.dir = tempfile.mkdtemp(prefix="pkpg-")
        os.chmod(self.dir, 0o755)
        self.data = os.path.join(self.dir, "data")
        self.log = os.path.join(self.dir, "log")
        self.host = os.path.join(self.dir, "run")
        self.replicas = []

    def __enter__(self):
        try:
            self.create()
            self.start()
        except BaseException:
            self.destroy()
            raise
        return self

    def __exit__(self, *unused):
        self.destroy()

    def own_folder(self, path):
        os.mkdir(path, 0o700)
        if os.geteuid() == 0:
            server = pwd.getpwnam("postgres")
            os.chown(path, server.pw_uid, server.pw_gid)
        os.chmod(path, 0o755 if path == self.host else 0o700)

    def create(self):
        if self.extension:
            self.settings.update(install(os.path.join(self.dir, "installed")))
        self.own_folder(self.host)
        self.own_folder(self.data)
        self.run([self.bin + "/initdb", "-D", self.data, "-U", self.user, "-A", "trust", "-N",
                  "-E", "UTF8", "--locale=C"])
        self.configure(self.settings)

    def configure(self, settings):
        """Appends to postgresql.conf; reload() or restart() makes it count."""
        self.settings.update(settings)
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as conf:
            for name, value in settings.items():
                conf.write(f"{name} = {quoted(value)}\n")
            conf.write(f"unix_socket_directories = {quoted(self.host)}\nport = {self.port}\n")

    def run(self, command, check=True):
        done = subprocess.run(as_server_user(command), env=self.env, cwd="/", text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT)
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.stdout}\n{self.log_text()[-3000:]}")
        return done

    def start(self):
        self.run([self.bin + "/pg_ctl", "-D", self.data, "-l", os.path.join(self.data, "server.log"),
                  "-w", "-t", "300", "start"])
        self.running = True

    def stop(self, mode="fast", check=True):
        self.run([self.bin + "/pg_ctl", "-D", self.data, "-m", mode, "-w", "-t", "300", "stop"], check)
        self.running = False

    def restart(self):
        self.stop()
        self.start()

    def reload(self):
        self.run([self.bin + "/pg_ctl", "-D", self.data, "reload"])

    def log_text(self):
        try:
            with open(os.path.join(self.data, "server.log"), encoding="utf-8", errors="replace") as f:
                return f.read()
        except OSError:
            return ""

    def replica(self):
        """A running hot standby of this server; goes with it."""
        other = Cluster(extension=False)
        self.replicas.append(other)
        other.bin, other.settings = self.bin, dict(self.settings)
        other.own_folder(other.host)
        other.own_folder(other.data)
        self.run([self.bin + "/pg_basebackup", "-D", other.data, "-h", self.host, "-U", self.user,
                  "-R", "-c", "fast", "-X", "stream"])
        other.configure({})
        other.start()
        return other

    def promote(self):
        self.run([self.bin + "/pg_ctl", "-D", self.data, "-w", "promote"])

    def destroy(self):
        for replica in self.replicas:
            replica.destroy()
        if os.path.exists(os.path.join(self.data, "postmaster.pid")):
            self.stop("immediate", check=False)
        shutil.rmtree(self.dir, ignore_errors=True)

    def connect(self, dbname="postgres", user=None, **more):
        return Connection(host=self.host, port=self.port, user=user or self.user, dbname=dbname, **more)

    def client_env(self, dbname="postgres"):
        return {"PGHOST": self.host, "PGPORT": str(self.port), "PGUSER": self.user,
                "PGDATABASE": dbname}

    def psql(self, sql, dbname="postgres", check=True, flags=("-XAtq", "-v", "ON_ERROR_STOP=1")):
        """What psql prints for a script."""
        done = subprocess.run(["psql", *flags, "-f", "-"], input=sql, text=True, capture_output=True,
                              env={**os.environ, **self.client_env(dbname)})
        if check and done.returncode != 0:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout


def install(destdir):
    """Installs the built extension into a folder, and says with which settings a server finds it."""
    own = bool(os.environ.get("PK_PG_OWN"))
    if own:
        destdir = ""
    else:
        os.mkdir(destdir, 0o755)
    done = subprocess.run(["make", "-s", "-C", os.path.join(ROOT, "ext-pg"), f"PG_CONFIG={PG_CONFIG}",
                           f"PK_BUILD={PG_BUILD}", f"DESTDIR={destdir}", "install"],
                          text=True, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(done.stdout + done.stderr)
    if own:
        return {}
    for folder, _, files in os.walk(destdir):
        os.chmod(folder, 0o755)
        for name in files:
            os.chmod(os.path.join(folder, name), 0o644)
    library = destdir + pg_config("pkglibdir")
    major = int(pg_config("version").split()[1].split(".")[0].rstrip("abcdefghijklmnopqrstuvwxyz"))
    if major >= 18:
        found = {"extension_control_path": destdir + pg_config("sharedir") + ":$system"}
    else:
        found = {"extension_destdir": destdir}
    return {**found, "dynamic_library_path": library + ":$libdir"}


def main(argv):
    if not argv or argv[0] not in ("run", "start"):
        print(__doc__.strip(), file=sys.stderr)
        return 2
    settings, rest = {}, argv[1:]
    while rest[:1] == ["--set"]:
        name, _, value = rest[1].partition("=")
        settings[name] = value
        rest = rest[2:]
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    with Cluster(settings) as pg:
        if argv[0] == "run":
            return subprocess.run(rest, env={**os.environ, **pg.client_env()}).returncode
        for name, value in pg.client_env().items():
            print(f"{name}={value}", flush=True)
        print(f"PGDATA={pg.data}", flush=True)
        while select.select([sys.stdin], [], [])[0] and os.read(0, 4096):
            time.sleep(0)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
