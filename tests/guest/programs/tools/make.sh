printf 'all: a.out b.out\n\tcat a.out b.out\n%%.out: %%.in\n\ttr a-z A-Z < $< > $@\n.PHONY: all\n' > Makefile
echo one > a.in
echo two > b.in
make -j4
make
touch -d '+1 hour' a.in
make -s 2>&1 | head -2
make -n
make nope
echo $?
