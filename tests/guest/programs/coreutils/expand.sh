printf 'a\tb\n' | expand | unexpand -a
printf 'abcdefghij' | fold -w3
echo
echo one two three | fmt -w5
