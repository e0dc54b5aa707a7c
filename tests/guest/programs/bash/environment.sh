export A=1
B=2 sh -c 'echo $A $B'
unset A
sh -c 'echo ${A-unset}'
env -i bash -c 'echo $((${#PATH} > 0))'
