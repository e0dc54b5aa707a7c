seq 5 | sed -n '2,4p'
echo hello | sed 's/l\(.\)/L\1/g'
seq 3 > f
sed -i '2d' f
cat f
sed -e '1!G;h;$!d' f
sed --expression='s/x' f
sed -s -n '$=' f f
