echo 1 > a
mkdir d
mv a d/b
ls d
mv d e
ls e
mv nope x
echo 2 > f
mv f e/b
cat e/b
mv -n e/b e/b
mv e e/x
