umask 027
mkdir -p a/b/c
stat -c %a a a/b
mkdir a
rmdir a
rmdir -p a/b/c
ls
rmdir nope
umask
