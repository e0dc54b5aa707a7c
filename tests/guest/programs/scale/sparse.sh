# a file of 4 GiB that is a hole but for its end
printf end | dd of=s bs=1 seek=$((4 * 1024 * 1024 * 1024 - 3)) conv=notrunc status=none
stat -c '%s %b' s
/usr/bin/python3 -c '
import os
fd = os.open("s", os.O_RDWR)
end = os.fstat(fd).st_size
print(os.lseek(fd, 0, os.SEEK_HOLE), os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, end - 1, os.SEEK_HOLE))
os.pwrite(fd, b"middle", 1 << 31)
print(os.lseek(fd, 0, os.SEEK_DATA), os.lseek(fd, 1 << 31, os.SEEK_HOLE), os.lseek(fd, (1 << 31) + 4096, os.SEEK_DATA))
print(os.pread(fd, 10, (1 << 31) - 2), os.pread(fd, 10, end - 3))
'
cp --sparse=always s always && cp s auto && tar cSf t.tar s && mkdir x && tar xf t.tar -C x
stat -c '%s %b' always auto x/s t.tar
for f in s always auto x/s; do tail -c 1M $f | md5sum; head -c 10M $f | md5sum; dd if=$f bs=1M skip=2047 count=2 status=none | md5sum; done
truncate -s 5G s && stat -c '%s %b' s && truncate -s 1G s && stat -c '%s %b' s
