// IPC objects of the host, by key, by index and by name: none may be there, and what is made here may not get out.
#include "escape.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

#define HOST_KEY atoi(argv[5])               // the test has made one of each kind with it
#define GUEST_KEY (HOST_KEY ^ 0x10000000) // the test looks for it afterwards

static void none(const char *what, long r, long s) {
    if (r >= 0 || s >= 0)
        escaped("%s: %ld, from the stub's addresses %ld", what, r, s);
}
#define BOTH(nr, ...) none(#nr, RAW(SYS_##nr, __VA_ARGS__), STUB_RAW(SYS_##nr, __VA_ARGS__))

int main(int argc, char **argv) {
    begin(argc, argv);
    if (argc < 6)
        return 2;
    take_stub_page();
    static char area[8192];
    BOTH(shmget, HOST_KEY, 0, 0), BOTH(msgget, HOST_KEY, 0), BOTH(semget, HOST_KEY, 0, 0);
    BOTH(mq_open, "pylitebox-canary", O_RDONLY, 0, 0), BOTH(mq_unlink, "pylitebox-canary");
    for (long sequence = 0; sequence < 4; sequence++)
        for (long index = 0; index < 256; index++) {
            long id = sequence << 15 | index;
            BOTH(shmat, id, 0, SHM_RDONLY), BOTH(shmat, id, 0, 0);
            BOTH(shmctl, id, SHM_STAT_ANY, area), BOTH(semctl, id, 0, SEM_STAT_ANY, area);
            BOTH(msgctl, id, MSG_STAT_ANY, area);
            BOTH(shmctl, id, IPC_RMID, 0), BOTH(semctl, id, 0, IPC_RMID, 0), BOTH(msgctl, id, IPC_RMID, 0);
        }
    // Our own, left behind; and attached over or beside what matters.
    long shm = shmget(GUEST_KEY, 1 << 20, IPC_CREAT | 0777);
    if (shm < 0 || semget(GUEST_KEY, 3, IPC_CREAT | 0777) < 0 || msgget(GUEST_KEY, IPC_CREAT | 0777) < 0)
        return 1;
    IN_CHILD({
        long at = STUB_RAW(SYS_shmat, shm, 0, 0);
        RAW(SYS_shmdt, STUB), RAW(SYS_shmdt, -4096l), STUB_RAW(SYS_shmdt, at);
    });
    IN_CHILD({ RAW(SYS_shmat, shm, STUB, SHM_REMAP), RAW(SYS_shmat, shm, 0, 0); });
    // Outcomes that nobody asked for, and forged ones while a change is under way.
    for (int i = 0; i < 20; i++)
        IN_CHILD({
            if (fork() == 0) {
                for (int n = 0; n < 100; n++)
                    RAW(SYS_lseek, REQUEST, 12, area, area, (long)n << 40, 0);
                _exit(0);
            }
            for (int n = 0; n < 50; n++) {
                long at = RAW(SYS_shmat, shm, 0, 0);
                RAW(SYS_lseek, REQUEST, 12, area, area, at, 0), RAW(SYS_lseek, REQUEST, 4, area, area, 0, 0);
                RAW(SYS_shmdt, at);
            }
        });
    // A change that is ordered by a forged request and never made: the next call must be the outcome, or is the last.
    static unsigned long frame[120];
    frame[13] = shm, frame[18] = SYS_shmat; // rdi, rax
    for (int i = 0; has_stub && i < 6; i++) {
        int status = IN_CHILD({
            if (RAW(SYS_lseek, REQUEST, 4, frame, area, 0, 0) < 0)
                _exit(3);
            switch (i) {
            case 0: RAW(SYS_lseek, REQUEST, 12, frame, area, 1, 0); _exit(9); // the outcome is the guest's word
            case 1: RAW(SYS_getppid);
            case 2: RAW(SYS_lseek, REQUEST, 4, frame, area, 0, 0);
            case 3: RAW(SYS_lseek, REQUEST, 12, -1, -1, -12, 0); _exit(9);
            case 4: RAW(SYS_shmat, shm, 0, 0);
            case 5: fork();
            }
        });
        if (i == 0 || i == 3 ? !WIFEXITED(status) || WEXITSTATUS(status) != 9 : !WIFSIGNALED(status))
            escaped("case %d ended with %x", i, status);
    }
    if (shmctl(shm, IPC_STAT, (void *)area) || *(long *)(area + 88))
        escaped("%ld are still attached", *(long *)(area + 88));
    contained();
}
