read a
read b
echo "$b $a"
cat
