# a tree of 100,000 files of the host's, in a cow workspace: looked through, changed, removed
find . -type f | wc -l
ls -R | wc -l
for d in $(seq 0 99); do echo changed > $d/5; done
grep -rl changed 7? 99 | sort | md5sum
rm -r [1-4]?
find . -type f | wc -l
mkdir new && mv 5? new && find new -type f | wc -l
rm -r * && ls -A && find . | wc -l
