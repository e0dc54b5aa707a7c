seq 100 > f
cksum f
sum f
md5sum f
sha1sum f
sha256sum f
sha512sum f
b2sum f
sha256sum f | sha256sum -c
