trap 'echo int' INT
trap 'echo usr1; x=done' USR1
trap 'echo exit $?' EXIT
kill -INT $$
kill -USR1 $$
echo $x
trap '' TERM
kill -TERM $$
trap - TERM
(kill -TERM $BASHPID)
echo $?
exit 5
