# The stress mix: stress.sh DIRECTORY [ROUNDS]. DIRECTORY holds the programs `mixture` and `commotion`. Each round makes,
# with shells, pipes, forks, vforks, threads, signals, stops, job groups, timers, epoll and sockets, 56 processes and
# checks each result; 50 rounds are 2,800 processes.
# Ends with one line; anything wrong is a line on standard error and status 1.
directory=$1 rounds=${2:-50} processes=0

fail() { echo "round $round: $*" >&2; exit 1; }

for ((round = 1; round <= rounds; round++)); do
    pids=() # 6 background jobs, each with its own status
    for i in 1 2 3 4 5 6; do (exit $i) & pids+=($!); done
    for i in 1 2 3 4 5 6; do wait "${pids[i - 1]}"; [ $? = $i ] || fail "job $i"; done

    # 5 in pipes
    [ "$(seq 200 | sort -rn | head -5 | tail -1)" = 196 ] || fail pipeline

    # 3 substitutions within each other
    [ "$(echo $(echo $(echo $round)))" = $round ] || fail substitution

    # 2: a trap in a shell that waits, a signal from its child
    woken=$(me=$BASHPID; trap 'echo woken' USR1; (kill -USR1 $me) & wait; wait; echo end)
    [ "${woken//$'\n'/ }" = "woken end" ] || fail "trap: $woken"

    # 6, in parallel, with a status
    seq 4 | xargs -n 1 -P 4 sh -c 'exit 0' || fail xargs

    # 1 + 14 + 6 + 2 of the program, and 8 threads, 20 signals
    made=$("$directory/mixture" 14 6 8 20) || fail mixture
    [ "$made" = 22 ] || fail "mixture: $made"

    # 1 + 4 in a group + 3 that echo
    made=$("$directory/commotion" 4 2 5) || fail commotion
    [ "$made" = 7 ] || fail "commotion: $made"

    # 3, with the shell that has them: a job of job control, stopped, continued and ended as a group
    seen=$(bash -c '
        set -m
        sleep 60 | sleep 61 &
        kill -STOP %1; wait %1; echo $?
        kill -CONT %1; kill -TERM %1; wait %1; echo $?
    ' 2> /dev/null)
    [ "${seen//$'\n'/ }" = "147 143" ] || fail "job group: $seen"

    processes=$((processes + 56))
done
echo "rounds $rounds processes $processes ok"
