trap 'echo child' CHLD
set -m
true
(exit 1)
seq 3 | cat | tail -1
trap - CHLD
echo ${PIPESTATUS[@]}
