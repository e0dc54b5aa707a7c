// All of the guests' memory and page tables, by every way to ask for them; then a process must be served as ever.
#define CHILD_MS 4000
#include "escape.h"
#include <sys/shm.h>

static void be_served(const char *after) {
    static char big[1 << 20];
    int ends[2], status = 0;
    memset(big, 1, sizeof big);
    pid_t pid = fork();
    if (pid == 0) {
        memset(big, 2, sizeof big);
        _exit(pipe(ends) || write(ends[1], "served", 7) != 7 || read(ends[0], big, 7) != 7);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status || big[5] != 1)
        escaped("after %s: %d, %#x", after, pid, status);
}

int main(int argc, char **argv) {
    if (argc == 1) // a program that is loaded afterwards
        contained();
    begin(argc, argv);
    static const char *names[] = {"one mapping", "a page in each table", "a page in each directory", "reads of zeros", "a memfd",
                                  "write(2) to a memfd", "files in /tmp", "shared memory", "forks", "pipes", "the break", "mappings",
                                  "the stack", "a copy of everything"};
    for (unsigned kind = 0; kind < sizeof names / sizeof *names; kind++) {
        IN_CHILD({
            int fd = memfd_create("memory", 0), ends[2];
            static char data[1 << 16];
            memset(data, 1, sizeof data);
            unsigned long size = 1ul << 46;
            char *p = MAP_FAILED;
            int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
            if (kind < 4 || kind == 13)
                while (size > 1 << 20 && (p = mmap(0, size, 3, flags, -1, 0)) == MAP_FAILED)
                    size >>= 1;
            switch (kind) {
            case 0: for (unsigned long i = 0; i < size; i += 4096) p[i] = 1;
            case 1: for (unsigned long i = 0; i < size; i += 1ul << 21) p[i] = 1;
            case 2: for (unsigned long i = 0; i < size; i += 1ul << 30) p[i] = 1; break;
            case 3: for (unsigned long i = 0; i < size; i += 1ul << 21) (void)*(volatile char *)(p + i); break;
            case 4:
                (void)!ftruncate(fd, 1ul << 32);
                p = mmap(0, 1ul << 32, 3, MAP_SHARED, fd, 0);
                for (unsigned long i = 0; p != MAP_FAILED && i < 1ul << 32; i += 4096) p[i] = 1;
                break;
            case 5: while (write(fd, data, sizeof data) > 0) ; break;
            case 6: fd = open("/tmp/big", O_RDWR | O_CREAT, 0600); while (write(fd, data, sizeof data) > 0 && lseek(fd, 0, SEEK_CUR) < 1 << 28) ; break;
            case 7:
                for (int n = 0; n < 4096; n++) {
                    int id = shmget(IPC_PRIVATE, 1 << 20, 0600);
                    if (id < 0) break;
                    p = shmat(id, 0, 0), shmctl(id, IPC_RMID, 0);
                    if (p == MAP_FAILED) break;
                    memset(p, 1, 1 << 20);
                }
                break;
            case 8:
                for (int n = 0; n < 200; n++) {
                    pid_t pid = fork();
                    if (pid < 0) break;
                    if (pid == 0) {
                        p = mmap(0, 1 << 20, 3, flags, -1, 0);
                        if (p != MAP_FAILED) memset(p, 1, 1 << 20);
                        pause();
                    }
                }
                usleep(200000);
                break;
            case 9:
                for (int n = 0; n < 500 && pipe(ends) == 0; n++) {
                    fcntl(ends[1], F_SETPIPE_SZ, 1 << 20), fcntl(ends[1], F_SETFL, O_NONBLOCK);
                    while (write(ends[1], data, sizeof data) > 0) ;
                }
                break;
            case 10: while (sbrk(1 << 20) != (void *)-1) memset((char *)sbrk(0) - (1 << 20), 1, 1 << 20); break;
            case 11: for (int n = 0; n < 100000 && mmap(0, 4096, n & 1 ? 3 : 1, flags, -1, 0) != MAP_FAILED; n++) ; break;
            case 12: for (;;) { volatile char *top = __builtin_alloca(4096); *top = 1; }
            case 13:
                for (unsigned long i = 0; i < size && i < 24 << 20; i += 4096) p[i] = 1;
                for (int n = 0; n < 30 && fork() == 0; n++)
                    for (unsigned long i = 0; i < size && i < 24 << 20; i += 4096) p[i]++;
                break;
            }
        });
        kill(-1, SIGKILL); // children of the child
        be_served(names[kind]);
    }
    execl(argv[0], argv[0], (char *)0);
    escaped("no exec: %d", errno);
}
