#!/usr/bin/env python3
"""What is installed and packaged: packaging.py BUILD"""
import subprocess

from pkd_harness import *

folder = tempfile.mkdtemp(prefix="pkd")
FILES = {"bin/pkd", "lib/pk.so", "share/man/man1/pkd.1", "share/bash-completion/completions/pkd",
         "share/zsh/site-functions/_pkd", "share/fish/vendor_completions.d/pkd.fish",
         "lib/systemd/system/pkd.service", "lib/systemd/system/pkd.socket", "lib/sysusers.d/pkd.conf"}
# Of sql/dbt what is a source: dbt leaves other things there.
DBT = {"share/pk/dbt/" + f for f in subprocess.run(["git", "ls-files"], cwd=os.path.join(ROOT, "sql/dbt"),
                                                   capture_output=True, text=True).stdout.split()
       if not f.endswith(".gitignore")}
# No address is known to whom one could write; the extension lies where `.load pk` looks for it; without systemd's
# helpers a script has to call systemctl.
LINTIAN_KNOWN = ("bogus-mail-host", "sharedobject-in-library-directory-missing-soname", "maintainer-script-calls-systemctl")


def make(*words):
    done = subprocess.run(["make", "-s", "BUILD=" + BUILD, *words], cwd=ROOT, capture_output=True, text=True)
    expect(done.returncode == 0, done.stdout + done.stderr)


def files_below(root):
    return {os.path.relpath(os.path.join(d, f), root) for d, _, names in os.walk(root) for f in names}


def needs(*programs):
    for name in programs:
        if not shutil.which(name):
            raise Skip("no " + name)


def works(pkd, extension):
    out = subprocess.run([pkd, "--version"], capture_output=True, text=True, check=True).stdout
    expect(re.fullmatch(r"pkd \d+\.\d+\.\d+\n", out), out)
    db = sqlite3.connect(":memory:")
    db.enable_load_extension(True)
    db.load_extension(extension)
    expect(db.execute("select pk_version()").fetchone()[0] in out)


def it_is_installed_and_removed():
    root = os.path.join(folder, "root")
    make("install", "DESTDIR=" + root, "PREFIX=/opt/pk")
    prefix = os.path.join(root, "opt/pk")
    found, of_dbt = files_below(prefix), "share/pk/dbt/"
    expect({f for f in found if not f.startswith(of_dbt)} == FILES, found ^ FILES)
    expect(of_dbt + "macros/enrich.sql" in found and (not DBT or DBT == found - FILES), found ^ DBT)
    works(os.path.join(prefix, "bin/pkd"), os.path.join(prefix, "lib/pk.so"))
    with open(os.path.join(prefix, "lib/systemd/system/pkd.service")) as f:
        expect("ExecStart=/opt/pk/bin/pkd serve" in f.read())
    make("uninstall", "DESTDIR=" + root, "PREFIX=/opt/pk")
    expect(files_below(root) == set(), files_below(root))


def the_unit_is_sound_and_shut_in():
    needs("systemd-analyze")
    root = os.path.join(folder, "unit")
    make("install", "DESTDIR=" + root, "PREFIX=/usr")
    unit = os.path.join(root, "usr/lib/systemd/system/pkd.service")
    with open(unit) as f:
        text = f.read().replace("/usr/bin/pkd", os.path.join(root, "usr/bin/pkd"))
    with open(unit, "w") as f:
        f.write(text)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", unit, unit.replace("service", "socket")], capture_output=True, text=True)
    ours = [l for l in done.stderr.split("\n") if "pkd.service" in l]
    expect(done.returncode == 0 and not ours, done.stderr)
    done = subprocess.run(["systemd-analyze", "security", "--offline=yes", "--no-pager", unit], capture_output=True, text=True)
    level = re.search(r"exposure level for pkd.service: ([\d.]+)", done.stdout)
    expect(level and float(level[1]) <= 1.5, done.stdout[-200:] + done.stderr)


def the_user_is_made():
    needs("systemd-sysusers")
    root = os.path.join(folder, "users")
    os.makedirs(os.path.join(root, "etc"))
    done = subprocess.run(["systemd-sysusers", "--root=" + root, os.path.join(ROOT, "tools/packaging/pkd.sysusers")],
                          capture_output=True, text=True)
    with open(os.path.join(root, "etc/passwd")) as f:
        expect(re.search(r"^pkd:.*:/var/lib/pk:.*nologin$", f.read(), re.M), done.stderr)


def the_postgres_extension_too():
    needs("pg_config")
    root = os.path.join(folder, "pg")
    make("install-pg", "DESTDIR=" + root)
    found = {os.path.basename(f) for f in files_below(root)}
    expect({"pk.so", "pk.control", "pk--0.1.1.sql", "pk--0.1.0--0.1.1.sql"} <= found, found)
    make("uninstall-pg", "DESTDIR=" + root)
    expect(files_below(root) == set(), files_below(root))


