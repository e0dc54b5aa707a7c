seq 10 | shuf --random-source=<(yes) | md5sum
seq 10 | shuf | sort -n | tail -1
shuf -i 1-9 -n 9 | sort | head -1
