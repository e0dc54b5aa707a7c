import sqlite3

c = sqlite3.connect("d.db")
c.execute("create table t (a)")
c.executemany("insert into t values (?)", [(i,) for i in range(1000)])
c.commit()
print(c.execute("select sum(a) from t").fetchone())
c.execute("pragma journal_mode=wal")
c.execute("delete from t")
c.commit()
print(sqlite3.connect("d.db").execute("select count(*) from t").fetchone())
