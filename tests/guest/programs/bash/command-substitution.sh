echo "$(echo a; echo $(echo nested | tr a-z A-Z))"
x=$(exit 9)
echo $?
y=`echo old`
echo $y $(</etc/hostname) | wc -w
