expr 3 + 4
expr abc : 'a\(.\)c'
expr 1 = 2
test -d / && test ! -e /nope && [ 3 -lt 10 ]
echo $?
