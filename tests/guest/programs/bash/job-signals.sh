set -m
sleep 10 &
kill -STOP %1
until [ -n "$(jobs -sp)" ]; do :; done # until the shell has been told
jobs | awk '{print $2}'
kill -CONT %1
kill %1
wait $!
echo $?
