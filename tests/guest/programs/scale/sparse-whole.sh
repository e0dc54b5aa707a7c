# all of it, read by read
truncate -s 4G s && printf middle | dd of=s bs=1 seek=2G oflag=seek_bytes conv=notrunc status=none
md5sum s
cp --sparse=never s /dev/null
cat s | wc -c
