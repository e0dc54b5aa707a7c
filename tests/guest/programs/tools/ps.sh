nice -n 5 sleep 60 & a=$!
bash -c 'sleep 61; :' & b=$!
until ps -o stat= -p $a | grep -q SN && [ "$(ps -o comm= -p $a)" = sleep ] && pgrep -P $b > /dev/null; do sleep 0.01; done
ps -o stat=,ni=,pri=,comm=,args= -p $a
[ "$(ps -o ppid= -p $a)" -eq $$ ] && echo parent
pgrep -P $b -l | cut -d' ' -f2
pstree -A $b
kill -STOP $a
until ps -o stat= -p $a | grep -q T; do sleep 0.01; done
ps -o stat=,comm= -p $a
cat /proc/$a/comm; tr '\0' ' ' < /proc/$a/cmdline; echo
kill -CONT $a
pkill -P $b sleep; wait $b; echo $?
kill $a; wait $a; echo $?
ps -p $a > /dev/null; echo $?
(exit 3) & c=$!; sleep 0.05; ps -o stat=,comm= -p $c | tr -s ' '; wait $c
[ $(ps -eo pid= | wc -l) -gt 1 ] && uptime | grep -c load; free | head -1 | tr -s ' '; vmstat | tail -1 | wc -w
top -b -n1 | grep -c "PID USER"
[ "$(nproc)" = "$(lscpu -p=CPU | grep -vc '#')" ] && echo cpus
ls /proc/self/ns | tr '\n' ' '; ls /proc/self/task | wc -l
