/* Allocates at random in several threads, keeps its own accounts, and tells at
 * the end how many blocks of its own are live and how many bytes. All its sizes
 * are odd, so that they are told from those of the C library. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SLOTS = 256, MOST = 64 };

struct part {
    void *block[SLOTS];
    size_t size[SLOTS];
    unsigned long long random;
    long operations, blocks, bytes;
};

static struct part parts[MOST];

static unsigned draw(struct part *part) {
    part->random = part->random * 6364136223846793005ULL + 1442695040888963407ULL;
    return part->random >> 33;
}

static size_t odd(unsigned number) { return number | 1; }

static void let_go(struct part *part, int at) {
    if (part->block[at]) {
        free(part->block[at]);
        part->block[at] = 0;
        part->blocks--;
        part->bytes -= part->size[at];
    }
}

static void *work(void *argument) {
    struct part *part = argument;
    for (long i = 0; i < part->operations; i++) {
        int at = draw(part) % SLOTS;
        if (!part->block[at]) {
            size_t size = odd(draw(part) % 3000);
            if (draw(part) % 100 == 0) size = odd(size * 300);
            switch (draw(part) % 4) {
            case 0: part->block[at] = calloc(1, size); break;
            case 1: if (posix_memalign(&part->block[at], 64, size)) abort(); break;
            default: part->block[at] = malloc(size);
            }
            part->size[at] = size;
            part->blocks++;
            part->bytes += size;
        } else if (draw(part) % 3 == 0) {
            size_t size = odd(draw(part) % 5000);
            part->block[at] = realloc(part->block[at], size);
            part->bytes += (long)size - (long)part->size[at];
            part->size[at] = size;
        } else {
            let_go(part, at);
        }
    }
    return 0;
}

static void run(int from, int count) {
    pthread_t threads[MOST];
    for (int i = 0; i < count; i++) pthread_create(&threads[i], 0, work, &parts[from + i]);
    for (int i = 0; i < count; i++) pthread_join(threads[i], 0);
}

static void tell(const char *who, struct part *part, int count) {
    long blocks = 0, bytes = 0;
    char text[100];
    for (int i = 0; i < count; i++) blocks += part[i].blocks, bytes += part[i].bytes;
    int length = snprintf(text, sizeof text, "%s %ld %ld\n", who, blocks, bytes);
    if (write(1, text, length) != length) abort();
}

/* The handler of a signal allocates, as none should: it may come anywhere. */
static volatile sig_atomic_t signals;
static void handler(int number) { (void)number; signals++; }

int main(int count, char **words) {
    if (count < 4) return 2;
    const char *how = words[1];
    int threads = atoi(words[2]);
    long operations = atol(words[3]);
    for (int i = 0; i < MOST; i++) parts[i].random = i + 1, parts[i].operations = operations;
    if (!strcmp(how, "signals")) {
        struct sigaction action = {.sa_handler = handler, .sa_flags = SA_RESTART};
        sigaction(SIGPROF, &action, 0);
        struct timespec every = {0, 100000};
        timer_t timer;
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGPROF};
        timer_create(CLOCK_MONOTONIC, &event, &timer);
        struct itimerspec interval = {every, every};
        timer_settime(timer, 0, &interval, 0);
    }
    if (!strcmp(how, "many")) {
        /* Thousands of short threads, whose blocks outlive them and are freed here. */
        for (int round = 0; round < 400; round++) {
            run(0, threads);
            for (int i = 0; i < threads; i++)
                for (int at = 0; at < SLOTS; at += 2) let_go(&parts[i], at);
        }
    } else if (threads == 1) {
        work(&parts[0]);
    } else {
        run(0, threads);
    }
    /* Every second block passes to this thread. */
    for (int i = 0; i < threads; i++)
        for (int at = 0; at < SLOTS; at += 2) let_go(&parts[i], at);
    if (!strcmp(how, "fork")) {
        pid_t child = fork();
        if (!child) {
            for (int at = 0; at < SLOTS; at++) free(parts[0].block[at]);
            struct part own = {.random = 99, .operations = operations};
            work(&own);
            tell("child", &own, 1);
            _exit(0);
        }
        waitpid(child, 0, 0);
    }
    tell("parent", parts, threads);
    if (!strcmp(how, "_exit")) _exit(3);
    if (!strcmp(how, "kill")) raise(SIGKILL);
    if (!strcmp(how, "exec")) execlp("true", "true", (char *)0);
    return 0;
}
