# a writer is killed in the middle of a transaction: the journal is rolled back, the log recovered
cat > crash.py <<'PY'
import os, signal, sqlite3, sys
db = sqlite3.connect(f"{sys.argv[1]}.db", isolation_level=None)
db.execute("PRAGMA cache_size=5")
db.execute("PRAGMA cache_spill=1")
db.execute("BEGIN")
db.execute("UPDATE t SET x = 'changed ' || x")
os.kill(os.getpid(), signal.SIGKILL)
PY
for mode in delete wal; do
    sqlite3 $mode.db "PRAGMA journal_mode=$mode; CREATE TABLE t (x);
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000) INSERT INTO t SELECT printf('%0100d', i) FROM n"
    /usr/bin/python3 crash.py $mode
    echo $?
    ls $mode*
    sqlite3 $mode.db "PRAGMA integrity_check; SELECT count(*), sum(x LIKE 'changed%') FROM t"
    ls $mode*
done 2>&1 | grep -v Killed
