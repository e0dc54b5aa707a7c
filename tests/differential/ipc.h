/*
 * Operations of executor.c on System V IPC objects and POSIX message queues, and on timers.
 *
 * Sets, queues and segments are named by slots, which all processes of a sequence share (but one that called exec). Each
 * is made with IPC_PRIVATE, and only what is in a slot is ever touched; the driver removes what is left, and on a host
 * where it may, it works in an IPC namespace of its own. Nothing here waits.
 */
#include <mqueue.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/time.h>

enum { SEMAPHORES, MESSAGES, SEGMENTS, KINDS, SLOTS = 3 };

/* Shared by the driver and its processes; ids of objects that were removed are kept, to see how they are refused. */
static struct { int id[KINDS][SLOTS]; } *objects;

static int object(int kind_of, int i)
{
    long long slot = N(i);
    return objects && slot >= 0 && slot < SLOTS ? objects->id[kind_of][slot] : -1;
}

static void made(int kind_of, long r)
{
    if (done(r) < 0)
        return;
    long long slot = N(0);
    if (objects && slot >= 0 && slot < SLOTS) {
        objects->id[kind_of][slot] = r;
        return;
    }
    add(" no slot");
    if (kind_of == SEMAPHORES)
        semctl(r, 0, IPC_RMID);
    else if (kind_of == MESSAGES)
        msgctl(r, IPC_RMID, NULL);
    else
        shmctl(r, IPC_RMID, NULL);
}

static int taken(int kind_of)
{
    if (object(kind_of, 0) < 0)
        return 0;
    add(" taken");
    return 1;
}

static void show_perm(const struct ipc_perm *p)
{
    add(" %o u%u g%u by u%u g%u", p->mode, p->uid, p->gid, p->cuid, p->cgid);
}

static void op_semget(void) { if (!taken(SEMAPHORES)) made(SEMAPHORES, semget(IPC_PRIVATE, N(1), N(2))); }
static void op_semop(void) /* slot, then number, change, flags once or twice */
{
    struct sembuf ops[2];
    int n = 0;
    for (int i = 1; i + 2 < nargs && n < 2; i += 3)
        ops[n++] = (struct sembuf){N(i), N(i + 1), N(i + 2) | IPC_NOWAIT};
    result(syscall(SYS_semop, object(SEMAPHORES, 0), ops, n));
}
static void op_semctl(void) /* slot number command value */
{
    unsigned short all[16];
    struct semid_ds ds;
    memset(&ds, 0, sizeof ds);
    memset(all, 0, sizeof all);
    int id = object(SEMAPHORES, 0), command = N(2);
    if (command == GETALL || command == SETALL) {
        all[0] = all[1] = N(3);
        if (!result(syscall(SYS_semctl, id, 0, command, all)) && command == GETALL)
            add(" %d %d %d", all[0], all[1], all[2]);
    } else if (command == IPC_STAT) {
        if (result(syscall(SYS_semctl, id, 0, command, &ds)) < 0)
            return;
        show_perm(&ds.sem_perm);
        add(" of %lu, operated %d changed %d", ds.sem_nsems, ds.sem_otime != 0, ds.sem_ctime != 0);
    } else if (command == IPC_SET) {
        ds.sem_perm.mode = N(3) & 0777;
        ds.sem_perm.uid = N(1);
        result(syscall(SYS_semctl, id, 0, command, &ds));
    } else if (command == GETPID) {
        ids(syscall(SYS_semctl, id, (int)N(1), command, 0));
    } else {
        result(syscall(SYS_semctl, id, (int)N(1), command, N(3)));
    }
}

