{ sh -c 'kill -9 $$'; } 2> /dev/null
echo $?
{ sh -c 'kill -SEGV $$'; } 2> /dev/null
echo $?
nonexistent
echo $?
/etc/passwd
echo $?
/
echo $?
sh -c 'exit 200'
echo $?
