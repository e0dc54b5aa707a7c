seq 5 > a
seq 2 6 > b
diff -u --label a --label b a b
patch --version | head -1 | wc -l
cmp a b
diff3 a a b | head -3
sdiff a b | wc -l