static void op_msgget(void) { if (!taken(MESSAGES)) made(MESSAGES, msgget(IPC_PRIVATE, N(1))); }
static void op_msgsnd(void) /* slot type size */
{
    static struct { long type; char text[10000]; } message;
    size_t n = fill(N(2)) % sizeof message.text;
    message.type = N(1);
    memcpy(message.text, buffer, n);
    result(syscall(SYS_msgsnd, object(MESSAGES, 0), &message, N(2) < 0 ? (size_t)-1 : n, IPC_NOWAIT));
}
static void op_msgrcv(void) /* slot type size flags */
{
    static struct { long type; char text[10000]; } message;
    size_t n = N(2) < 0 ? (size_t)-1 : (size_t)N(2) % sizeof message.text;
    long r = result(syscall(SYS_msgrcv, object(MESSAGES, 0), &message, n, N(1), (int)N(3) | IPC_NOWAIT));
    if (r >= 0) {
        add(" type %ld", message.type);
        show(message.text, r);
    }
}
static void op_msgctl(void) /* slot command value mode */
{
    struct msqid_ds ds;
    memset(&ds, 0, sizeof ds);
    ds.msg_qbytes = N(2);
    ds.msg_perm.mode = N(3);
    if (result(syscall(SYS_msgctl, object(MESSAGES, 0), (int)N(1), &ds)) < 0 || N(1) != IPC_STAT)
        return;
    show_perm(&ds.msg_perm);
    add(" n%lu bytes %lu of %lu P:%d P:%d sent %d received %d", ds.msg_qnum, ds.__msg_cbytes, ds.msg_qbytes,
        ds.msg_lspid, ds.msg_lrpid, ds.msg_stime != 0, ds.msg_rtime != 0);
}

static void op_shmget(void) { if (!taken(SEGMENTS)) made(SEGMENTS, shmget(IPC_PRIVATE, N(1), N(2))); }
static void op_shmat(void) /* slot map flags */
{
    int i = N(1) & 3, id = object(SEGMENTS, 0);
    struct shmid_ds ds;
    drop(i);
    char *address = (char *)syscall(SYS_shmat, id, NULL, (int)N(2));
    if (done(address == MAP_FAILED ? -1 : 0) < 0)
        return;
    maps[i].address = address;
    maps[i].segment = 1;
    maps[i].size = shmctl(id, IPC_STAT, &ds) ? 4096 : ds.shm_segsz;
}
static void op_shmdt(void)
{
    int i = N(0) & 3;
    if (!maps[i].address)
        add(" none");
    else if (!result(syscall(SYS_shmdt, maps[i].address)))
        maps[i].address = NULL;
}
static void op_shmctl(void) /* slot command mode */
{
    struct shmid_ds ds;
    memset(&ds, 0, sizeof ds);
    ds.shm_perm.mode = N(2);
    if (result(syscall(SYS_shmctl, object(SEGMENTS, 0), (int)N(1), &ds)) < 0 || N(1) != IPC_STAT)
        return;
    show_perm(&ds.shm_perm);
    add(" s%lu attached %lu P:%d P:%d, %d %d", ds.shm_segsz, ds.shm_nattch, ds.shm_cpid, ds.shm_lpid, ds.shm_atime != 0,
        ds.shm_dtime != 0);
}

/* Of the driver: remove whatever a sequence has left. */
static void remove_objects(void)
{
    for (int i = 0; i < SLOTS; i++) {
        if (objects->id[SEMAPHORES][i] >= 0)
            semctl(objects->id[SEMAPHORES][i], 0, IPC_RMID);
        if (objects->id[MESSAGES][i] >= 0)
            msgctl(objects->id[MESSAGES][i], IPC_RMID, NULL);
        if (objects->id[SEGMENTS][i] >= 0)
            shmctl(objects->id[SEGMENTS][i], IPC_RMID, NULL);
    }
    memset(objects, -1, sizeof *objects);
}

/* -- message queues -------------------------------------------------------------------------------------------- */

