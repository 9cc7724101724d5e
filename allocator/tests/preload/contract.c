// The malloc family's contract as glibc's manual has it. Prints what is broken.
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int broken;

#define EXPECT(condition) \
    do { \
        if (!(condition)) { \
            printf("line %d: %s\n", __LINE__, #condition); \
            broken = 1; \
        } \
    } while (0)

// Sizes that the compiler cannot see through.
static volatile size_t huge = SIZE_MAX / 2 + 1, ptrdiff = PTRDIFF_MAX, three = 3;

int main(void) {
    void *a = malloc(0), *b = malloc(0);
    EXPECT(a && b && a != b);
    free(a);
    free(b);
    free(NULL);

    errno = 0;
    EXPECT(malloc(ptrdiff) == NULL && errno == ENOMEM);
    errno = 0;
    EXPECT(calloc(huge, three) == NULL && errno == ENOMEM);
    a = malloc(100);
    memset(a, 7, 100);
    errno = 0;
    EXPECT(reallocarray(a, huge, three) == NULL && errno == ENOMEM);
    errno = 0;
    EXPECT(realloc(a, ptrdiff) == NULL && errno == ENOMEM);
    EXPECT(((char *)a)[99] == 7);
    a = reallocarray(a, 50, 10);
    EXPECT(a && ((char *)a)[99] == 7 && malloc_usable_size(a) >= 500);
    EXPECT(realloc(a, 0) == NULL);
    EXPECT(malloc_usable_size(NULL) == 0);

    errno = 0;
    EXPECT(aligned_alloc(24, 100) == NULL && errno == EINVAL);
    errno = 0;
    EXPECT(aligned_alloc(0, 100) == NULL && errno == EINVAL);
    errno = 77;
    void *kept = &a;
    EXPECT(posix_memalign(&kept, 24, 100) == EINVAL && kept == &a);
    EXPECT(posix_memalign(&kept, 4, 100) == EINVAL && kept == &a);
    EXPECT(posix_memalign(&kept, 64, ptrdiff) == ENOMEM && kept == &a);
    EXPECT(errno == 77);
    for (size_t align = 8; align <= 1 << 22; align *= 2) {
        EXPECT(posix_memalign(&a, align, 100) == 0 && (uintptr_t)a % align == 0);
        b = memalign(align, 100);
        EXPECT(b && (uintptr_t)b % align == 0);
        void *c = aligned_alloc(align, 3 * align);
        EXPECT(c && (uintptr_t)c % align == 0);
        if (a && b && c) {
            memset(a, 1, 100);
            memset(b, 2, 100);
            memset(c, 3, 3 * align);
        }
        free(a);
        free(b);
        free(c);
    }
    a = memalign(48, 100); // raised to 64
    EXPECT(a && (uintptr_t)a % 64 == 0);
    free(a);
    a = valloc(1);
    b = pvalloc(1);
    EXPECT((uintptr_t)a % 4096 == 0 && (uintptr_t)b % 4096 == 0 && malloc_usable_size(b) >= 4096);
    free(a);
    free(b);

    // errno survives a free that makes system calls
    a = malloc(64 << 20);
    errno = 77;
    free(a);
    EXPECT(errno == 77);

    for (int round = 0; round < 3; round++) {
        size_t size = (size_t)100000 << (4 * round);
        unsigned char *zeroed = calloc(1, size);
        for (size_t i = 0; i < size; i++)
            if (zeroed[i]) {
                printf("calloc: byte %zu of %zu is %d\n", i, size, zeroed[i]);
                broken = 1;
                break;
            }
        memset(zeroed, 0xff, size);
        free(zeroed);
    }

    EXPECT(mallopt(M_MMAP_THRESHOLD, 100000) == 1);
    EXPECT(mallopt(M_TRIM_THRESHOLD, -1) == 1 && mallopt(M_TOP_PAD, 4096) == 1 && mallopt(M_MMAP_MAX, 100) == 1);
    EXPECT(mallopt(-12345, 1) == 0);
    free(malloc(99999)); // so that there is a heap to compare with
    struct mallinfo2 before = mallinfo2();
    a = malloc(99999);
    b = malloc(100000);
    struct mallinfo2 after = mallinfo2();
    EXPECT(after.hblks == before.hblks + 1 && after.hblkhd >= before.hblkhd + 100000);
    EXPECT(after.uordblks >= before.uordblks + 99999);
    free(a);
    free(b);
    EXPECT(mallinfo2().hblks == before.hblks && mallinfo2().uordblks == before.uordblks);
    a = malloc(99999);
    free(a);
    EXPECT(mallinfo2().keepcost > 8192 && malloc_trim(0) == 1 && mallinfo2().keepcost <= 4096 + 16);
    EXPECT(malloc_trim(0) == 0);

    char text[4096] = "";
    FILE *memory = fmemopen(text, sizeof text, "w");
    EXPECT(malloc_info(0, memory) == 0);
    errno = 0;
    EXPECT(malloc_info(1, memory) == -1 && errno == EINVAL);
    fclose(memory);
    EXPECT(strncmp(text, "<malloc", 7) == 0 && strstr(text, "</malloc>\n"));

    extern const char *brkpoint_version(void) __attribute__((weak));
    extern size_t brkpoint_settings(char *, size_t) __attribute__((weak));
    extern int brkpoint_check(void) __attribute__((weak));
    EXPECT(brkpoint_version && strlen(brkpoint_version()) >= 5);
    EXPECT(brkpoint_settings && brkpoint_settings(text, sizeof text) == strlen(text));
    EXPECT(strstr(text, "BRKPOINT_MMAP_THRESHOLD=100000\n") != NULL);
    EXPECT(brkpoint_settings && brkpoint_settings(text, 5) > 5 && strlen(text) == 4);
    EXPECT(brkpoint_check && brkpoint_check() == 0);
    malloc_stats();
    if (!broken)
        printf("ok\n");
    return broken;
}
