# who holds the database, who is told "locked", and when
cat > busy.py <<'PY'
import sqlite3, subprocess, sys
one = sqlite3.connect("b.db", isolation_level=None)
one.execute("CREATE TABLE t (x)")
def other(sql):
    done = subprocess.run(["sqlite3", "b.db", sql], capture_output=True, text=True)
    print(sql, done.returncode, done.stdout.strip(), done.stderr.strip().split("\n")[0])
for mode in ("delete", "wal"):
    print(one.execute(f"PRAGMA journal_mode={mode}").fetchone())
    one.execute("BEGIN IMMEDIATE")
    one.execute("INSERT INTO t VALUES (1)")
    other("SELECT count(*) FROM t")
    other("INSERT INTO t VALUES (2)")
    one.execute("COMMIT")
    other("INSERT INTO t VALUES (3)")
    one.execute("BEGIN EXCLUSIVE")
    other("SELECT count(*) FROM t")
    other(".timeout 50\nINSERT INTO t VALUES (4)")
    one.execute("ROLLBACK")
    one.execute("BEGIN")
    print(one.execute("SELECT count(*) FROM t").fetchone())
    other("INSERT INTO t VALUES (5)")
    print(one.execute("SELECT count(*) FROM t").fetchone())
    try:
        one.execute("INSERT INTO t VALUES (6)")
    except sqlite3.OperationalError as error:
        print(error)
    one.execute("ROLLBACK")
    other("PRAGMA integrity_check")
PY
/usr/bin/python3 busy.py
ls
