# 100,000 files in one directory, and a copy of it
/usr/bin/python3 -c '
import os
os.mkdir("one")
for f in range(100_000):
    os.close(os.open(f"one/{f}", os.O_CREAT | os.O_WRONLY))
'
ls one | md5sum
cp -r one two && ls -U two | sort | md5sum
rm -r one two && ls