/* A queue's name says which directory, and with it which run, it belongs to. */
static const char *queue(const char *directory, int slot)
{
    static char name[256];
    snprintf(name, sizeof name, "%.240s-%d", directory + 1, slot & 3);
    for (char *p = name; *p; p++)
        if (*p == '/')
            *p = '_';
    return name;
}
static void op_mq_open(void) /* slot flags mode messages size; messages 0: the default */
{
    struct mq_attr a = {.mq_maxmsg = N(3), .mq_msgsize = N(4)};
    result(syscall(SYS_mq_open, queue(base, N(0)), (int)N(1), (int)N(2), N(3) ? &a : NULL));
}
static void op_mq_unlink(void) { result(syscall(SYS_mq_unlink, queue(base, N(0)))); }
static void op_mq_send(void) /* fd size priority */
{
    struct timespec past = {1, 0};
    result(syscall(SYS_mq_timedsend, (int)N(0), buffer, fill(N(1)), (unsigned)N(2), &past));
}
static void op_mq_receive(void) /* fd size */
{
    struct timespec past = {1, 0};
    unsigned priority = 0;
    long r = result(syscall(SYS_mq_timedreceive, (int)N(0), buffer, room(N(1)), &priority, &past));
    if (r >= 0) {
        add(" priority %u", priority);
        show(buffer, r);
    }
}
static void op_mq_attr(void) /* fd flags; flags -1: only look */
{
    struct mq_attr new = {.mq_flags = N(1)}, a;
    memset(&a, 0, sizeof a);
    if (!result(syscall(SYS_mq_getsetattr, (int)N(0), N(1) < 0 ? NULL : &new, &a)))
        add(" %lo %ld %ld n%ld", a.mq_flags, a.mq_maxmsg, a.mq_msgsize, a.mq_curmsgs);
}
static void op_mq_notify(void) /* fd how signal; how -1: no more */
{
    struct sigevent e = {.sigev_notify = N(1), .sigev_signo = N(2)};
    result(syscall(SYS_mq_notify, (int)N(0), N(1) < 0 ? NULL : &e));
}
static void remove_queues(const char *directory)
{
    for (int i = 0; i < 4; i++)
        syscall(SYS_mq_unlink, queue(directory, i));
}

/* -- timers ---------------------------------------------------------------------------------------------------- */

static long about(long seconds) /* to the next ten: time passes, and the clocks of processors tick */
{
    return (seconds + 5) / 10 * 10;
}
static void show_timer(const struct itimerspec *t)
{
    add(" %ld each %ld", about(t->it_value.tv_sec), (long)t->it_interval.tv_sec);
}
static void op_timerfd_arm(void) /* fd seconds interval flags */
{
    struct itimerspec t = {{N(2), 0}, {N(1), 0}}, old;
    if (!result(syscall(SYS_timerfd_settime, (int)N(0), (int)N(3), &t, &old)))
        show_timer(&old);
}
static void op_timerfd_get(void)
{
    struct itimerspec t;
    if (!result(syscall(SYS_timerfd_gettime, (int)N(0), &t)))
        show_timer(&t);
}
static void op_setitimer(void) /* which seconds interval */
{
    struct itimerval t = {{N(2), 0}, {N(1), 0}}, old;
    if (!result(syscall(SYS_setitimer, (int)N(0), &t, &old)))
        add(" %ld each %ld", about(old.it_value.tv_sec), (long)old.it_interval.tv_sec);
}
static void op_getitimer(void)
{
    struct itimerval t;
    if (!result(syscall(SYS_getitimer, (int)N(0), &t)))
        add(" %ld each %ld", about(t.it_value.tv_sec), (long)t.it_interval.tv_sec);
}
static void op_alarm(void) { add(" %ld", about(syscall(SYS_alarm, (unsigned)N(0)))); }
static int timers[4] = {-1, -1, -1, -1};
static void op_timer_create(void) /* slot clock how signal */
{
    struct sigevent e = {.sigev_notify = N(2), .sigev_signo = N(3)};
    result(syscall(SYS_timer_create, (int)N(1), &e, &timers[N(0) & 3]));
}
static void op_timer_settime(void) /* slot seconds interval flags */
{
    struct itimerspec t = {{N(2), 0}, {N(1), 0}}, old;
    if (!result(syscall(SYS_timer_settime, timers[N(0) & 3], (int)N(3), &t, &old)))
        show_timer(&old);
}
static void op_timer_gettime(void)
{
    struct itimerspec t;
    if (!result(syscall(SYS_timer_gettime, timers[N(0) & 3], &t)))
        show_timer(&t);
}
static void op_timer_getoverrun(void) { result(syscall(SYS_timer_getoverrun, timers[N(0) & 3])); }
static void op_timer_delete(void) { result(syscall(SYS_timer_delete, timers[N(0) & 3])); }
