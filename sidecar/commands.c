/* commands.c - the table of commands; see command.h.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "command.h"

#include <string.h>

/* clang-format off */
const struct pkd_command pkd_commands[] = {
    {"serve",      "answer HTTP requests until SIGTERM",                      "", pkd_serve,  NULL, "pkd serve --listen 127.0.0.1:8787 --threads 2"},
    {"doctor",     "say what is wrong with this installation",                "", pkd_doctor, NULL, "pkd doctor --json"},
    {"health",     "ask a running pkd whether it and its store are well",     "", pkd_health, NULL, "pkd health --listen 127.0.0.1:8787"},
    {"key",        "virtual keys: provider keys under a name",                "", NULL, pkd_key_verbs,       NULL},
    {"provider",   "providers beside those that pk comes with",               "", NULL, pkd_provider_verbs,  NULL},
    {"apikey",     "keys for this gateway; with the first of them every request needs one", "", NULL, pkd_apikey_verbs, NULL},
    {"limit",      "budgets and rate limits",                                 "", NULL, pkd_limit_verbs,     NULL},
    {"config",     "stored configs",                                          "", NULL, pkd_config_verbs,    NULL},
    {"guardrail",  "stored guardrails, which configs name",                   "", NULL, pkd_guardrail_verbs, NULL},
    {"prompt",     "stored prompts, their versions and labels",               "", NULL, pkd_prompt_verbs,    NULL},
    {"price",      "price lists",                                             "", NULL, pkd_price_verbs,     NULL},
    {"logs",       "the calls that were made",                                "", NULL, pkd_logs_verbs,      NULL},
    {"cache",      "the answers that are kept",                               "", NULL, pkd_cache_verbs,     NULL},
    {"feedback",   "what calls were worth",                                   "", NULL, pkd_feedback_verbs,  NULL},
    {"jobs",       "what was enqueued with pk_enqueue()",                     "", NULL, pkd_job_verbs,       NULL},
    {"map",        "ask for each row of a CSV file, and write it again with the answers", "FILE.csv", pkd_map, NULL, "pkd map tickets.csv --config support --prompt 'Mood, one word: {{body}}' --out moods.csv"},
    {"completion", "what a shell needs to complete the words of pkd",         "", pkd_completion, pkd_completion_verbs, NULL},
    {"manual",     "the manual, made from the same tables as this help",      "", pkd_manual, pkd_manual_verbs, NULL},
    {NULL, NULL, NULL, NULL, NULL, NULL},
};
/* clang-format on */

const struct pkd_command *pkd_command_find(const char *name)
{
    for (const struct pkd_command *c = pkd_commands; name && c->name; c++)
        if (strcmp(c->name, name) == 0)
            return c;
    return NULL;
}

const struct pkd_verb *pkd_verb_find(const struct pkd_command *c, const char *name)
{
    for (const struct pkd_verb *v = c->verbs; v && name && v->name; v++)
        if (strcmp(v->name, name) == 0)
            return v;
    return NULL;
}

unsigned pkd_command_groups(const struct pkd_command *c)
{
    if (c->run == pkd_serve || c->run == pkd_doctor || c->run == pkd_health)
        return PKD_COMMON | PKD_SERVING;
    if (c->run == pkd_map)
        return PKD_COMMON | PKD_MAP;
    if (c->verbs == pkd_logs_verbs)
        return PKD_COMMON | PKD_LOGS;
    return c->run ? 0 : PKD_COMMON;
}
