seq 300000 > f
sum=$(md5sum < f)
for tool in 'xz -T2 --block-size=256KiB' 'xz -9e' 'bzip2 -9' 'zstd -q -T4' 'zstd -q -19 --long' 'gzip -1'; do
    $tool -c < f > c && case $tool in xz*) xz -t c;; zstd*) zstd -q -t c;; bzip2*) bzip2 -t c;; esac
    [ "$(${tool%% *} -dc < c | md5sum)" = "$sum" ] && echo "$tool $(stat -c %s c)"
done
zstd -q --rm f && ls && zstd -q -d f.zst && md5sum f
xz -k f && xz -l --robot f.xz | grep totals | cut -f 2-5
head -c 1000 f.xz > cut.xz && xz -dc cut.xz > /dev/null; echo $?
bzip2 f && bzcat f.bz2 | tail -1
bunzip2 f.bz2 && touch -d @5 f && xz -f f && stat -c %Y f.xz
xz -dk f.xz && zstd -q f -o g.zst --no-progress && zstd -q -l g.zst | wc -l
tar c f | zstd -q | zstd -dq | tar t
