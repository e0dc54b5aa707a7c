coproc cat
echo hello >&${COPROC[1]}
read -r x <&${COPROC[0]}
echo $x
eval "exec ${COPROC[1]}>&-"
wait
echo $?
