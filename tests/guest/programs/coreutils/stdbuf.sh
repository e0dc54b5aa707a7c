seq 3 | stdbuf -oL cat
stdbuf -o0 echo x
nohup echo y
nice -n 5 nice
tty
echo $?
