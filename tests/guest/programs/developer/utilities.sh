timeout 0.1 sleep 5; echo $?
timeout -s INT 0.1 sh -c 'trap "echo int; exit 9" INT; while :; do sleep 0.01; done'; echo $?
timeout -k 0.1 0.1 sh -c 'trap "" TERM; sleep 5; sleep 5' & wait $! 2> /dev/null; echo $?
nohup sh -c 'echo under nohup' 2> /dev/null | cat
nice -n 5 nice; setsid -w sh -c 'exit 6'; echo $?
env -i A=1 sh -c 'echo $A $B'; stdbuf -oL printf 'a\nb\n' | head -1
mkfifo p; (exec 3<> p; echo one >&3; read x <&3; echo $x)
seq 3 | tee a b > c; paste a b c; join <(seq 3) <(seq 2 4); seq 6 | pr -2 -t | tr -s ' \t'
: > log; (sleep 0.1; echo line >> log; sleep 0.5) & tail -f ---disable-inotify -s 0.05 --pid=$! log
tail -c 5 log; truncate -s 0 log; tail -n 1 log
getopt -o ab: --long long -- -a -b x --long y; tty; echo $?
awk 'BEGIN { while (("seq 30" | getline l) > 0) n++; print n > 0; "date +%Y" | getline y; print (y > 2000) }'; cat 0
seq 3 | xargs -I% -n1 sh -c 'echo %'; bc <<< 'scale=5; 2^100 / 3'
tclsh <<< 'puts [exec seq 3 | tail -1]; set f [open "|cat" r+]; puts $f hi; flush $f; puts [gets $f]; exec sh -c "exit 3"' 2>&1 | head -3
openssl dgst -sha256 a; openssl enc -aes-256-cbc -pbkdf2 -k x -in a | openssl enc -d -aes-256-cbc -pbkdf2 -k x | cmp - a
file -b a /bin/sh | head -1; strings -n 20 /bin/true | head -1 | wc -l; xxd a | head -1; md5sum a | md5sum -c
