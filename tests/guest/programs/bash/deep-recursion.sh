f() { [ $1 -eq 0 ] || f $(($1-1)); }
f 500
echo ok
bash -c 'bash -c "bash -c \"echo \$SHLVL\""' | tr -dc 0-9 | wc -c
