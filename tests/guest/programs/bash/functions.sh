f() { local x=$1; [ $x -le 0 ] && return 5; echo $x; f $((x-1)); }
f 5
echo $?
