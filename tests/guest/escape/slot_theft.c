// The descriptor of a mapping, stolen by another thread while it is there, and mapped for more than the guest has.
#include "escape.h"
#include <pthread.h>

static volatile int stop, stolen;

static void *thief(void *unused) {
    while (!stop)
        for (int fd = 0; fd < 16; fd++) {
            long r = STUB_RAW(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if ((unsigned long)r < -4096ul) {
                stolen++;
                memset((void *)r, 'X', 64);
            }
            STUB_RAW(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 1 << 20);
        }
    return 0;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    pthread_t thread;
    pthread_create(&thread, 0, thief, 0);
    for (int i = 0; i < 1500; i++) {
        int fd = open("/escape/readable", O_RDONLY);
        char *p = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p != MAP_FAILED)
            munmap(p, 4096);
        close(fd);
        if (i % 50 == 0 && fork() == 0)
            _exit(0);
    }
    stop = 1;
    pthread_join(thread, 0);
    if (stolen)
        escaped("a read-only file was mapped for writing %d times", stolen);
    contained();
}
