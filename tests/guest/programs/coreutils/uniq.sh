printf 'a\na\nb\n' | uniq -c
printf 'a\na\nb\n' | uniq -d
wc <<< 'one two'
wc -lwc /etc/passwd | wc -l
