seq 200 | xargs -P4 -n5 sh -c 'echo $$ $# "$@"' sh | awk '{ n += $2; pids[$1] } END { print n, length(pids) }'
seq 40 | xargs -P4 -I{} sh -c 'seq {} > f{}' && ls | wc -l && cat f* | md5sum
find . -name 'f*' -print0 | sort -z | xargs -0 -P4 -n1 wc -l | sort | tail -2
seq 8 | xargs -P8 -n1 sh -c 'sleep 0.$1; exit $(($1 == 3))' sh; echo $?
find . -name 'f?' -exec md5sum {} + | sort | head -3
find . -name 'f1?' -exec sh -c 'echo $# > count' sh {} + && cat count
find . -type f -execdir sh -c 'test -e $1' sh {} \; -print | wc -l
find . -size +1 -newer f1 | wc -l
yes | head -c 5000000 | xargs -s 100000 -P4 echo | tr -cd y | wc -c
