echo a:b:c | cut -d: -f2,3
echo abcdef | cut -c2-4
echo abc | cut -b1
