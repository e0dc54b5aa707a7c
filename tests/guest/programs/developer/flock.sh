for i in 1 2 3 4; do
    (for j in $(seq 10); do flock lock sh -c 'n=$(cat n 2> /dev/null || echo 0); echo $((n + 1)) > n'; done) &
done
wait; cat n
exec 9> held; flock 9
flock -n held true; echo $?
flock -w 0.05 held true; echo $?
flock -E 7 -n held true; echo $?
flock -u 9; flock -n held echo free
flock -s 9; flock -s -n held echo shared; flock -n -x held echo exclusive; echo $?
exec 9>&-; flock -n held echo after close
(flock 8; sleep 5) 8> dead & sleep 0.1; kill $!; wait $! 2> /dev/null
timeout 0.2 flock dead sleep 5; echo $?
