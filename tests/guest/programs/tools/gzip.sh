seq 100000 > f
gzip -9 f
gzip -l f.gz | tail -1 | awk '{print $2}'
zcat f.gz | md5sum
gunzip f.gz
wc -l f
gzip -c f | gunzip | cmp - f
gzip nope
xz -T1 f
xz -d f.xz
md5sum f
