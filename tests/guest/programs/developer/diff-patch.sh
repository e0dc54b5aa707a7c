mkdir a && for i in 1 2 3 4; do seq $((i * 50)) > a/f$i; done
cp -r a b && sed -i '10s/$/ changed/;40d' b/f1 && sed -i '5i new' b/f2 && rm b/f3 && seq 7 > b/f5
diff -ruN a b > p; echo $?
grep -c '^[-+]' p
cp -r a c && (cd c && patch -p1 < ../p) && diff -r b c && echo same
(cd c && patch -R -p1 -s < ../p) && diff -r a c && echo back
cp -r a d && sed -i '1,3d' d/f1 && (cd d && patch -p1 -b < ../p); ls d
sed -i '8,12s/^/x/' d/f2 && (cd d && patch -p1 --dry-run -N < ../p); echo $?
diff -q a b; diff -y --width=40 --suppress-common-lines a/f1 b/f1; diff -e a/f2 b/f2
diff3 -m a/f1 b/f1 c/f1 | md5sum
cmp -l a/f1 b/f1 | wc -l; comm -3 <(sort a/f1) <(sort b/f1)
