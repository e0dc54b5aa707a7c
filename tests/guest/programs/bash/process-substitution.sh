cat <(echo a) <(echo b)
echo x > >(cat)
wait
paste <(seq 3) <(seq 4 6)
while read a; do echo $a; done < <(seq 2)
