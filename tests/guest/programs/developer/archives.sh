mkdir -p d/e && seq 100 > d/a && ln d/a d/hard && ln -s a d/link && mkfifo d/fifo && touch -d @77 d/a
truncate -s 5M d/sparse && printf end | dd of=d/sparse conv=notrunc bs=1 seek=3000000 status=none
tar -cSf t.tar --sort=name --numeric-owner d && stat -c %s t.tar && tar tvf t.tar | awk '{print $1, $3, $6, $7, $8}'
touch -h -d @88 d/link d/fifo
mkdir x && tar xf t.tar -C x && cmp d/sparse x/d/sparse && stat -c '%h %Y' x/d/a x/d/hard && [ $(stat -c %b x/d/sparse) -lt 2000 ] && echo still sparse
tar cf inc0.tar -g snap d 2> /dev/null && echo new > d/new && tar cf inc1.tar -g snap d && tar tf inc1.tar
tar rf t.tar d/new && tar tf t.tar | tail -1 && tar --delete -f t.tar d/link && tar df t.tar 2>&1 | head -3
tar c d | tar x --to-command='wc -c' 2> /dev/null | sort -n | head -2
tar czf t.tgz --exclude='*sp*' --transform='s,^d,renamed,' d && tar tzf t.tgz | sort
tar cf m.tar -M -L 1000 --new-volume-script='exit 1' d/sparse > /dev/null 2>&1; echo $?
(cd d && find . -depth -print | sort | cpio -o -H newc --quiet --reproducible) > c.cpio && cpio -t --quiet < c.cpio | sort
mkdir y && (cd y && cpio -idm --quiet < ../c.cpio) && diff -r d/e y/e && stat -c '%h %Y %F' y/a y/hard && stat -c '%h %F' y/fifo y/link
(cd d && find . -type f | cpio -pdl --quiet ../z) && stat -c %h z/a
zip -q -r -y z.zip d/a d/e d/link d/new && unzip -q z.zip -d u && readlink u/d/link && unzip -l z.zip | tail -1 | awk '{print $2}'
dd if=/dev/zero of=blocks bs=4k count=64 status=none && dd if=d/a of=blocks bs=1 seek=1000 conv=notrunc status=none && md5sum blocks
dd if=blocks bs=64k skip=1 count=2 iflag=fullblock 2> /dev/null | wc -c; dd if=d/a conv=ucase,sync bs=512 2>&1 > /dev/null | head -2
split -b 100k blocks s. && ls s.* && cat s.* | cmp - blocks && split -n r/3 d/a && ls x?? && csplit -s d/a /50/ '{0}' && wc -l xx0?
head -c 70000 /dev/zero | split -b 30000 --filter='wc -c'
