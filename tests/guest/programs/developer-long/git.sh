# five thousand files, a hundred commits: packs, deltas, and a clone that checks out all of it
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@d
export GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000' GIT_CONFIG_GLOBAL=/dev/null GIT_PAGER=cat
git init -q -b main r && cd r
for d in $(seq 100); do mkdir d$d; for f in $(seq 50); do echo $d $f > d$d/f$f; done; done
git add . && git commit -q -m first && git status --short
for i in $(seq 100); do echo $i >> d$i/f$((i % 50 + 1)); git commit -q -a -m $i; done
git rev-parse HEAD && git rev-list --count HEAD
git gc -q --aggressive && git fsck --full && git count-objects -v | grep -E 'packs|in-pack'
cd .. && git clone -q file://$PWD/r c && git -C c rev-parse HEAD && ls c | wc -l && git -C c status --short && git -C c log --oneline -- d50 | wc -l
git -C c diff --stat HEAD~50 | tail -1