def what_is_missing_is_named():
    """No server to build for, no library, no compiler: a sentence, and what to do."""
    def fails(*words, said):
        done = subprocess.run(["make", "-s", "BUILD=" + os.path.join(folder, "bare"), *words], cwd=ROOT, capture_output=True, text=True)
        expect(done.returncode != 0 and said in done.stderr, done.stdout + done.stderr)

    fails("PG_CONFIG=/nonexistent/pg_config", "pgxs", said="install postgresql-server-dev-all")
    fails("CC=nonexistent-cc", "core", said="apt-get install build-essential")
    fails("HEADERS_PKD=none.h:libnone-dev zstd.h:libzstd-dev", "core", said="none.h is missing\nmake: run make deps, or: apt-get install libnone-dev\n")
    done = subprocess.run(["make", "-n", "BUILD=" + BUILD, "PG_CONFIG=/nonexistent/pg_config", "all"], cwd=ROOT, capture_output=True, text=True)
    expect(done.returncode == 0 and "the Postgres extension is left out" in done.stdout and "ext-pg" not in done.stdout, done.stdout + done.stderr)


def package():
    needs("dpkg-deb", "dpkg-shlibdeps", "strip")
    make("deb")
    [path] = [os.path.join(ROOT, BUILD, f) for f in os.listdir(os.path.join(ROOT, BUILD)) if re.fullmatch(r"pkd_.*\.deb", f)]
    return path


def the_debian_package_is_whole():
    path = package()
    fields = {n: subprocess.run(["dpkg-deb", "-f", path, n], capture_output=True, text=True, check=True).stdout.strip()
              for n in ("Package", "Version", "Depends", "Installed-Size")}
    expect(fields["Package"] == "pkd" and int(fields["Installed-Size"]) < 12000, fields)
    for library in "libcurl4", "libpq5", "libsodium", "libsqlite3-0", "libzstd1", "libpcre2-8-0", "libssl", "libc6", "ca-certificates":
        expect(library in fields["Depends"], fields["Depends"])
    root = os.path.join(folder, "deb")
    subprocess.run(["dpkg-deb", "-x", path, root], check=True)
    found = files_below(root)
    expect({"usr/bin/pkd", "lib/systemd/system/pkd.service", "lib/systemd/system/pkd.socket", "usr/lib/sysusers.d/pkd.conf", "etc/default/pkd",
            "usr/share/man/man1/pkd.1.gz", "usr/share/bash-completion/completions/pkd",
            "usr/share/zsh/vendor-completions/_pkd", "usr/share/fish/vendor_completions.d/pkd.fish",
            "usr/share/pk/dbt/macros/enrich.sql", "usr/share/doc/pkd/copyright", "usr/share/doc/pkd/operation.md"} <= found, found)
    [extension] = [f for f in found if f.endswith("/pk.so")]
    works(os.path.join(root, "usr/bin/pkd"), os.path.join(root, extension))
    listing = subprocess.run(["dpkg-deb", "-c", path], capture_output=True, text=True, check=True).stdout
    for line in listing.strip().split("\n"):
        expect(line.split()[1] == "root/root" and line[8] != "w", line)
    for script in "postinst", "prerm", "postrm":
        text = subprocess.run(["dpkg-deb", "-I", path, script], capture_output=True, check=True).stdout
        expect(subprocess.run(["sh", "-n"], input=text).returncode == 0, script)
    with open(path, "rb") as f:
        first = f.read()
    with open(package(), "rb") as f:
        expect(f.read() == first, "the same source gives another package")


def lintian_finds_nothing_new():
    needs("lintian")
    done = subprocess.run(["lintian", "--allow-root", package()], capture_output=True, text=True)
    new = [l for l in done.stdout.split("\n") if re.match("[EW]: ", l) and not any(k in l for k in LINTIAN_KNOWN)]
    expect(not new, new)


def the_image_is_built_from_what_is_there():
    with open(os.path.join(ROOT, "tools/packaging/Dockerfile")) as f:
        text = re.sub(r"\\\n", " ", f.read())
    steps = [l.split(None, 1) for l in text.split("\n") if l and not l.startswith("#")]
    expect(all(len(s) == 2 for s in steps) and steps[0][0] == "FROM", steps)
    last = steps[max(i for i, s in enumerate(steps) if s[0] == "FROM"):]
    kinds = [s[0] for s in last]
    expect(dict(last)["USER"] == "pkd" and kinds.index("USER") < kinds.index("ENTRYPOINT"), kinds)
    expect({"HEALTHCHECK", "VOLUME", "EXPOSE"} <= set(kinds), kinds)
    for kind, rest in steps:
        if kind == "FROM":
            expect(re.match(r"debian:bookworm-slim( AS \w+)?$", rest), rest)
        if kind in ("COPY", "ADD") and "--from" not in rest:
            for source in rest.split()[:-1]:
                expect(os.path.exists(os.path.join(ROOT, source)), source)
        if "apt-get install" in rest:
            expect("--no-install-recommends" in rest and "rm -rf /var/lib/apt/lists" in rest, rest)
    check = json.loads(re.search(r"CMD (\[.*\])", dict(last)["HEALTHCHECK"])[1])
    expect(subprocess.run([program("pkd"), *check[1:], "--help"], capture_output=True).returncode == 0, check)


run(it_is_installed_and_removed, the_postgres_extension_too, what_is_missing_is_named, the_unit_is_sound_and_shut_in, the_user_is_made, the_debian_package_is_whole,
    lintian_finds_nothing_new, the_image_is_built_from_what_is_there)
shutil.rmtree(folder)
end()
