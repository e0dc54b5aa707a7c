echo hello | tr a-y b-z
echo aabb | tr -s a
echo 'a1b2' | tr -d 0-9
printf 'a b\nb c\n' | tsort
