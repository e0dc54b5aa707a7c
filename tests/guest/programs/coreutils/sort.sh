printf '10\n9\nb\nA\n' > f
sort f
sort -n f
sort -r f
sort -u f f
seq 200000 | sort -R | sort -n | tail -1
seq 50000 | sort -S 64k -T . -rn | head -1
sort -k2 <<< $'a 2\nb 1'
sort -c f
