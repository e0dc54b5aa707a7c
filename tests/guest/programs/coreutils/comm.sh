seq 1 5 > a
seq 3 8 > b
comm a b
comm -12 a b
join a b
paste a b
diff a b
cmp a b
