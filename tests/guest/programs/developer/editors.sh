seq 10 > f
ed -s f <<'E'
3,5d
$a
eleven
.
1,$s/1/one/
w
!wc -l f
q
E
cat f
printf '2,3p\nq\n' | ed -s f
ed -s nope <<< q; echo $?
seq 200 | less -F | md5sum
seq 5 | less -F -X
less -F f | cat
more f | tail -1
