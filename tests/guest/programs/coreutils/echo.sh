echo -e 'a\tb'
echo -n x
printf '%05d|%-5s|%x|%q\n' 42 ab 255 'a b'
