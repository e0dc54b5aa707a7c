seq 100 > f
head -3 f
tail -2 f
tail -c 5 f
head -n -97 f
tail -n +99 f
cat f | tail -1
head missing
