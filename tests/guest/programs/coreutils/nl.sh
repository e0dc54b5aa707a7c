printf 'a\n\nb\n' | nl -ba
seq 5 | tac
echo abc | rev
seq 3 | od -An -tx1
echo abc | od -c
echo hi | pr -t
