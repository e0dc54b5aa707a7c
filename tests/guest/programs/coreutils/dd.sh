seq 1000 | dd bs=100 count=3 status=none
dd if=/dev/zero of=f bs=4k seek=3 count=1 status=none
stat -c %s f
dd if=/dev/zero bs=1k count=2 conv=notrunc of=f status=none
dd if=f bs=1 skip=10 count=5 status=none | od -c
