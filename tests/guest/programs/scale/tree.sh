# 100,000 files in a tree
/usr/bin/python3 -c '
import os
for d in range(100):
    os.makedirs(f"t/{d}")
    for f in range(1000):
        os.close(os.open(f"t/{d}/{f}", os.O_CREAT | os.O_WRONLY))
'
find t -type f | wc -l
find t -name '*77' | sort | md5sum
ls t/50 | md5sum
ls -lR t/[1-2]? | grep -c "^-"
touch -d "+1 hour" t/99/5 t/7/7 && find t -type f -newermt "+1 minute" | sort
mv t u && mv u/3 u/three && ls u | md5sum
rm -r u && ls
