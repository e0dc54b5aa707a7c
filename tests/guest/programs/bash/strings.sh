s=hello_world
echo ${s^^} ${s#*_} ${s%_*} ${s/o/0} ${#s} ${s:2:3}
printf -v p '%03d' 7
echo $p
[[ abc =~ b(.) ]] && echo ${BASH_REMATCH[1]}
