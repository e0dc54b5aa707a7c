mkdir -p a/sub/deep && for i in $(seq 30); do seq $i > a/f$i; done
ln -s f1 a/link && ln a/f2 a/hard && mkfifo a/fifo && chmod 640 a/f3
head -c 300000 /dev/zero > a/sub/zero && truncate -s 1M a/sub/sparse
touch -d @1000 a/sub
rsync -aHS --out-format='%i %n' a/ b/ | sort
diff -r --no-dereference a b 2>&1 | grep -v fifo; stat -c '%A %h %F %n' b/f2 b/fifo b/link b/f3; stat -c %Y b/sub
rsync -a --out-format='%i %n' a/ b/
echo more >> a/f5; touch -d @2000 a/f5; rm a/f6; touch -d @3000 a/f7; touch -d @4000 a
rsync -a --delete --out-format='%i %n' a/ b/
rsync -a --checksum --dry-run --out-format='%n' a/ b/
seq 100000 > a/big && rsync -a a/ b/ && sed -i 5d a/big && rsync -a --no-whole-file --stats a/ b/ | grep -E 'Literal|Matched'
cmp a/big b/big
rsync -a --exclude='f*' a/ c/ && ls c
rsync --list-only a/f1 | awk '{print $1, $2, $NF}'
rsync nope d 2>&1 | wc -l
