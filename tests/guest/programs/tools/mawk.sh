seq 1000 | mawk '{ s += $1; n++ } END { print s / n }'
mawk -F: '$3 == 0 { print $1 }' /etc/passwd
echo 'a b c' | mawk '{ print $NF; system("echo sub") }'
