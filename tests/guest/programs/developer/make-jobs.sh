# the job server: -j4 through two levels of sub-makes, by pipe and by fifo, at most four recipes at once
mkdir -p sub/{a,b,c}
cat > Makefile <<'M'
SUBS = a b c
all: $(SUBS)
	@cat sub/*/out | sort | md5sum
$(SUBS):
	@$(MAKE) --no-print-directory -C sub/$@
.PHONY: all $(SUBS)
M
cat > sub/Makefile <<'M'
OBJS = 1.o 2.o 3.o 4.o 5.o 6.o
out: $(OBJS)
	@cat $^ > $@
%.o:
	@mkdir ../../running.$$$$ && ls ../.. | grep -c running >> ../../most && sleep 0.05 && seq $* > $@ && rmdir ../../running.$$$$
M
for d in a b c; do cp sub/Makefile sub/$d; done
make -j4
[ $(sort -n most | tail -1) -le 4 ] && [ $(sort -n most | tail -1) -ge 2 ] && echo bounded
wc -l < most
make -j4 -q; echo $?
rm sub/b/3.o && make -j4 && wc -l < most
printf 'all: x y z\nx:\n\t@exit 3\ny z:\n\t@echo $@\n' > bad.mk
make -f bad.mk -k -j3 2>&1 | sort
make -f bad.mk -k -j3 > /dev/null 2>&1; echo $?
printf 'all: a.c b.c\n\t$(CC) -o prog $^ && ./prog\na.c:\n\techo "int f(void); int main(void) { return f(); }" > $@\nb.c:\n\techo "int f(void) { return 0; }" > $@\n' > c.mk
make -O -j4 -f c.mk | sort
