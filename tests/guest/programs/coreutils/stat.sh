echo abc > f
stat -c '%s %a %F %h %n %B' f
stat -c '%F' / /dev/null /tmp
stat nope
test f -ot /tmp
du -b f
