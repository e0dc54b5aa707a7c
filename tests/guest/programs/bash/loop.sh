for i in $(seq 50); do echo $i | cat; done | sort -n | tail -1
