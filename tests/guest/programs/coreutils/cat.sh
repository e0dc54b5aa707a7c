printf 'a\n\n\tb' > f
cat -A f
cat -n f f
cat < f -
cat missing
