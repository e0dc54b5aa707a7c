// System V IPC: memory that processes share, semaphores and messages that they wait for, what exit and removal do.
#include "check.h"
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>

union semun { int val; struct semid_ds *buf; unsigned short *array; };
static int shm, sem, msg, other;
static sigjmp_buf back;

static void clean(void) {
    shmctl(shm, IPC_RMID, NULL), semctl(sem, 0, IPC_RMID), msgctl(msg, IPC_RMID, NULL), semctl(other, 0, IPC_RMID);
}
static void nothing(int signo) { (void)signo; }
static void fault(int signo, siginfo_t *i, void *context) {
    (void)context;
    printf("signal %d code %d\n", signo, i->si_code);
    siglongjmp(back, 1);
}
#define TOUCH(what) \
    do { \
        if (!sigsetjmp(back, 1)) printf("%s -> %d\n", #what, (int)(what)); \
    } while (0)
static int attached(void) {
    struct shmid_ds ds;
    return shmctl(shm, IPC_STAT, &ds) ? -1 : (int)ds.shm_nattch;
}
static int op(int id, int number, int value, int flags) {
    struct sembuf s = {number, value, flags};
    return semop(id, &s, 1);
}
static void until(int value, int command) { // until so many wait
    while (semctl(sem, 0, command) != value) nap(1);
}
#define CHILD(...) \
    ({ \
        pid_t pid_ = fork(); \
        if (!pid_) { \
            __VA_ARGS__; \
            _exit(0); \
        } \
        pid_; \
    })

static void maps(void) {
    char line[256], mode[8], name[64];
    unsigned long offset, inode;
    for (FILE *f = fopen("/proc/self/maps", "r"); fgets(line, sizeof line, f);)
        if (sscanf(line, "%*s %7s %lx %*s %lu %63[^\n]", mode, &offset, &inode, name) == 4 && strstr(name, "SYSV"))
            printf("%s %lx %d %s\n", mode, offset, (int)inode == shm, name);
}

static void memory(void) {
    shm = shmget(IPC_PRIVATE, 10000, IPC_CREAT | 0600);
    char *at = shmat(shm, NULL, 0);
    SHOW(at[0] + at[9999]), SHOW(attached());
    strcpy(at, "parent");
    pid_t pid = CHILD(printf("child: %s, %d attached\n", at, attached()); strcpy(at, "child");
                      char *again = shmat(shm, NULL, SHM_RDONLY); printf("child: %s, %d attached\n", again, attached());
                      TOUCH(again[0] = 1); FAILS(mprotect(again, 4096, PROT_READ | PROT_WRITE)); SHOW(shmdt(again));
                      printf("child: %d attached\n", attached()));
    show_status("child", status_of(pid));
    printf("%s, %d attached\n", at, attached());
    pid = CHILD(execl("/bin/true", "true", NULL));
    status_of(pid);
    SHOW(attached());
    char *fixed = mmap(NULL, 1 << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAILS((long)shmat(shm, fixed + 4096, 0));
    SHOW(shmat(shm, fixed + 4096 + 7, SHM_RND | SHM_REMAP) == fixed + 4096);
    SHOW(strcmp(fixed + 4096, "child")), SHOW(attached());
    SHOW(munmap(fixed + 8192, 4096));
    TOUCH(fixed[8192]);
    SHOW(attached());
    maps();
    SHOW(shmdt(fixed + 4096)), FAILS(shmdt(fixed + 4096));
    TOUCH(fixed[4096]);
    TOUCH(fixed[12288]);
    SHOW(attached());
    SHOW(shmctl(shm, IPC_RMID, NULL));
    struct shmid_ds ds;
    SHOW(shmctl(shm, IPC_STAT, &ds));
    printf("mode %o key %d\n", ds.shm_perm.mode, ds.shm_perm.__key);
    pid = CHILD(strcpy(at, "last"); pause());
    while (strcmp(at, "last")) nap(1);
    SHOW(shmdt(at)), SHOW(attached());
    kill(pid, SIGKILL), status_of(pid);
    for (int i = 0; i < 1000 && attached() >= 0; i++) nap(1); // an address space may outlive its zombie
    FAILS(attached());

    // many at once, and by many threads' worth of processes
    shm = shmget(IPC_PRIVATE, 4096, 0600);
    atomic_int *counter = shmat(shm, NULL, 0);
    pid_t pids[8];
    for (int i = 0; i < 8; i++)
        pids[i] = CHILD(for (int n = 0; n < 200; n++) {
            atomic_int *mine = shmat(shm, NULL, 0);
            atomic_fetch_add(mine, 1);
            if (mine == (void *)-1 || shmdt(mine)) _exit(1);
        });
    for (int i = 0; i < 8; i++) show_status("worker", status_of(pids[i]));
    SHOW(*counter);
    for (int i = 0; i < 1000 && attached() != 1; i++) nap(1);
    SHOW(attached());
    SHOW(shmctl(shm, IPC_RMID, NULL)), SHOW(shmdt(counter)), FAILS(attached());
}

static volatile sig_atomic_t ticks;
static void tick(int signo) { (void)signo, ticks++; }
static void *mapper(void *wrong) {
    int fd = open("/bin/sh", O_RDONLY);
    for (int i = 0; i < 300; i++) {
        char *at = shmat(shm, NULL, i & 1 ? SHM_RDONLY : 0), *file = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if (at == (void *)-1 || at[8] != 's' || file == MAP_FAILED || memcmp(file, "\177ELF", 4)) ++*(atomic_int *)wrong;
        if (shmdt(at) || munmap(file, 4096)) ++*(atomic_int *)wrong;
    }
    close(fd);
    return NULL;
}

// Signals that arrive while memory is being mapped and unmapped, by several threads.
static void interrupted_mapping(void) {
    shm = shmget(IPC_PRIVATE, 4096, 0600);
    char *at = shmat(shm, NULL, 0);
    at[8] = 's';
    struct sigaction action = {.sa_handler = tick, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &often, NULL);
    pthread_t threads[3];
    atomic_int wrong = 0;
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, mapper, &wrong);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    setitimer(ITIMER_REAL, &never, NULL);
    SHOW(wrong), SHOW(ticks > 3), SHOW(attached());
    SHOW(shmdt(at)), SHOW(attached()), SHOW(shmctl(shm, IPC_RMID, NULL));
}

static void *locker(void *counter) {
    for (int i = 0; i < 200; i++) {
        op(sem, 0, -1, SEM_UNDO);
        ++*(volatile int *)counter;
        op(sem, 0, 1, SEM_UNDO);
    }
    return NULL;
}

static void semaphores(void) {
    sem = semget(IPC_PRIVATE, 2, IPC_CREAT | 0600);
    pid_t pid = CHILD(exit(op(sem, 0, -3, 0)));
    until(1, GETNCNT);
    SHOW(op(sem, 0, 2, 0)), SHOW(semctl(sem, 0, GETVAL)), SHOW(op(sem, 0, 1, 0)), SHOW(semctl(sem, 0, GETVAL));
    show_status("waiter", status_of(pid));
    SHOW(semctl(sem, 0, GETPID) == pid);
    op(sem, 0, 1, 0);
    pid = CHILD(exit(op(sem, 0, 0, 0)));
    until(1, GETZCNT);
    SHOW(semctl(sem, 0, SETVAL, 0));
    show_status("waiter for zero", status_of(pid));

    struct timespec time = {0, 20000000};
    struct sembuf take = {0, -1, 0};
    FAILS(semtimedop(sem, &take, 1, &time));
    struct sigaction action = {.sa_handler = nothing, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &action, NULL);
    struct itimerval alarm = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &alarm, NULL);
    FAILS(semop(sem, &take, 1)); // EINTR, whatever SA_RESTART says

    // what a process did with SEM_UNDO is taken back at its end, even at a violent one
    semctl(sem, 0, SETVAL, 5);
    pid = CHILD(op(sem, 0, -4, SEM_UNDO); op(sem, 1, 3, SEM_UNDO); op(sem, 1, -1, 0); pause());
    while (semctl(sem, 1, GETVAL) != 2) nap(1);
    SHOW(semctl(sem, 0, GETVAL));
    kill(pid, SIGKILL);
    status_of(pid);
    SHOW(semctl(sem, 0, GETVAL)), SHOW(semctl(sem, 1, GETVAL));
    pid = CHILD(op(sem, 0, -4, SEM_UNDO); execl("/bin/true", "true", NULL));
    show_status("exec keeps the undo values", status_of(pid));
    SHOW(semctl(sem, 0, GETVAL));

    semctl(sem, 0, SETVAL, 1);
    pthread_t threads[4];
    int counter = 0;
    for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, locker, &counter);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    SHOW(counter), SHOW(semctl(sem, 0, GETVAL));

    unsigned short values[2] = {7, 9};
    SHOW(semctl(sem, 0, SETALL, values)), memset(values, 0, sizeof values);
    SHOW(semctl(sem, 0, GETALL, values)), SHOW(values[0] * 10 + values[1]);
    other = semget(IPC_PRIVATE, 1, 0600);
    pid = CHILD(_exit(op(other, 0, -1, 0) ? errno : 0));
    while (semctl(other, 0, GETNCNT) != 1) nap(1);
    SHOW(semctl(other, 0, IPC_RMID));
    show_status("EIDRM", status_of(pid));
    SHOW(semctl(sem, 0, IPC_RMID));
}

