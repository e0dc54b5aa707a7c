while IFS=: read -r a b; do echo "$b-$a"; done
read -t 0.05 x < <(sleep 1)
echo $((${?} > 128))
