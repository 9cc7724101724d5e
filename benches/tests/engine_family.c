/* The promises of the C malloc family, checked in a process of whatever
   allocator is preloaded. Prints each promise that is broken, and "done". */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Called through these, since compilers know what malloc does and delete it. */
static void *(*volatile v_malloc)(size_t) = malloc;
static void *(*volatile v_calloc)(size_t, size_t) = calloc;
static void *(*volatile v_realloc)(void *, size_t) = realloc;
static void *(*volatile v_reallocarray)(void *, size_t, size_t) = reallocarray;
static void *(*volatile v_memalign)(size_t, size_t) = memalign;
static void *(*volatile v_aligned_alloc)(size_t, size_t) = aligned_alloc;
static int (*volatile v_posix_memalign)(void **, size_t, size_t) = posix_memalign;
static void *(*volatile v_valloc)(size_t) = valloc;
static void *(*volatile v_pvalloc)(size_t) = pvalloc;
static void (*volatile v_free)(void *) = free;

#define CHECK(promise) do { if (!(promise)) printf("broken: %s (line %d)\n", #promise, __LINE__); } while (0)
#define FAILS_WITH(error, call) do { errno = 0; void *p_ = (call); CHECK(p_ == NULL && #call); CHECK(errno == error && #call); } while (0)

static int aligned(void *p, size_t to) { return p != NULL && (uintptr_t)p % to == 0; }

static void sizes(void) {
    for (size_t n = 0; n < 300000; n = n < 64 ? n + 1 : n * 5 / 4) {
        unsigned char *p = v_malloc(n);
        CHECK(aligned(p, 16) || (n < 16 && aligned(p, 8)));
        CHECK(malloc_usable_size(p) >= n);
        memset(p, 0xa5, malloc_usable_size(p));
        p = v_realloc(p, n + 100);
        CHECK(p != NULL);
        for (size_t i = 0; i < n; i++) if (p[i] != 0xa5) { CHECK(!"realloc keeps contents"); break; }
        p = v_reallocarray(p, 3, n + 1);
        CHECK(p != NULL && malloc_usable_size(p) >= 3 * (n + 1));
        v_free(p);
        unsigned char *z = v_calloc(n, 3);
        for (size_t i = 0; i < 3 * n; i++) if (z[i] != 0) { CHECK(!"calloc clears"); break; }
        v_free(z);
    }
    v_free(NULL);
    CHECK(malloc_usable_size(NULL) == 0);
}

static void alignments(void) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t to = 8; to <= 4 * page; to *= 2)
        for (size_t n = 1; n < 100000; n = n * 3 + 1) {
            void *a = v_memalign(to, n), *b = v_aligned_alloc(to, n), *c = NULL;
            CHECK(aligned(a, to) && malloc_usable_size(a) >= n);
            CHECK(aligned(b, to));
            CHECK(v_posix_memalign(&c, to, n) == 0 && aligned(c, to));
            memset(a, 1, n); memset(b, 2, n); memset(c, 3, n);
            CHECK(((char *)a)[n - 1] == 1 && ((char *)b)[n - 1] == 2);
            a = v_realloc(a, n + 9);
            CHECK(a != NULL && ((char *)a)[n - 1] == 1);
            v_free(a); v_free(b); v_free(c);
        }
    void *v = v_valloc(10), *p = v_pvalloc(page + 1), *nothing = v_pvalloc(0);
    CHECK(aligned(v, page) && aligned(p, page) && malloc_usable_size(p) >= 2 * page);
    CHECK(aligned(nothing, page));
    v_free(v); v_free(p); v_free(nothing);
}

static void failures(void) {
    size_t half = SIZE_MAX / 2 + 1;
    void *kept = v_malloc(10), *before = &kept, *out = before;
    FAILS_WITH(ENOMEM, v_malloc(half));
    FAILS_WITH(ENOMEM, v_malloc(SIZE_MAX));
    FAILS_WITH(ENOMEM, v_malloc(SIZE_MAX - 64));
    FAILS_WITH(ENOMEM, v_calloc(half, 2));
    FAILS_WITH(ENOMEM, v_calloc(SIZE_MAX, SIZE_MAX));
    FAILS_WITH(ENOMEM, v_realloc(kept, half));
    FAILS_WITH(ENOMEM, v_reallocarray(kept, half, 2));
    FAILS_WITH(ENOMEM, v_aligned_alloc(64, SIZE_MAX - 64));
    FAILS_WITH(ENOMEM, v_memalign(4096, half));
    FAILS_WITH(ENOMEM, v_valloc(SIZE_MAX));
    FAILS_WITH(ENOMEM, v_pvalloc(SIZE_MAX));
    CHECK(v_posix_memalign(&out, 3, 10) == EINVAL);
    CHECK(v_posix_memalign(&out, 4, 10) == EINVAL);
    CHECK(v_posix_memalign(&out, 24, 10) == EINVAL);
    CHECK(v_posix_memalign(&out, 64, half) == ENOMEM);
    CHECK(out == before && "a failing posix_memalign writes nothing");
    v_free(kept);
    errno = 7;
    v_free(v_malloc(10));
    v_free(v_malloc(1 << 20));
    CHECK(errno == 7 && "free leaves errno alone");
}

static void *churn(void *seed) {
    uint32_t x = (uint32_t)(uintptr_t)seed;
    unsigned char *blocks[64] = {0};
    size_t lengths[64] = {0};
    for (int i = 0; i < 60000; i++) {
        x = x * 1664525u + 1013904223u;
        unsigned slot = x >> 26;
        if (blocks[slot] && (blocks[slot][0] != slot || blocks[slot][lengths[slot] - 1] != slot)) CHECK(!"blocks are one thread's own");
        v_free(blocks[slot]);
        lengths[slot] = 1 + (x >> 8) % ((x & 15) ? 700 : 150000);
        blocks[slot] = v_malloc(lengths[slot]);
        blocks[slot][0] = blocks[slot][lengths[slot] - 1] = (unsigned char)slot;
    }
    for (int i = 0; i < 64; i++) v_free(blocks[i]);
    return NULL;
}

static void threads(void) {
    for (int round = 0; round < 20; round++) {
        pthread_t thread[4];
        for (uintptr_t i = 0; i < 4; i++) pthread_create(&thread[i], NULL, churn, (void *)(i + 1 + 4 * (uintptr_t)round));
        for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
    }
}

static volatile int stop;

static void *busy(void *unused) {
    while (!stop) churn((void *)(uintptr_t)77);
    return unused;
}

/* Forks while other threads allocate; a child that hangs is killed by its alarm. */
static void forks(int many) {
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) pthread_create(&thread[i], NULL, busy, NULL);
    for (int i = 0; i < many; i++) {
        pid_t child = fork();
        if (child == 0) {
            alarm(5);
            churn((void *)(uintptr_t)i);
            _exit(0);
        }
        int status = -1;
        waitpid(child, &status, 0);
        if (status != 0) { printf("broken: fork %d: wait status %d\n", i, status); break; }
    }
    stop = 1;
    for (int i = 0; i < 4; i++) pthread_join(thread[i], NULL);
}

int main(int argc, char **argv) {
    sizes();
    alignments();
    failures();
    threads();
    forks(argc > 1 ? atoi(argv[1]) : 0);
    puts("done");
    return 0;
}
