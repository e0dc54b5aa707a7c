trap 'echo woken' USR1
(sleep 0.1; kill -USR1 $$) & wait $!
echo $?
wait
echo end
