mkdir -p a/b
touch a/b/c f
rm f
rm a
rm -r a
rm nope
rm -f nope
ls -A
rm -r ..
echo $?
