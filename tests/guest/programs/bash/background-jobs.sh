(sleep 0.05; exit 3) & a=$!
(exit 4) & b=$!
wait $a
echo $?
wait $b
echo $?
for i in 1 2 3; do (exit 0) & done
wait
echo $?
sleep 5 & kill $!
wait $!
echo $?
wait 99999
echo $?
