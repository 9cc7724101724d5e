/* Forks where the C library's own locks, or ours, are held.
 *
 * streams N: N forks while one thread flushes all streams and two write to
 *            streams whose write function allocates (the lock of a stream is
 *            held then; fork takes the lock of the list of streams)
 * signals N: N forks from the signal handler of a program with one thread,
 *            which it interrupts within malloc and free
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static volatile int stop, forks;

static void fork_once(void)
{
    pid_t child = fork();
    if (child == 0)
        _exit(0);
    if (child < 0)
        abort();
    while (waitpid(child, NULL, 0) < 0)
        ;
    forks++;
}

static void *flush_all(void *unused)
{
    (void)unused;
    while (!stop)
        fflush(NULL);
    return NULL;
}

static ssize_t allocate_and_write(void *unused, const char *bytes, size_t length)
{
    (void)unused;
    (void)bytes;
    for (int i = 0; i < 20; i++) {
        char *block = malloc(60000 + 2000 * i);
        if (!block)
            abort();
        block[0] = 1;
        free(block);
    }
    return length;
}

static void *write_stream(void *unused)
{
    (void)unused;
    FILE *stream = fopencookie(NULL, "w", (cookie_io_functions_t){.write = allocate_and_write});
    if (!stream)
        abort();
    while (!stop) {
        fputs("x", stream);
        fflush(stream);
        usleep(20);
    }
    fclose(stream);
    return NULL;
}

static void streams(int count)
{
    pthread_t threads[3];
    pthread_create(&threads[0], NULL, flush_all, NULL);
    pthread_create(&threads[1], NULL, write_stream, NULL);
    pthread_create(&threads[2], NULL, write_stream, NULL);
    while (forks < count)
        fork_once();
    stop = 1;
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
}

static void on_signal(int unused)
{
    (void)unused;
    fork_once();
}

static void signals(int count)
{
    static char *blocks[64];
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    struct itimerval often = {{0, 2000}, {0, 2000}};
    unsigned random = 1;
    sigaction(SIGPROF, &action, NULL);
    setitimer(ITIMER_PROF, &often, NULL);
    while (forks < count) {
        random = random * 1103515245 + 12345;
        int i = (random >> 8) % 64;
        free(blocks[i]);
        blocks[i] = malloc(40000 + (random >> 16) % 80000);
        if (!blocks[i])
            abort();
        blocks[i][0] = 1;
    }
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    /* A deadlock is a failure, not a hang. */
    alarm(120);
    (strcmp(argv[1], "streams") == 0 ? streams : signals)(atoi(argv[2]));
    puts("ok");
    return 0;
}
