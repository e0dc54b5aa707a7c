mkfifo p
(echo through > p &)
cat p
stat -c %F p
timeout 0.1 cat p
echo $?
