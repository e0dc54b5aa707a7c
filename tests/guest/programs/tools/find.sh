mkdir -p a/b/c
touch a/{x,y}.txt a/b/z.c
touch -d @1000 a/x.txt
ln -s x.txt a/link
find a | sort
find a -name '*.txt' -type f | sort
find a -type l
find a -newer a/x.txt | wc -l
find a -exec basename {} \; | sort
find a -type f -delete
find a -empty | sort
find a -depth -name c
find nope
