TIMEFORMAT=%0lR
time true
times | wc -l
echo $((SECONDS < 30))
