touch -d @5 f
stat -c '%X %Y' f
touch -r f g
stat -c %Y g
touch -a -d @9 g
stat -c '%X %Y' g
touch -c nope
ls
