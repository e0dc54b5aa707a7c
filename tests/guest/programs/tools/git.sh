export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@d
export GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000' GIT_CONFIG_NOSYSTEM=1
git init -q -b main r && cd r
seq 100 > a && echo b > b && git add . && git commit -qm one
git switch -qc side && seq 200 > a && git commit -qam two && git switch -q main && echo c > c && git add c && git commit -qm three
git merge -q --no-edit side && git log --format='%H %s' && git status --short && git fsck 2>/dev/null; git gc -q; git diff --stat HEAD~1 | tail -1
