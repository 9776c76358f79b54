/* oom.c - every allocation fails once: a call must end in an error or go on without, never crash,
 * never leak, never claim success for what it lost.
 *
 * SPDX-License-Identifier: PostgreSQL
 */
#include "call.h"
#include "reply.h"
#include "test.h"
#include "test_frames.h"
#include "typed.h"

#include <string.h>

static int left; /* allocations that still succeed */
static struct pk_arena frames;

static void *take(void *ctx, size_t size)
{
    (void)ctx;
    return left-- > 0 ? malloc(size) : NULL;
}

static void give(void *ctx, void *block)
{
    (void)ctx;
    free(block);
}

struct life {
    const char *name, *provider, *body, *head;
    const char
        *payloads[8]; /* "" ends an answer before the last; of AWS's event stream, as lines */
    const char *more; /* members of the config; NULL: a simple cache */
};

/* clang-format off */
static const struct life lives[] = {
    {"json", "openai", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9 anna@example.org\"}]}",
     "content-type: application/json",
     {"{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"}, NULL},
    {"stream", "openai", "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
     "content-type: text/event-stream",
     {"data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"}}]}\n\n",
      "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
      "data: [DONE]\n\n"}, NULL},
    {"translated", "anthropic", "{\"model\":\"m\",\"max_tokens\":9,\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"hi\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\"}}}]}",
     "content-type: application/json",
     {"{\"type\":\"message\",\"id\":\"m1\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}"}, NULL},
    {"semantic", "openai", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9\"}]}",
     "content-type: application/json",
     {"{\"data\":[{\"embedding\":[1,2]}],\"usage\":{\"prompt_tokens\":1}}", "",
      "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"x\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"},
     "\"cache\":{\"mode\":\"semantic\",\"embedder\":{\"provider\":\"openai\",\"model\":\"e\"}}"},
    {"gemini", "google", "{\"model\":\"gemini-3-pro\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"h\\u00e9\"},{\"role\":\"assistant\",\"reasoning\":\"r\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"1\"}]}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{\"type\":\"object\",\"properties\":{\"x\":{}}}}},{\"type\":\"function\",\"function\":{\"name\":\"url_context\"}}],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{\"const\":1}}}}",
     "content-type: application/json",
     {"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"t\",\"thought\":true},{\"text\":\"x\"},{\"functionCall\":{\"name\":\"f\",\"args\":{}},\"thoughtSignature\":\"s\"},{\"inlineData\":{\"mimeType\":\"image/png\",\"data\":\"x\"}}]},\"finishReason\":\"STOP\",\"groundingMetadata\":{},\"logprobsResult\":{\"chosenCandidates\":[{\"token\":\"x\",\"logProbability\":-1}]}}],\"usageMetadata\":{\"promptTokenCount\":1},\"modelVersion\":\"m\",\"responseId\":\"r\"}"}, NULL},
    {"cohere", "cohere", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"}]},{\"role\":\"assistant\",\"content\":\"p\\u00e9\",\"reasoning_content\":\"r\",\"images\":[1],\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"tool_choice\":{\"type\":\"function\",\"function\":{\"name\":\"f\"}},\"reasoning_effort\":\"low\"}",
     "content-type: application/json",
     {"{\"id\":\"c\",\"finish_reason\":\"TOOL_CALL\",\"message\":{\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\"},{\"type\":\"text\",\"text\":\"x\"}],\"tool_plan\":\"p\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}],\"citations\":[{}]},\"logprobs\":[{\"text\":\"x\",\"logprobs\":[-1,-2]}],\"usage\":{\"billed_units\":{\"input_tokens\":1}}}"}, NULL},
    {"cohere stream", "cohere", "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
     "content-type: text/event-stream",
     {"data: {\"type\":\"message-start\",\"id\":\"c\"}\n\ndata: {\"type\":\"content-delta\",\"delta\":{\"message\":{\"content\":{\"text\":\"x\"}}}}\n\n",
      "data: {\"type\":\"citation-start\",\"delta\":{\"message\":{\"citations\":{}}}}\n\ndata: {\"type\":\"message-end\",\"delta\":{\"finish_reason\":\"COMPLETE\",\"usage\":{\"tokens\":{\"input_tokens\":1}}}}\n\n"}, NULL},
    {"gemini stream", "google", "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
     "content-type: text/event-stream",
     {"data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"x\"}]}}],\"modelVersion\":\"m\",\"responseId\":\"r\"}\n\n",
      "data: {\"candidates\":[{\"content\":{\"parts\":[{\"functionCall\":{\"name\":\"f\"},\"thoughtSignature\":\"s\"}]},\"finishReason\":\"STOP\",\"groundingMetadata\":{}}],\"usageMetadata\":{\"promptTokenCount\":1}}\n\n"}, NULL},
    {"bedrock", "bedrock", "{\"model\":\"anthropic.claude-opus-4-6-v1\",\"reasoning_effort\":\"low\",\"top_k\":1,\"user\":\"u\",\"anthropic_beta\":\"a,b\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\",\"cache_control\":{}},{\"type\":\"file\",\"file\":{\"filename\":\"a b.pdf\",\"file_data\":\"data:application/pdf;base64,aa\"}}]},{\"role\":\"assistant\",\"thinking_blocks\":[{\"thinking\":\"t\",\"signature\":\"s\"}],\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}],\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"response_format\":{\"type\":\"json_schema\",\"json_schema\":{\"schema\":{}}}}",
     "content-type: application/json",
     {"{\"output\":{\"message\":{\"content\":[{\"reasoningContent\":{\"reasoningText\":{\"text\":\"t\",\"signature\":\"s\"}}},{\"text\":\"x\"},{\"citationsContent\":{\"content\":[{\"text\":\"y\"}],\"citations\":[{}]}},{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"f\",\"input\":{}}}]}},\"stopReason\":\"tool_use\",\"trace\":{\"promptRouter\":{\"invokedModelId\":\"m\"}},\"usage\":{\"inputTokens\":1}}"}, NULL},
    {"bedrock stream", "bedrock", "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
     "content-type: application/vnd.amazon.eventstream",
     {"event messageStart {}\nevent contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"text\":\"t\"}}}\nevent contentBlockDelta {\"contentBlockIndex\":0,\"delta\":{\"reasoningContent\":{\"signature\":\"s\"}}}\nevent contentBlockDelta {\"contentBlockIndex\":1,\"delta\":{\"citation\":{}}}",
      "event contentBlockStart {\"contentBlockIndex\":2,\"start\":{\"toolUse\":{\"toolUseId\":\"a\",\"name\":\"f\"}}}\nevent messageStop {\"stopReason\":\"end_turn\"}\nevent metadata {\"usage\":{\"inputTokens\":1},\"trace\":{}}"}, NULL},
    {"ollama", "ollama-native", "{\"model\":\"m\",\"temperature\":1,\"stop\":\"x\",\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"x\"},{\"type\":\"image_url\",\"image_url\":{\"url\":\"data:image/png;base64,aa\"}}]},{\"role\":\"assistant\",\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}],\"options\":{\"num_ctx\":1}}",
     "content-type: application/json",
     {"{\"model\":\"m\",\"created_at\":\"1\",\"message\":{\"content\":\"x\",\"thinking\":\"t\",\"tool_calls\":[{\"function\":{\"name\":\"f\",\"arguments\":{}}}]},\"done\":true,\"done_reason\":\"stop\",\"eval_count\":1}"}, NULL},
    {"ollama stream", "ollama-native", "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"hi\"}]}",
     "content-type: application/x-ndjson",
     {"{\"model\":\"m\",\"message\":{\"content\":\"x\"},\"done\":false}\n{\"mod",
      "el\":\"m\",\"message\":{\"content\":\"\"},\"done\":true,\"done_reason\":\"stop\",\"eval_count\":1}"}, NULL},
    {"form", "openai", "--B\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\nm\r\n--B\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n\xff\r\n--B--\r\n",
     "content-type: application/json", {"{\"text\":\"x\",\"usage\":{\"input_tokens\":1}}"}, NULL},
    {"proxied", "openai", "{\"model\":\"m\",\"input\":\"h\\u00e9\"}", "content-type: text/event-stream\nx-a: b",
     {"data: {\"usage\":{\"input_tokens\":1}}\n\n", "data: [DONE]\n\n"}, NULL},
    {"messages", "deepseek", "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{}},{\"type\":\"text\",\"text\":\"t\"}],\"metadata\":{\"user_id\":\"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\"},\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000},\"top_k\":1,\"tools\":[{\"name\":\"f\",\"input_schema\":{}},{\"type\":\"bash\",\"name\":\"b\"}],\"tool_choice\":{\"type\":\"any\"},\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"aa\"}}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},{\"type\":\"text\",\"text\":\"\\u00e9\"},{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{},\"extra_content\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"1\"},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x\"}}]}]}]}",
     "content-type: application/json",
     {"{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"x\",\"reasoning_content\":\"r\",\"images\":[{\"image_url\":{\"url\":\"data:image/png;base64,aa\"}}],\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{\\\"input\\\":\\\"x\\\"}\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"}, NULL},
    {"messages", "deepseek", "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{}},{\"type\":\"text\",\"text\":\"t\"}],\"metadata\":{\"user_id\":\"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\"},\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000},\"top_k\":1,\"tools\":[{\"name\":\"f\",\"input_schema\":{}},{\"type\":\"bash\",\"name\":\"b\"}],\"tool_choice\":{\"type\":\"any\"},\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"aa\"}}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},{\"type\":\"text\",\"text\":\"\\u00e9\"},{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{},\"extra_content\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"1\"},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x\"}}]}]}],\"stream\":true}",
     "content-type: text/event-stream",
     {"data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"r\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n",
      "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]},\"finish_reason\":null}]}\n\n",
      "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n"}, NULL},
    {"responses", "deepseek", "{\"model\":\"m\",\"instructions\":\"i\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"custom\",\"name\":\"g\"}],\"text\":{\"format\":{\"type\":\"json_schema\",\"schema\":{}}},\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"\\u00e9\"},{\"type\":\"input_image\",\"image_url\":\"https://x\"}]},{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"t\"}],\"encrypted_content\":\"[{}]\"},{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"custom_tool_call\",\"call_id\":\"b\",\"name\":\"g\",\"input\":\"x\"},{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":[{\"type\":\"input_text\",\"text\":\"1\"},{\"type\":\"input_image\",\"image_url\":\"https://x\"}]}]}",
     "content-type: application/json",
     {"{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"x\",\"reasoning_content\":\"r\",\"images\":[{\"image_url\":{\"url\":\"data:image/png;base64,aa\"}}],\"tool_calls\":[{\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}},{\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{\\\"input\\\":\\\"x\\\"}\"}}]},\"finish_reason\":\"tool_calls\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"}, NULL},
    {"responses", "deepseek", "{\"model\":\"m\",\"instructions\":\"i\",\"tools\":[{\"type\":\"function\",\"name\":\"f\"},{\"type\":\"custom\",\"name\":\"g\"}],\"text\":{\"format\":{\"type\":\"json_schema\",\"schema\":{}}},\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"\\u00e9\"},{\"type\":\"input_image\",\"image_url\":\"https://x\"}]},{\"type\":\"reasoning\",\"summary\":[{\"type\":\"summary_text\",\"text\":\"t\"}],\"encrypted_content\":\"[{}]\"},{\"type\":\"function_call\",\"call_id\":\"a\",\"name\":\"f\",\"arguments\":\"{}\"},{\"type\":\"custom_tool_call\",\"call_id\":\"b\",\"name\":\"g\",\"input\":\"x\"},{\"type\":\"function_call_output\",\"call_id\":\"a\",\"output\":[{\"type\":\"input_text\",\"text\":\"1\"},{\"type\":\"input_image\",\"image_url\":\"https://x\"}]}],\"stream\":true}",
     "content-type: text/event-stream",
     {"data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"r\"},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":null}]}\n\n",
      "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{\"name\":\"f\",\"arguments\":\"{\"}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{}\"}}]},\"finish_reason\":null}]}\n\ndata: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]},\"finish_reason\":null}]}\n\n",
      "data: {\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"tool_calls\"}]}\n\ndata: [DONE]\n\n"}, NULL},
    {"responses", "openai", "{\"model\":\"m\",\"input\":\"hi\"}",
     "content-type: application/json",
     {"{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"model\":\"m\",\"output\":[{\"type\":\"message\",\"id\":\"msg_1\",\"content\":[{\"type\":\"output_text\",\"text\":\"x\"}]}],\"usage\":{\"input_tokens\":1}}"}, NULL},
    {"responses", "openai", "{\"model\":\"m\",\"stream\":true,\"input\":\"hi\"}",
     "content-type: text/event-stream",
     {"data: {\"type\":\"response.created\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"model\":\"m\",\"output\":[{\"type\":\"message\",\"id\":\"msg_1\",\"content\":[{\"type\":\"output_text\",\"text\":\"x\"}]}],\"usage\":{\"input_tokens\":1}}}\n\ndata: {\"type\":\"response.output_text.delta\",\"delta\":\"x\"}\n\ndata: {\"type\":\"response.completed\",\"response\":{\"id\":\"resp_1\",\"object\":\"response\",\"status\":\"completed\",\"model\":\"m\",\"output\":[{\"type\":\"message\",\"id\":\"msg_1\",\"content\":[{\"type\":\"output_text\",\"text\":\"x\"}]}],\"usage\":{\"input_tokens\":1}}}\n\n"}, NULL},
    {"messages", "anthropic", "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{}},{\"type\":\"text\",\"text\":\"t\"}],\"metadata\":{\"user_id\":\"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\"},\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000},\"top_k\":1,\"tools\":[{\"name\":\"f\",\"input_schema\":{}},{\"type\":\"bash\",\"name\":\"b\"}],\"tool_choice\":{\"type\":\"any\"},\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"aa\"}}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},{\"type\":\"text\",\"text\":\"\\u00e9\"},{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{},\"extra_content\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"1\"},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x\"}}]}]}]}",
     "content-type: application/json",
     {"{\"type\":\"message\",\"id\":\"m1\",\"role\":\"assistant\",\"model\":\"m\",\"content\":[],\"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":1}}"}, NULL},
    {"count_tokens", "anthropic", "{\"model\":\"m\",\"max_tokens\":9,\"system\":[{\"type\":\"text\",\"text\":\"s\",\"cache_control\":{}},{\"type\":\"text\",\"text\":\"t\"}],\"metadata\":{\"user_id\":\"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu\"},\"thinking\":{\"type\":\"enabled\",\"budget_tokens\":2000},\"top_k\":1,\"tools\":[{\"name\":\"f\",\"input_schema\":{}},{\"type\":\"bash\",\"name\":\"b\"}],\"tool_choice\":{\"type\":\"any\"},\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":\"image\",\"source\":{\"type\":\"base64\",\"media_type\":\"image/png\",\"data\":\"aa\"}}]},{\"role\":\"assistant\",\"content\":[{\"type\":\"thinking\",\"thinking\":\"t\",\"signature\":\"\"},{\"type\":\"text\",\"text\":\"\\u00e9\"},{\"type\":\"tool_use\",\"id\":\"a\",\"name\":\"f\",\"input\":{},\"extra_content\":{}}]},{\"role\":\"user\",\"content\":[{\"type\":\"tool_result\",\"tool_use_id\":\"a\",\"content\":[{\"type\":\"text\",\"text\":\"1\"},{\"type\":\"image\",\"source\":{\"type\":\"url\",\"url\":\"https://x\"}}]}]}]}",
     "content-type: application/json",
     {"{\"input_tokens\":7}"}, NULL},
    {"guarded", "openai", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9 anna@example.org\"}]}",
     "content-type: application/json",
     {"{\"verdict\":true}", "",
      "{\"id\":\"c\",\"object\":\"chat.completion\",\"model\":\"m\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"x bob\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1}}"},
     "\"guardrails\":{\"input\":[{\"type\":\"pii\",\"action\":\"redact\"},{\"type\":\"webhook\",\"url\":\"http://h.example/\",\"action\":\"block\"}],"
     "\"output\":[{\"type\":\"contains\",\"words\":[\"bob\"],\"flags\":[\"i\"],\"action\":\"redact\"},{\"type\":\"json_schema\",\"schema\":{},\"action\":\"warn\"},"
     "{\"type\":\"log\",\"url\":\"http://h.example/\",\"async\":true,\"on_success\":{\"feedback\":{\"value\":1}}}]}"},
    {"embeddings", "google", "{\"model\":\"m\",\"input\":[\"h\\u00e9\",{\"text\":\"b\",\"image\":\"data:image/png;base64,iVBORw0KGgo=\"}],\"encoding_format\":\"base64\",\"dimensions\":3,\"input_type\":\"query\"}",
     "content-type: application/json", {"{\"embeddings\":[{\"values\":[1,2,3]},{\"values\":[4,5,6e-1]}]}"}, NULL},
    {"embeddings", "openai", "{\"model\":\"m\",\"input\":[\"h\\u00e9\",\"b\"],\"encoding_format\":\"base64\"}",
     "content-type: application/json", {"{\"data\":[{\"embedding\":[1,2]},{\"embedding\":\"AACAPwAAAMA=\"}],\"usage\":{\"total_tokens\":2}}"}, NULL},
    {"embeddings", "cohere", "{\"model\":\"m\",\"input\":[\"h\\u00e9\",\"b\"],\"embedding_types\":[\"float\",\"int8\"]}",
     "content-type: application/json", {"{\"id\":\"x\",\"embeddings\":{\"int8\":[[1],[2]],\"float\":[[1.5],[2.5]]},\"meta\":{\"billed_units\":{\"input_tokens\":2}}}"}, NULL},
    {"rerank", "voyage", "{\"model\":\"m\",\"query\":\"q\",\"documents\":[\"h\\u00e9\",{\"text\":\"b\"}],\"top_n\":1,\"return_documents\":true}",
     "content-type: application/json", {"{\"data\":[{\"index\":1,\"relevance_score\":1}],\"usage\":{\"total_tokens\":2}}"}, NULL},
    {"moderations", "mistral-ai", "{\"input\":[\"h\\u00e9\"]}",
     "content-type: application/json", {"{\"results\":[{\"categories\":{\"x\":true},\"category_scores\":{\"x\":1}}]}"}, NULL},
    {"typed", "openai", "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"h\\u00e9\"}],\"response_format\":{}}",
     "content-type: application/json",
     {"{\"choices\":[{\"message\":{\"content\":\"{} or {}\"}}]}", "",
      "{\"choices\":[{\"message\":{\"content\":\"<think>no</think>```\\n{\\\"answer\\\":true}\\n```\"}}]}"}, NULL},
    {"session", "openai", "{\"model\":\"m\"}", "sec-websocket-accept: x",
     {"\x81\x52{\"type\":\"response.done\",\"response\":{\"usage\":{\"input_tokens\":1,\"output_tokens\":2}}}",
      "\x88\x02\x03\xe8"}, NULL},
};
/* clang-format on */

