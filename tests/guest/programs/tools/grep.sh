seq 100 | grep -c 7
printf 'foo\nbar\n' | grep -o 'o*'
echo abc | grep -E '(a|b)c?' -o
echo aXb | grep -iq x
echo $?
grep x nope
grep -P '\d+' <<< a12
zgrep x nope
