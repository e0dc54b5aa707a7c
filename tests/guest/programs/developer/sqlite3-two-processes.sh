# two writers and two readers on one database, in each journal mode: locks, busy time-outs, no lost update
cat > work.py <<'PY'
import sqlite3, sys
mode, role, name = sys.argv[1:]
db = sqlite3.connect(f"{mode}.db", timeout=50, isolation_level=None)
seen = 0
for turn in range(40):
    if role == "write":
        db.execute("BEGIN IMMEDIATE")
        (n,) = db.execute("SELECT n FROM counter").fetchone()
        db.execute("UPDATE counter SET n = ?", (n + 1,))
        db.execute("INSERT INTO log VALUES (?, ?)", (name, turn))
        db.execute("COMMIT")
    else:
        db.execute("BEGIN")
        (n,) = db.execute("SELECT n FROM counter").fetchone()
        (m,) = db.execute("SELECT count(*) FROM log").fetchone()
        db.execute("COMMIT")
        assert n == m, (n, m)
        assert n >= seen
        seen = n
PY
for mode in delete wal; do
    sqlite3 $mode.db "PRAGMA journal_mode=$mode; CREATE TABLE counter (n); INSERT INTO counter VALUES (0); CREATE TABLE log (name, turn)"
    for i in 1 2; do
        /usr/bin/python3 work.py $mode write w$i & jobs[$i]=$!
        /usr/bin/python3 work.py $mode read r$i & jobs[$i + 2]=$!
    done
    for job in ${jobs[*]}; do wait $job; echo $?; done
    sqlite3 $mode.db 'SELECT n FROM counter; SELECT name, count(*), max(turn) FROM log GROUP BY name; PRAGMA integrity_check'
done
