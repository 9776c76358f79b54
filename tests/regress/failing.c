/* failing.c - memory that runs out on purpose: preloaded, it has allocations of chosen files of a process fail.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * PK_FAILING names a file of one struct failing, which whoever tests maps too and changes as it likes.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct failing {
    atomic_llong left;   /* allocations that still succeed; below 0: all do */
    atomic_llong every;  /* behind one that failed so many succeed; 0: all do */
    atomic_llong failed; /* so many have */
    atomic_llong pid;    /* in this process; 0: in any */
    char files[104];     /* words of the names of those whose allocations count: "pk.so libcurl" */
};

void *malloc(size_t size);
void *calloc(size_t count, size_t size);
void *realloc(void *block, size_t size);
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);

static struct failing *now;

__attribute__((constructor)) static void map(void)
{
    const char *path = getenv("PK_FAILING");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *at =
        fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *now, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (fd >= 0)
        (void)close(fd);
    if (at != MAP_FAILED)
        now = at;
}

static bool is_chosen(const char *file)
{
    const char *slash = strrchr(file, '/'), *word = now->files;

    file = slash ? slash + 1 : file;
    while (*word) {
        size_t len = strcspn(word, " ");

        if (len && strncmp(file, word, len) == 0)
            return true;
        word += len + (word[len] == ' ');
    }
    return false;
}

static bool fails(const void *caller)
{
    Dl_info at;

    if (!now || now->left < 0 || (now->pid && now->pid != getpid()) || !dladdr(caller, &at) ||
        !at.dli_fname || !is_chosen(at.dli_fname))
        return false;
    if (atomic_fetch_sub(&now->left, 1) != 0)
        return false;
    now->left = now->every > 0 ? now->every : -1;
    atomic_fetch_add(&now->failed, 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *block, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}
