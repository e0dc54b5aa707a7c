echo secret > f
shred -u f
ls
truncate -s 1M f
stat -c %s f
truncate -s -1 f
stat -c %s f
sync f
