true
echo $?
false
echo $?
yes | head -2
echo done
