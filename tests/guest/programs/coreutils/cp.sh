mkdir d
echo 1 > d/a
ln -s a d/l
ln d/a d/h
chmod 640 d/a
touch -d @1000 d/a
touch -h -d @2000 d/l
cp -a d e
stat -c '%n %a %h %s %Y %F' e/*
cp d/a d/b
cp --sparse=always d/a s
cp -r d
ls e
