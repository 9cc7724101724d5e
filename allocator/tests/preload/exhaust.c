// Takes all there is under `ulimit -v`; NULL and ENOMEM, and then goes on.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

int main(void) {
    const char *preset = getenv("BRKPOINT_PRESET");
    size_t page = preset && !strcmp(preset, "mmap-only") ? 4096 : 1;
    struct rlimit limit = {200 << 20, 200 << 20};
    setrlimit(RLIMIT_AS, &limit);
    for (size_t size = 1000; size <= 10000000; size *= 10) {
        void **list = NULL, **block;
        size_t count = 0;
        errno = 0;
        while ((block = malloc(size))) {
            memset(block, 1, size);
            *block = list;
            list = block;
            count++;
        }
        // A block with a mapping of its own takes an OS page at least.
        if (errno != ENOMEM || count * (size < page ? page : size) < 100 << 20) {
            printf("%zu blocks of %zu, errno %d\n", count, size, errno);
            return 1;
        }
        while (list) {
            block = *list;
            free(list);
            list = block;
        }
    }
    printf("ok\n");
    return 0;
}
