mkdir -p d/e
seq 1000 > d/a
ln -s a d/l
ln d/a d/h
chmod 600 d/a
touch -d @99 d/a
tar --sort=name -cf t.tar d
tar tf t.tar | sort
mv d o
tar xf t.tar
diff -r o d
stat -c '%a %h %Y' d/a
tar --sort=name -czf t.tgz d
tar xzOf t.tgz d/a | md5sum
tar cf - d | (mkdir x; cd x; tar xf -)
diff -r d x/d
tar cJf t.xz d && tar tf t.xz | wc -l
tar xf nope
