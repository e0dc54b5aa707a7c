seq 100 > f
vim -u NONE -i NONE -n -es f -c '%s/5/five/g' -c '10,20d' -c 'normal Gofin' -c 'wq' < /dev/null
md5sum f; tail -2 f
vim -u NONE -es g -c 'call setline(1, ["b", "a", "c"])' -c '%!sort' -c 'wq' < /dev/null; cat g
vim -u NONE -i NONE -es -c 'redir! > out' -c 'echo system("echo from a child")' -c 'redir END' -c 'qa!' < /dev/null; cat out
vim -u NONE -i NONE -es f -c 'w /nope/x' -c 'cq 3' < /dev/null; echo $?
ls -A
