# set -m without a terminal: groups of jobs, fg, bg, stop and continue
set -m
sleep 100 & a=$!
sleep 100 | cat & b=$!
jobs -l | wc -l
[ $(ps -o pgid= $a 2> /dev/null || cut -d' ' -f5 /proc/$a/stat) -eq $a ] && echo own group
kill -STOP %1; sleep 0.1; jobs | awk '{print $1, $2}'
bg %1 > /dev/null 2>&1; jobs %1 | awk '{print $1, $2}'
kill %1; wait %1; echo $?
kill -TERM %2; wait %2; echo $?
(trap 'echo got usr1; exit 4' USR1; while :; do sleep 0.02; done) & sleep 0.1; kill -USR1 $!; wait $!; echo $?
sh -c 'kill -STOP $$; echo continued' & sleep 0.2; jobs | awk '{print $2}'; fg %% > /dev/null; echo $?
sleep 0.1 & fg; echo $?
disown -a; jobs; sleep 100 & disown; kill $!
suspend 2>&1 | head -1
exit 5
