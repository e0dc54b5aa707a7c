// Code that changes under the CPU: by itself, through another mapping, by the kernel, by another thread, after a fork.
#include "escape.h"
#include <pthread.h>

static unsigned char *make(void) {
    return mmap(0, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void returns(unsigned char *at, unsigned char value) { // mov $value, %eax; ret
    memcpy(at, (unsigned char[]){0xb8, value, 0, 0, 0, 0xc3}, 6);
}

static void expect(const char *what, unsigned char *at, int value) {
    int got = ((int (*)(void))at)();
    if (got != value)
        escaped("%s: %d instead of %d", what, got, value);
}

static void dies(const char *how, int status) {
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
        escaped("%s ended with %#x", how, status);
}

static unsigned char *volatile shared;
static volatile int turn;

static void *rewrite(void *unused) {
    for (int i = 1; i < 40; i++) {
        while (turn != 2 * i - 1)
            sched_yield();
        returns(shared, i);
        turn = 2 * i;
    }
    return unused;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    unsigned char *at = make();
    for (int i = 0; i < 50; i++) {
        returns(at, i), expect("a store", at, i);
        returns(at + 4094, i), expect("a store across pages", at + 4094, i);
    }
    // movb $7, next+1(%rip); next: mov $1, %eax; ret: each round changes what comes right behind
    memcpy(at, (unsigned char[]){0xc6, 0x05, 1, 0, 0, 0, 7, 0xb8, 1, 0, 0, 0, 0xc3}, 13);
    for (int i = 0; i < 5; i++) {
        at[8] = 1;
        expect("a store to the next instruction", at, 7);
    }
    int fd = memfd_create("code", 0), ends[2], status;
    if (ftruncate(fd, 4096) || pipe(ends))
        escaped("memfd");
    unsigned char *writable = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    unsigned char *runnable = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0), text[6];
    for (int i = 0; i < 50; i++) {
        returns(writable, i), expect("a store through another mapping", runnable, i);
        returns(text, i + 100);
        if (pwrite(fd, text, 6, 0) != 6)
            escaped("pwrite");
        expect("write(2) to a mapped file", runnable, i + 100);
        if (write(ends[1], text, 6) != 6 || read(ends[0], at, 6) != 6)
            escaped("pipe");
        expect("read(2) into code", at, i + 100);
        if (fork() == 0) {
            returns(writable, i + 50);
            expect("a store of one's own", runnable, i + 50);
            returns(at, i + 60);
            expect("a store to a copy", at, i + 60);
            _exit(9);
        }
        wait(&status);
        if (status != 9 << 8)
            exit(ESCAPED);
        expect("a store by another process", runnable, i + 50);
        expect("a copy after a fork", at, i + 100);
        munmap(at, 8192);
        unsigned char *again = mmap(at, 8192, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        returns(again, i + 1), expect("another page at the address", again, i + 1);
    }
    // What may not be executed isn't, whatever was there.
    for (int i = 0; i < 5; i++) {
        dies("code without the right", IN_CHILD({ mprotect(at, 8192, PROT_READ | PROT_WRITE); expect("", at, 1); }));
        dies("code that is gone", IN_CHILD({ munmap(at, 8192); expect("", at, 1); }));
        dies("a store to code", IN_CHILD({ mprotect(at, 8192, PROT_READ | PROT_EXEC); at[1] = 1; }));
        dies("code of a file that is cut off", IN_CHILD({ signal(SIGBUS, SIG_DFL); munmap(runnable, 4096); expect("", runnable, 1); }));
        dies("data", IN_CHILD({ returns(writable, 1); expect("", writable, 1); }));
        expect("what the children changed", at, 50);
    }
    shared = at;
    pthread_t thread;
    pthread_create(&thread, 0, rewrite, 0);
    for (int i = 1; i < 40; i++) {
        turn = 2 * i - 1;
        while (turn != 2 * i)
            sched_yield();
        expect("a store by another thread", at, i);
    }
    pthread_join(thread, 0);
    contained();
}
