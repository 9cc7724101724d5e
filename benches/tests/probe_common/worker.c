// Does what the tests of the supervisor ask for; the first argument says what.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, THREADS = 4, ROUNDS = 500 };

static void check(int ok, const char *what) {
    if (!ok) {
        perror(what);
        _exit(99);
    }
}

// `prctl` as a variadic function would take 64-bit arguments only by luck.
static void mark(unsigned long phase) {
    check(syscall(SYS_prctl, 0x62726b70UL, phase, 0UL, 0UL, 0UL) == -1 && errno == EINVAL, "mark");
}

static char *map(size_t len) {
    char *p = mmap(0, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    check(p != MAP_FAILED, "mmap");
    return p;
}

static long minor_faults(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_minflt;
}

static void touch(char *p, long pages) {
    for (long i = 0; i < pages; i++)
        ((volatile char *)p)[i * PAGE] = 1;
}

// touch N: prints how many faults N first touches are.
static int do_touch(long pages) {
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
    char *p = map(1000 * PAGE);
    minor_faults();
    long before = minor_faults();
    touch(p, pages);
    long after = minor_faults();
    char line[32];
    int n = snprintf(line, sizeof line, "%ld\n", after - before);
    return write(1, line, n) != n;
}

static pthread_barrier_t barrier;

static void *churn(void *unused) {
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < ROUNDS; i++) {
        char *p = mmap(0, 3 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        check(p != MAP_FAILED, "mmap");
        check(!munmap(p, 3 * PAGE), "munmap");
    }
    pthread_barrier_wait(&barrier);
    // Stay until all is counted: a thread that ends calls madvise.
    pthread_barrier_wait(&barrier);
    return unused;
}

// threads: in phase 1, THREADS x ROUNDS mmap and munmap of 3 pages.
static int do_threads(void) {
    pthread_t t[THREADS];
    pthread_barrier_init(&barrier, 0, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        check(!pthread_create(&t[i], 0, churn, 0), "pthread_create");
    mark(1);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    mark(2);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < THREADS; i++)
        pthread_join(t[i], 0);
    return 0;
}

// forks: in phase 1, 3 children (one by vfork) with 50 mprotect each.
static int do_forks(void) {
    static char *p;
    p = map(PAGE);
    mark(1);
    for (int i = 0; i < 3; i++) {
        pid_t pid = i == 2 ? vfork() : fork();
        check(pid >= 0, "fork");
        if (!pid) {
            for (int j = 0; j < 50; j++)
                mprotect(p, PAGE, PROT_READ);
            _exit(0);
        }
        waitpid(pid, 0, 0);
    }
    mark(2);
    return 0;
}

static volatile sig_atomic_t alarms;
static void on_alarm(int unused) { alarms++; }

// alarms: in phase 1, mmap and munmap 2,000 times while a timer interrupts, at
// least 100 times.
static int do_alarms(void) {
    struct sigaction sa = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    sigaction(SIGALRM, &sa, 0);
    struct itimerval timer = {{0, 200}, {0, 200}};
    setitimer(ITIMER_REAL, &timer, 0);
    mark(1);
    for (int i = 0; i < 2000; i++)
        munmap(map(PAGE), PAGE);
    mark(2);
    while (alarms < 100)
        ;
    return 0;
}

static void *exec_from_thread(void *argv) {
    mark(1);
    execv("/proc/self/exe", argv);
    return 0;
}

static void *sleeper(void *unused) {
    for (;;)
        pause();
    return unused;
}

// thread-exec: a thread that is not the first executes "protect7".
static int do_thread_exec(char *self) {
    pthread_t t;
    static char *argv[] = {0, "protect7", 0};
    argv[0] = self;
    pthread_create(&t, 0, sleeper, 0);
    pthread_create(&t, 0, exec_from_thread, argv);
    sleeper(0);
    return 1;
}

// protect7: in phase 2, 7 mprotect.
static int do_protect7(void) {
    char *p = map(PAGE);
    mark(2);
    for (int i = 0; i < 7; i++)
        mprotect(p, PAGE, PROT_READ);
    mark(3);
    return 0;
}

static long raw_brk(long to) { return syscall(SYS_brk, to); }

// brk: in phase 1, the heap grows by 10 pages, shrinks by 4, grows by 1 page and
// 1 byte; asks for the impossible; a forked child grows its copy by 5 pages, and
// a vforked one the heap itself by 2.
static int do_brk(void) {
    long start = raw_brk(0), top = (start + PAGE - 1) / PAGE * PAGE;
    raw_brk(top);
    mark(1);
    raw_brk(top + 10 * PAGE);
    raw_brk(top + 6 * PAGE);
    raw_brk(top + 7 * PAGE + 1);
    mark(2);
    raw_brk(1L << 62);
    mark(3);
    pid_t pid = fork();
    if (!pid) {
        raw_brk(top + 13 * PAGE);
        _exit(0);
    }
    waitpid(pid, 0, 0);
    static long goal;
    goal = top + 10 * PAGE;
    pid = vfork();
    if (!pid) {
        raw_brk(goal);
        _exit(0);
    }
    waitpid(pid, 0, 0);
    raw_brk(top + 11 * PAGE);
    mark(4);
    return 0;
}

#ifdef __x86_64__
// i386: in phase 1, 5 calls of brk(0) by the 32-bit convention.
static int do_i386(void) {
    mark(1);
    for (int i = 0; i < 5; i++) {
        long result;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(45), "b"(0) : "memory");
    }
    mark(2);
    return 0;
}
#endif

