mkdir -p d/e
touch d/.h d/b d/a
chmod 755 d/a
ln -s a d/l
ls d
ls -aF d
ls -R d
ls -1r d
ls d/nope
touch -h -d '2001-02-03 04:05' d/*
ls -l --time-style=+%s d | tail -n +2 | awk '{print $1,$2,$6,$7}'
ls -1 -p d | grep -v /
ls -Q d
