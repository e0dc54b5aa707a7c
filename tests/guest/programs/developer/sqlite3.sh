# rollback and write-ahead journals, through the command line
for mode in delete truncate persist memory wal; do
    sqlite3 $mode.db <<SQL
PRAGMA journal_mode=$mode;
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, size INTEGER);
CREATE INDEX by_size ON t (size);
BEGIN;
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<2000)
    INSERT INTO t SELECT i, printf('name %d', i), i * 7919 % 1000 FROM n;
COMMIT;
BEGIN;
DELETE FROM t WHERE id % 3 = 0;
ROLLBACK;
DELETE FROM t WHERE id % 5 = 0;
SELECT count(*), sum(size), max(name) FROM t;
SELECT size, count(*) FROM t GROUP BY size ORDER BY 2 DESC, 1 LIMIT 3;
VACUUM;
PRAGMA integrity_check;
SQL
    sqlite3 $mode.db 'SELECT count(*) FROM t WHERE size BETWEEN 10 AND 20; PRAGMA journal_mode; PRAGMA page_count'
done
ls
sqlite3 delete.db .dump | md5sum
sqlite3 delete.db .dump | sqlite3 copy.db
sqlite3 copy.db 'SELECT count(*) FROM t'
sqlite3 delete.db '.backup backup.db'
sqlite3 backup.db 'PRAGMA integrity_check'
sqlite3 delete.db 'PRAGMA mmap_size=1048576; UPDATE t SET size = size + 1; SELECT sum(size) FROM t'
sqlite3 delete.db 'INSERT INTO t VALUES (1, 1, 1)'
echo $?
