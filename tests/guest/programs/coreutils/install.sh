echo x > a
install -D -m 750 a d/e/f
stat -c '%a %s' d/e/f
mkdir -m 711 g
stat -c %a g