struct message { long type; char text[8192]; };

static void messages(void) {
    static struct message m, big = {3, {0}};
    msg = msgget(IPC_PRIVATE, 0600);
    pid_t pid = CHILD(ssize_t n = msgrcv(msg, &m, 100, -5, 0); _exit(m.type == 5 && n == 4 && !memcmp(m.text, "five", 4)));
    m.type = 9, strcpy(m.text, "not for it");
    SHOW(msgsnd(msg, &m, 10, 0));
    nap(10);
    m.type = 5, strcpy(m.text, "five");
    SHOW(msgsnd(msg, &m, 4, 0));
    show_status("receiver", status_of(pid));
    SHOW(msgrcv(msg, &m, 100, 0, 0)), SHOW(m.type);

    // a sender waits for room, its receiver takes one by one
    pid = CHILD(for (int i = 0; i < 6; i++) if (msgsnd(msg, &big, sizeof big.text, 0)) _exit(1));
    for (int i = 0; i < 6; i++) SHOW(msgrcv(msg, &m, sizeof m.text, 0, 0));
    show_status("sender", status_of(pid));
    FAILS(msgrcv(msg, &m, 10, 0, IPC_NOWAIT));
    struct itimerval alarm = {{0, 0}, {0, 20000}};
    setitimer(ITIMER_REAL, &alarm, NULL);
    FAILS(msgrcv(msg, &m, 10, 0, 0));
    while (!msgsnd(msg, &big, 4000, IPC_NOWAIT)) {}
    SHOW(errno == EAGAIN);
    setitimer(ITIMER_REAL, &alarm, NULL);
    FAILS(msgsnd(msg, &big, 4000, 0));
    struct msqid_ds ds;
    SHOW(msgctl(msg, IPC_STAT, &ds)), SHOW(ds.msg_qnum), SHOW(ds.__msg_cbytes), SHOW(ds.msg_lspid == getpid());
    pid = CHILD(_exit(msgsnd(msg, &big, 4000, 0) ? errno : 0));
    nap(20);
    SHOW(msgctl(msg, IPC_RMID, NULL));
    show_status("EIDRM", status_of(pid));
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    shm = sem = msg = other = -1;
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL), sigaction(SIGBUS, &action, NULL);
    memory();
    interrupted_mapping();
    semaphores();
    messages();
    clean();
    return 0;
}
