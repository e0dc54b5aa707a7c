head -c 5000000 /dev/zero | tr '\0' x | wc -c
seq 100000 | md5sum
seq 300000 | (sleep 0.05; md5sum)
