/* hot.c - see hot.h. Keys are hashes: their first byte says where an entry is.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "hot.h"

#include "xfer.h"

#include <stdlib.h>
#include <string.h>

void pkd_hot_free(struct pkd_hot *h)
{
    for (int i = 0; i < PKD_HOT_ENTRIES; i++)
        free(h->entries[i].text);
    *h = (struct pkd_hot){0};
}

void pkd_hot_expire(struct pkd_hot *h)
{
    for (int i = 0; i < PKD_HOT_ENTRIES; i++)
        h->entries[i].until_ms = 0;
}

bool pkd_hot_find(const struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES], int64_t max_age_s,
                  struct pk_arena *arena, struct pk_cache_entry *entry)
{
    const struct pkd_hot_entry *e = &h->entries[key[0] % PKD_HOT_ENTRIES];

    if (e->until_ms == 0 || e->max_age_s != max_age_s || memcmp(e->key, key, sizeof e->key) != 0 ||
        pk_clock_ms() >= e->until_ms)
        return false;
    *entry = e->entry;
    pk_str *const texts[] = {&entry->body, &entry->provider, &entry->model, &entry->finish_reason};
    for (size_t i = 0; i < PK_COUNT(texts); i++)
        *texts[i] = pk_copy(arena, *texts[i]);
    return !arena->failed;
}

void pkd_hot_keep(struct pkd_hot *h, const uint8_t key[PK_CACHE_KEY_BYTES], int64_t max_age_s,
                  const struct pk_cache_entry *entry)
{
    struct pkd_hot_entry *e = &h->entries[key[0] % PKD_HOT_ENTRIES];
    struct pk_cache_entry *kept = &e->entry;
    pk_str *const texts[] = {&kept->body, &kept->provider, &kept->model, &kept->finish_reason};
    size_t at = 0;

    e->until_ms = 0;
    if (!e->text)
        e->text = malloc(PKD_HOT_BYTES_MAX);
    if (!e->text)
        return;
    *kept = *entry;
    for (size_t i = 0; i < PK_COUNT(texts); i++) {
        if (texts[i]->len > PKD_HOT_BYTES_MAX - at)
            return;
        if (texts[i]->len)
            memcpy(e->text + at, texts[i]->at, texts[i]->len);
        texts[i]->at = e->text + at;
        at += texts[i]->len;
    }
    memcpy(e->key, key, sizeof e->key);
    e->max_age_s = max_age_s;
    e->until_ms = pk_clock_ms() + PKD_HOT_MS;
}
