/* fuzz_batch.c - any bytes as what a provider's batch API answers: its state, the list of batches, files of results.
 *
 * SPDX-License-Identifier: PostgreSQL
 *
 * Each answer ends with 0xff. The first byte says whose API it is, by its lowest bit, and how long the pieces are in
 * which a file comes. The batch's id is 01 sixteen times.
 * Links sidecar/worker_batch_api.c sidecar/worker_batch_read.c
 */
#include "fuzz.h"

#include "../../sidecar/worker_batch_inner.h"

enum { ITEMS = 4 };

static pk_str rest; /* of the answers */
static size_t step;
static int ended;

/* --- what the other files of the batcher do ------------------------------------------------ */

void pkd_batch_ask(struct pkd_batcher *b, const struct pkd_batch_question *q,
                   struct pkd_batch_answer *a)
{
    pk_str said = fuzz_part(&rest);

    PK_ASSERT(q->operation && !memchr(q->tail.at ? q->tail.at : "", '\n', q->tail.len));
    if (pk_str_starts(said, "!")) {
        (void)pk_fail(&a->error, PK_NETWORK, "no");
        return;
    }
    if (!q->sink) {
        a->body = pk_copy(&b->arena, said);
        return;
    }
    for (size_t at = 0; at < said.len && !a->cut; at += step)
        a->cut = !q->sink(q->ctx, pk_str_sub(said, at, step));
}

bool pkd_batch_stopping(const struct pkd_batcher *b)
{
    (void)b;
    return false;
}

bool pkd_batch_keep(struct pkd_batcher *b)
{
    (void)b;
    return true;
}

bool pkd_batch_save_items(struct pkd_batcher *b, struct pk_error *err)
{
    (void)err;
    b->w.over.count = 0;
    return true;
}

/* Each once, and answered or with a reason. */
void pkd_batch_end_item(struct pkd_batcher *b, struct pkd_batch_open *open,
                        const struct pkd_outcome *o)
{
    PK_ASSERT(open >= b->open && open < b->open + ITEMS && !open->answered);
    PK_ASSERT(o->status == 0 ? o->error.code != PK_OK : o->status >= 200 && o->status <= 599);
    PK_ASSERT(!strchr(o->error.msg, '\n'));
    open->answered = true;
    ended++;
}

bool pk_store_job_batch_known(struct pk_store *store, pk_str remote_id, bool *known,
                              struct pk_error *err)
{
    (void)store;
    (void)err;
    *known = pk_str_is(remote_id, "known");
    return true;
}

/* --- all that is asked of a provider in a batch's life --------------------------------------- */

static void live(struct pkd_batcher *b)
{
    struct pkd_batch_answer a = {0};
    struct pkd_batch_state state = {0};
    struct pk_error err = {0};
    bool found = false, wait = false;

    if (pkd_batch_find(b, &found, &wait, &err))
        PK_ASSERT(!(found && wait) && (!found || b->batch.remote_id.len));
    else
        PK_ASSERT(err.code != PK_OK);
    if (!found && pkd_batch_upload(b, &a) && !pkd_batch_create(b, &a))
        PK_ASSERT(a.error.code != PK_OK);
    if (pkd_batch_look(b, &state, &err)) {
        PK_ASSERT(state.outcome.status || state.outcome.error.code != PK_OK);
        (void)pkd_batch_read(b, &state, &err);
        pkd_batch_clean(b, &state);
    }
    PK_ASSERT(ended <= ITEMS);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const whose[] = {"openai", "anthropic"};
    struct pkd_batch_open open[ITEMS] = {0};
    struct pkd_batcher *b = calloc(1, sizeof *b);

    if (!b || !size) {
        free(b);
        return 0;
    }
    b->arena = fuzz_arena();
    b->w.scratch = fuzz_arena();
    const struct pk_provider *p = pk_provider_find(pk_str_of(whose[bytes[0] & 1]));
    struct pk_target target = {.provider = p};
    step = (size_t)bytes[0] / 2 + 1;
    rest = fuzz_text(bytes + 1, size - 1);
    ended = 0;
    for (int i = 0; i < ITEMS; i++)
        open[i].claim.ord = i + 1;
    memset(b->batch.id, 1, PK_UUID_BYTES);
    b->batch.provider = pk_str_of(p->name);
    b->batch.items = ITEMS;
    b->batch.created_us = 1700000000000000;
    b->target = &target;
    b->open = open;
    b->open_count = ITEMS;
    b->lines = pk_buf_in(&b->arena, 1 << 20);
    live(b);
    pk_arena_free(&b->w.scratch);
    pk_arena_free(&b->arena);
    free(b);
    return 0;
}
