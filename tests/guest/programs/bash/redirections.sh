echo out > f
echo err >&2 2>> f
exec 3<> f
read -u 3 line
echo $line
exec 3>&-
cat f
{ echo a; echo b >&2; } 2>&1 | sort
echo x > /nope/f
cat < missing
: > f
wc -c < f
set -C
echo y > f
ls /proc/self/fd | wc -l
