echo x > a
ln a b
ln -s a c
ln -s nowhere e
readlink c
cat b c
ls -1F
readlink -f c | wc -l
ln a b
cat e
ln -sr a d
realpath --relative-to=. c
stat -L -c %F c
stat -c %F c
stat -c %h a
link a z
unlink z
