seq 10 | xargs -n 3 echo
seq 6 | xargs -P 3 -I{} sh -c 'exit 0'
echo $?
echo 1 | xargs false
echo $?
find /etc/passwd -print0 | xargs -0 ls
echo x | xargs nonexistent
echo $?
