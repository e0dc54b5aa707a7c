export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@d
export GIT_AUTHOR_DATE='1000000000 +0000' GIT_COMMITTER_DATE='1000000000 +0000' GIT_CONFIG_GLOBAL=/dev/null GIT_PAGER=cat
git init -q -b main r && cd r
for d in $(seq 25); do mkdir d$d; for f in $(seq 20); do seq $((d * f)) > d$d/f$f; done; done
git add . && git commit -q -m first
git ls-files | wc -l
git rev-parse HEAD
git status --short
touch d1/* && git status --short
echo changed > d3/f4 && rm d5/f6 && echo new > d7/new
git status --short
git diff --stat
git stash -q -u && git status --short && git stash pop 2>&1 | tail -5
git add -A && git commit -q -m second && git log --format='%H %s'
git branch topic HEAD~1 && git checkout -q topic
for i in 1 2 3; do echo $i > t$i; git add t$i; git commit -q -m topic$i; done
git rebase -q main && git log --format='%H %s' --graph
git checkout -q main && git merge -q --no-ff -m merged topic && git log --format='%H %s' --graph
git checkout -q -b clash HEAD~1 && echo theirs > t1 && git add t1 && git commit -q -m clash
git checkout -q main && git merge clash
echo $?
cat t1
git status --short
git checkout -q --theirs t1 && git add t1 && git commit -q -m resolved && git rev-parse HEAD
git tag v1 -m tag && git describe
git blame -s d3/f4
git grep -c changed
git rm -q -r d1 && git mv d2 moved && git commit -q -m moved && git show --stat HEAD | tail -1
git cherry-pick HEAD~1 -m 1 2>&1 | head -1
git reset -q --hard && git clean -fdq
git gc -q && git fsck --full && git count-objects -v | grep -E 'packs|in-pack|garbage'
git prune && git reflog | wc -l
cd .. && git clone -q r local && git clone -q file://$PWD/r remote && git clone -q --bare r bare.git
for c in local remote bare.git; do git -C $c rev-parse HEAD; git -C $c fsck; done
cd remote && echo x > x && git add x && git commit -q -m x && git push -q origin HEAD:refs/heads/pushed && cd ..
git -C r log -1 --format=%H pushed
git -C local fetch -q && git -C local branch -a
git -C r worktree add -q ../w pushed && ls w | wc -l && git -C r worktree list | wc -l
git -C r archive HEAD | tar t | wc -l
git -C r bundle create -q ../b.bundle --all && git clone -q b.bundle frombundle && git -C frombundle rev-parse HEAD
git -C r format-patch -q -1 --stdout HEAD | md5sum
cd r && git bisect start HEAD HEAD~3 > log && git bisect run test -d d2 | grep -E 'first bad|^commit' && git bisect reset 2>&1 | tail -1
