"""System V IPC: commands, flags, limits, structures (linux/ipc.h, sem.h, msg.h, shm.h; asm-generic/*buf.h)."""

import struct

IPC_PRIVATE = 0
IPC_CREAT = 0o1000
IPC_EXCL = 0o2000
IPC_NOWAIT = 0o4000

IPC_RMID = 0
IPC_SET = 1
IPC_STAT = 2
IPC_INFO = 3

SEM_UNDO = 0x1000
GETPID = 11
GETVAL = 12
GETALL = 13
GETNCNT = 14
GETZCNT = 15
SETVAL = 16
SETALL = 17
SEM_STAT = 18
SEM_INFO = 19
SEM_STAT_ANY = 20

MSG_NOERROR = 0o10000
MSG_EXCEPT = 0o20000
MSG_COPY = 0o40000
MSG_STAT = 11
MSG_INFO = 12
MSG_STAT_ANY = 13

SHM_HUGETLB = 0o4000
SHM_RDONLY = 0o10000
SHM_RND = 0o20000
SHM_REMAP = 0o40000
SHM_EXEC = 0o100000
SHM_LOCK = 11
SHM_UNLOCK = 12
SHM_STAT = 13
SHM_INFO = 14
SHM_STAT_ANY = 15
#: Bits that shm_perm.mode shows beyond the permissions.
SHM_DEST = 0o1000
SHM_LOCKED = 0o2000

#: An id is sequence << IPCMNI_SHIFT | index.
IPCMNI_SHIFT = 15
IPCMNI = 1 << IPCMNI_SHIFT

SEMMNI = 32000  # sets
SEMMSL = 32000  # semaphores of a set
SEMMNS = SEMMNI * SEMMSL
SEMOPM = 500  # operations of one semop
SEMVMX = 32767
SEMAEM = SEMVMX
MSGMNI = 32000
MSGMAX = 8192
MSGMNB = 16384
SHMMNI = 4096
SHMMIN = 1
SHMMAX = (1 << 64) - 1 - (1 << 24)
SHMALL = SHMMAX

#: struct sembuf: sem_num, sem_op, sem_flg.
SEMBUF = struct.Struct("<Hhh")
#: struct ipc64_perm: key, uid, gid, cuid, cgid, mode, seq, and padding.
IPC_PERM = struct.Struct("<i5IH22x")
#: struct semid64_ds behind its sem_perm: otime, (unused), ctime, (unused), nsems, (unused).
SEMID_DS = struct.Struct("<qQqQQ16x")
#: struct msqid64_ds behind its msg_perm: stime, rtime, ctime, cbytes, qnum, qbytes, lspid, lrpid, (unused).
MSQID_DS = struct.Struct("<3q3Q2i16x")
#: struct shmid64_ds behind its shm_perm: segsz, atime, dtime, ctime, cpid, lpid, nattch, (unused).
SHMID_DS = struct.Struct("<Q3q2iQ16x")
#: struct seminfo: semmap, semmni, semmns, semmnu, semmsl, semopm, semume, semusz, semvmx, semaem.
SEMINFO = struct.Struct("<10i")
#: struct msginfo: msgpool, msgmap, msgmax, msgmnb, msgmni, msgssz, msgtql, msgseg.
MSGINFO = struct.Struct("<7iH2x")
#: struct shminfo64: shmmax, shmmin, shmmni, shmseg, shmall, (unused).
SHMINFO = struct.Struct("<5Q32x")
#: struct shm_info: used_ids, shm_tot, shm_rss, shm_swp, swap_attempts, swap_successes.
SHM_INFO_STRUCT = struct.Struct("<i4x5Q")
