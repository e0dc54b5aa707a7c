# external sorting: temporary files and threads
seq 200000 | awk '{ print ($1 * 7919) % 200003, $1 }' > f
for options in '-n -S 1M -T .' '--parallel=2 -S 2M' '-k2,2n -S 1M --compress-program=gzip' '-r -n -u -S 1M' '-s -k1,1 --batch-size=4 -S 1M'; do
    sort $options f | md5sum
done
ls
sort -n -o f f && sort -n -c f && echo sorted
split -n l/4 f part. && for p in part.*; do sort -R --random-source=/bin/ls $p > /dev/null; sort -n $p -o $p; done; sort -n -m part.* | md5sum
sort -c <(echo b; echo a); echo $?
