set -m
sleep 10 &
kill -STOP %1
sleep 0.05
jobs | awk '{print $2}'
kill -CONT %1
kill %1
wait $!
echo $?
