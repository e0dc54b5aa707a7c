sleep 0.01
timeout 0.1 sleep 5
echo $?
bash -c "timeout -s KILL 0.1 sleep 5; exit \$?" 2> /dev/null
echo $?
timeout 5 true
echo $?