static bool is_session(const struct life *l)
{
    return strcmp(l->name, "session") == 0;
}

struct run {
    struct pk_arena arena;
    struct pk_config config;
    struct pk_request request;
    struct pk_error err;
};

static bool step(struct pk_call *c, struct pk_next *next, int64_t *us, const struct pk_event *ev)
{
    return pk_call_step(c, *us += 1000, ev, next) != PK_OP_DONE;
}

/* In the frames that it comes in; valid until the next. */
static pk_str payload(const struct life *l, int i)
{
    struct pk_buf out = pk_buf_in(&frames, PK_STREAM_BYTES_MAX);

    if (!strstr(l->head, "eventstream"))
        return pk_str_of(l->payloads[i]);
    pk_arena_free(&frames);
    frame_lines(&out, pk_str_of(l->payloads[i]));
    return pk_buf_str(&out);
}

/* Plays the life to its end; true when the call ended in success. */
static bool drive(struct run *r, const struct life *l, struct pk_call *c)
{
    struct pk_event ev = {.kind = PK_EV_START};
    struct pk_next next;
    int64_t us = 0;
    int sent = 0;

    while (step(c, &next, &us, &ev)) {
        ev = (struct pk_event){.kind = PK_EV_SAVED};
        if (next.op == PK_OP_LOOKUP || next.op == PK_OP_NEAR)
            ev.kind = PK_EV_MISS;
        else if (next.op == PK_OP_RESERVE)
            ev.kind = PK_EV_GRANTED;
        else if (next.op == PK_OP_SEND) {
            const struct pk_exchange *ex = pk_call_exchange(c);

            EXPECT(strcmp(l->name, "guarded") != 0 ||
                   !memmem(ex->body.at, ex->body.len, "anna@", 5));
            ev = (struct pk_event){.kind = PK_EV_HEAD,
                                   .status = is_session(l) ? 101 : 200,
                                   .headers = pk_str_of(l->head)};
        } else if (next.op == PK_OP_READ && l->payloads[sent] && *l->payloads[sent])
            ev = (struct pk_event){.kind = PK_EV_BODY, .bytes = payload(l, sent++)};
        else if (next.op == PK_OP_READ) {
            ev.kind = PK_EV_END;
            sent += l->payloads[sent] != NULL;
        }
    }
    r->err = *pk_call_error(c);
    if (r->err.code != PK_OK || is_session(l))
        return r->err.code == PK_OK;
    const struct pk_record *rec = pk_call_record(c), *kept = pk_call_logged(c);
    EXPECT(kept->request.len == 0 || !memmem(kept->request.at, kept->request.len, "anna@", 5));
    pk_str text;
    return pk_reply_try(&r->arena, rec, &r->err, rec->response, &text, &r->err);
}