// rss N: touches N MiB.
static int do_rss(long mib) {
    char *p = map(mib << 20);
    touch(p, mib << 8);
    return 0;
}

// tree-rss: two children of 32 MiB each at once; each lives for 0.2 s.
static int do_tree_rss(void) {
    for (int i = 0; i < 2; i++)
        if (!fork()) {
            do_rss(32);
            usleep(200000);
            _exit(0);
        }
    while (wait(0) > 0)
        ;
    return 0;
}

// vfork-rss: touches 64 MiB and lets a vforked child sleep for 0.3 s.
static int do_vfork_rss(void) {
    do_rss(64);
    if (!vfork()) {
        usleep(300000);
        _exit(0);
    }
    return 0;
}

// killed-rss: a child touches 48 MiB, stays for 0.2 s, and dies by a signal.
static int do_killed_rss(void) {
    pid_t pid = fork();
    if (!pid) {
        do_rss(48);
        usleep(200000);
        raise(SIGKILL);
    }
    waitpid(pid, 0, 0);
    return 0;
}

// daemon FILE: leaves a process in a session of its own, ignoring what can be
// ignored, whose id it writes to FILE, and ends when that is done.
static int do_daemon(const char *file) {
    int pipe_fds[2];
    check(!pipe(pipe_fds), "pipe");
    if (!fork()) {
        setsid();
        if (fork())
            _exit(0);
        for (int number = 1; number < 32; number++)
            if (number != SIGCHLD)
                signal(number, SIG_IGN);
        FILE *f = fopen(file, "w");
        check(f != 0, "fopen");
        fprintf(f, "%d\n", getpid());
        fclose(f);
        check(write(pipe_fds[1], "x", 1) == 1, "write");
        for (;;)
            pause();
    }
    char byte;
    check(read(pipe_fds[0], &byte, 1) == 1, "read");
    return 0;
}

// stop: stops itself; a child continues it after a while.
static int do_stop(void) {
    pid_t self = getpid();
    if (!fork()) {
        usleep(100000);
        kill(self, SIGCONT);
        _exit(0);
    }
    raise(SIGSTOP);
    wait(0);
    return 5;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    const char *more = argc > 2 ? argv[2] : "0";
    if (!strcmp(what, "touch")) return do_touch(atol(more));
    if (!strcmp(what, "threads")) return do_threads();
    if (!strcmp(what, "forks")) return do_forks();
    if (!strcmp(what, "alarms")) return do_alarms();
    if (!strcmp(what, "thread-exec")) return do_thread_exec(argv[0]);
    if (!strcmp(what, "protect7")) return do_protect7();
    if (!strcmp(what, "brk")) return do_brk();
#ifdef __x86_64__
    if (!strcmp(what, "i386")) return do_i386();
#endif
    if (!strcmp(what, "rss")) return do_rss(atol(more));
    if (!strcmp(what, "tree-rss")) return do_tree_rss();
    if (!strcmp(what, "vfork-rss")) return do_vfork_rss();
    if (!strcmp(what, "killed-rss")) return do_killed_rss();
    if (!strcmp(what, "daemon")) return do_daemon(more);
    if (!strcmp(what, "stop")) return do_stop();
    if (!strcmp(what, "segfault")) return raise(SIGSEGV);
    fprintf(stderr, "worker: do not know %s\n", what);
    return 98;
}
