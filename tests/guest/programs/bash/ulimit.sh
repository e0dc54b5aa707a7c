ulimit -n 64
ulimit -n
ulimit -S -c
(ulimit -n 10; exec 20> f; echo $?)
ulimit -f unlimited
echo $?