/* Calls that are no chats go by their names. */
static void choose_operation(const struct life *l, struct pk_request *r)
{
    static const struct pk_typed truth = {.kind = PK_TYPED_TRUTH, .formatted = true};

    if (strcmp(l->name, "typed") == 0)
        r->typed = &truth;
    if (strcmp(l->name, "form") == 0) {
        r->operation = &pk_operation_transcriptions;
        r->content_type = PK_STR("multipart/form-data; boundary=B");
    }
    if (strcmp(l->name, "proxied") == 0) {
        r->operation = &pk_operation_proxy;
        r->tail = PK_STR("/v1/models/m:x");
        r->headers = PK_STR("x-a: b\nconnection: x-c\nx-c: d\n");
    }
}

static bool run(const struct life *l, int allocations)
{
    static struct run r;
    struct pk_limit limits[] = {
        {.slug = PK_STR("a"), .scope = PK_LS_METADATA, .key = PK_STR("team")},
        {.slug = PK_STR("b"),
         .scope = PK_LS_METADATA,
         .key = PK_STR("team"),
         .counts = PK_LC_TOKENS},
    };
    struct pk_facts facts = {.limits = {limits, PK_COUNT(limits)}};
    struct pk_call *c = NULL;

    r = (struct run){.request = {.operation = is_session(l) ? &pk_operation_realtime
                                                            : pk_operation_find(pk_str_of(l->name)),
                                 .body = pk_str_of(l->body),
                                 .metadata = PK_STR("{\"x\":\"\\u00e9\",\"team\":\"red\"}")}};
    choose_operation(l, &r.request);
    left = allocations;
    pk_arena_init(&r.arena, (struct pk_allocator){NULL, take, give}, PK_CALL_BYTES_MAX);
    r.arena.torture = true;
    pk_str text = pk_copyf(
        &r.arena,
        "{\"strategy\":{\"mode\":\"conditional\",\"conditions\":[{\"query\":{\"$or\":[{"
        "\"params.model\":{\"$regex\":\"^n\"}},{\"metadata.x\":{\"$in\":[\"y\"]}}]},\"then\":"
        "\"never\"}],\"default\":\"it\"},\"log_redact\":true,%s,"
        "\"cb_config\":{\"failure_threshold\":1},\"targets\":[{\"name\":\"never\",\"provider\":"
        "\"groq\"},{\"name\":\"it\",\"strategy\":{\"mode\":\"loadbalance\",\"sticky\":{"
        "\"hash_fields\":[\"prefix\",\"metadata.x\"]}},\"targets\":[{\"provider\":\"%s\","
        "\"override_params\":{\"top_p\":1}}]}]}",
        l->more ? l->more : "\"cache\":{\"mode\":\"simple\"}", l->provider);
    if (pk_config_parse(&r.arena, text, &r.config, &r.err))
        c = pk_call_new(&r.arena, &r.config, &facts, &r.request, 0, 1, &r.err);
    bool ok = c && drive(&r, l, c);
    EXPECT(ok || r.err.code != PK_OK);
    EXPECT(!ok || !r.arena.failed || r.err.code == PK_OK);
    pk_arena_free(&r.arena);
    return ok;
}

int main(void)
{
    pk_arena_init(&frames, pk_allocator_malloc(), PK_CALL_BYTES_MAX);
    for (size_t i = 0; i < PK_COUNT(lives); i++) {
        int whole = 0, n = 0;

        test_failed = false;
        while (whole < 3 && n < 100000 && !test_failed) /* a cache save may be lost without harm */
            whole = run(&lives[i], n++) ? whole + 1 : 0;
        EXPECT(whole == 3);
        printf("# %s: %d allocations\n", lives[i].name, n - 3);
        printf("%s each allocation of a %s call may fail\n", test_failed ? "not ok" : "ok",
               lives[i].name);
        test_failures += test_failed;
    }
    pk_arena_free(&frames);
    return test_end();
}
