# a million lines: temporary files, threads, and merging
seq 1000000 | awk '{ print ($1 * 7919) % 1000003, $1 }' > f
sort -n -S 8M -T . f | md5sum
sort --parallel=4 -S 32M f | md5sum
LC_ALL=C sort -k2,2nr -S 4M --compress-program=gzip f | md5sum
split -n l/8 f part. && ls part.* | xargs -P4 -I% sort -n -o % % && sort -n -m part.* | md5sum
sort -R -S 16M f | sort -n -S 16M -u | wc -l
ls
