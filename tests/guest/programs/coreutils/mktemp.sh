f=$(mktemp)
test -f $f
echo $?
stat -c %a $f
d=$(mktemp -d)
stat -c '%a %F' $d
mktemp -u XX
