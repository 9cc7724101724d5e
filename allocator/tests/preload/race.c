// Threads that make the first allocation of the process at the same moment,
// then fork while the others go on.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { THREADS = 4 };

static pthread_barrier_t barrier;
static atomic_int stop;

static void *work(void *argument) {
    unsigned random = (unsigned)(size_t)argument + 1;
    pthread_barrier_wait(&barrier);
    do {
        char *blocks[16];
        for (int i = 0; i < 16; i++) {
            random = random * 1103515245 + 12345;
            size_t size = random >> 8 & 0x3fff;
            blocks[i] = malloc(size + 1);
            memset(blocks[i], i, size + 1);
        }
        for (int i = 0; i < 16; i++) {
            if (blocks[i][0] != i)
                abort();
            free(blocks[i]);
        }
    } while (!stop);
    return NULL;
}

int main(int argc, char **argv) {
    int forks = argc > 1 ? atoi(argv[1]) : 0;
    pthread_t threads[THREADS];
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (size_t i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, work, (void *)i);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < forks; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(20); // a child that hangs is killed, and seen
            for (int j = 0; j < 200; j++)
                free(malloc(j * 50));
            // and it can have children and threads of its own
            pthread_t thread;
            stop = 1;
            pthread_barrier_init(&barrier, NULL, 1);
            pthread_create(&thread, NULL, work, NULL);
            pthread_join(thread, NULL);
            _exit(0);
        }
        int status = 1;
        waitpid(child, &status, 0);
        if (status != 0) {
            printf("child %d: status %d\n", i, status);
            return 1;
        }
    }
    stop = 1;
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    printf("ok\n");
    return 0;
}
