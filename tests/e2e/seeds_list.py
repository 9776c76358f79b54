"""The snippets of the documents: where they are, what they presuppose, and what must have happened.

`before` is what the text around a snippet takes for granted, `after` the call that a snippet leaves to
the reader, `insert` {line: code} the same in between. `down` names keys whose provider answers 503.
`holds(printed, rows)` judges what the program printed and the rows of the log, oldest first.
"""
import json
from typing import NamedTuple

OPENAI, ANTHROPIC = "openai", "anthropic"
KEYS = {
    "anthropic-vk": ANTHROPIC, "openai-vk": OPENAI, "openai-vk-1": OPENAI, "openai-vk-2": OPENAI, "openai-vk-3": OPENAI,
    "primary-vk": ANTHROPIC, "backup-vk": OPENAI, "ANTHROPIC_VIRTUAL_KEY": ANTHROPIC, "openai-prod-key": OPENAI,
    "openai-key": OPENAI, "anthropic-key": ANTHROPIC, "mistral-key": "mistral-ai", "openai-key-1": OPENAI,
    "openai-key-2": OPENAI, "groq-vk": "groq", "anthropic-prod-vk-abc123": ANTHROPIC, "openai-prod-vk-xyz456": OPENAI,
    "anthropic-key-1": ANTHROPIC, "anthropic-key-2": ANTHROPIC, "anthropic-prod": ANTHROPIC, "openai-prod": OPENAI,
    "PORTKEY_ANTHROPIC_VIRTUAL_KEY": ANTHROPIC, "PORTKEY_OPENAI_VIRTUAL_KEY": OPENAI,
}
FALLBACK = {"strategy": {"mode": "fallback"}, "targets": [
    {"virtual_key": "anthropic-prod-vk-abc123", "override_params": {"model": "claude-sonnet-4-6"}},
    {"virtual_key": "openai-prod-vk-xyz456", "override_params": {"model": "gpt-4o"}}]}
CONFIGS = {"pc-prod-fallback-abc": FALLBACK, "config-abc123": FALLBACK}
GUARDRAILS = {
    "no-pii": {"type": "pii"},
    "topic-restriction": {"type": "regex", "deny": ["(?i)lottery numbers"]},
    "no-harmful-content": {"type": "contains", "deny": ["bomb recipe"]},
    "length-check": {"type": "word_count", "max": 500},
}
PROMPTS = {
    "pp-my-prompt-id": {"string": "With {{context}}, answer: {{question}}", "model": "echo", "virtual_key": "openai-vk"},
    "greet": {"string": "Hi {{name}}", "model": "echo", "virtual_key": "openai-vk"},
    "pp-my-summarizer-v2": {"string": "Sum up: {{text}}", "model": "echo", "virtual_key": "openai-vk"},
}


class Snippet(NamedTuple):
    name: str
    document: str
    first: int
    last: int
    holds: object
    rows: int = 1
    language: str = "python"
    before: str = ""
    after: str = ""
    insert: dict = {}
    flat: bool = False
    levels: dict = {}
    down: tuple = ()


def keys(rows):
    return [r["virtual_key"] for r in rows]


def served(by, row=0):
    """Whether this key's provider gave the answer."""
    return lambda said, rows: rows[row]["virtual_key"] == by and rows[row]["status"] == "success"


def metadata(rows, i=0):
    return json.loads(rows[i]["metadata"] or "{}")


# --- the first document: Python, with its indentation ---------------------------------------------

IMPORT = "from portkey_ai import Portkey\n"
SAY = "print(client.chat.completions.create(**ASK).choices[0].message.content)\n"
ONE = [
    Snippet("a_virtual_key_answers", "000", 30, 43,
            lambda said, rows: said == "Hello\n" and served("anthropic-vk")(said, rows)
            and rows[0]["request_model"] == "claude-sonnet-4-6" and rows[0]["input_tokens"] > 0),
    Snippet("an_inline_config_routes_the_openai_sdk", "000", 49, 79, served("anthropic-vk"),
            after="openai_client.chat.completions.create(**ASK)"),
    Snippet("an_inline_config_falls_back_for_the_openai_sdk", "000", 49, 79,
            lambda said, rows: served("openai-vk")(said, rows) and rows[0]["fallback_index"] == 1,
            after="openai_client.chat.completions.create(**ASK)", down=("anthropic-vk",)),
    Snippet("load_is_balanced_over_three_keys", "000", 85, 94,
            lambda said, rows: set(keys(rows)) == {"openai-vk-1", "openai-vk-2", "openai-vk-3"}, rows=40,
            before=IMPORT, after="for _ in range(40):\n    " + SAY),
    Snippet("a_fallback_is_not_needed", "000", 100, 119, served("primary-vk"), before=IMPORT),
    Snippet("a_fallback_follows_its_retries", "000", 100, 119,
            lambda said, rows: served("backup-vk")(said, rows) and rows[0]["attempts"] == 4 and rows[0]["model"] == "gpt-4o",
            before=IMPORT, down=("primary-vk",)),
    Snippet("the_second_call_hits_the_semantic_cache", "000", 125, 137,
            lambda said, rows: said == "HIT\n" and [r["cache_status"] for r in rows] in (["MISS", "HIT"], ["SEMANTIC MISS", "HIT"]),
            rows=2, before=IMPORT),
    Snippet("a_guardrail_blocks_an_address", "000", 143, 161,
            lambda said, rows: said.startswith("Blocked:") and rows[0]["status"] == "blocked" and rows[0]["http_status"] == 446,
            before=IMPORT + "user_input = 'write to jane.doe@example.com'"),
    Snippet("guardrails_let_others_pass", "000", 143, 161,
            lambda said, rows: said == "" and served("anthropic-vk")(said, rows),
            before=IMPORT + "user_input = 'what is a gateway?'"),
    Snippet("with_options_adds_metadata", "000", 167, 182,
            lambda said, rows: metadata(rows).items() >= {"user_id": "user-123", "environment": "production", "_prompt": "rag-v2"}.items(),
            before=IMPORT + "query = 'why?'"),
    Snippet("a_prompt_is_completed", "000", 189, 197,
            lambda said, rows: said == "With the manual, answer: how?\n" and rows[0]["prompt"] == "pp-my-prompt-id@1",
            before="doc_context, user_query = 'the manual', 'how?'"),
]

# --- the second: TypeScript -----------------------------------------------------------------------

NODE_IMPORT = "const { Portkey } = require('portkey-ai');\n"
NODE_CONFIG = NODE_IMPORT + "const createConfig = (config) => config; // no release of the SDK has it\n"
NODE_SAY = "console.log((await portkey.chat.completions.create({ model: 'gpt-4o', messages })).choices[0].message.content);\n"
NODE_PORTKEY = "const portkey = new Portkey({ apiKey: 'PORTKEY_API_KEY', config });\n"
TWO = [
    Snippet("one_interface_for_another_provider", "001", 29, 40,
            lambda said, rows: said == "What is the capital of France?\n" and served("ANTHROPIC_VIRTUAL_KEY")(said, rows),
            after="console.log(completion.choices[0].message.content);"),
    Snippet("the_openai_sdk_with_another_base_url", "001", 44, 52, served("ANTHROPIC_VIRTUAL_KEY"),
            after="await client.chat.completions.create({ model: 'claude-haiku-4-5', messages });"),
    Snippet("an_alias_instead_of_a_key", "001", 67, 70, served("openai-prod-key"), before=NODE_IMPORT, after=NODE_SAY),
    Snippet("a_fallback_in_camel_case_is_not_needed", "001", 76, 87,
            lambda said, rows: served("openai-key")(said, rows) and rows[0]["model"] == "gpt-4o", before=NODE_IMPORT, after=NODE_SAY),
    Snippet("a_fallback_in_camel_case_goes_to_the_third", "001", 76, 87,
            lambda said, rows: served("mistral-key")(said, rows) and rows[0]["fallback_index"] == 2
            and rows[0]["model"] == "mistral-large-latest",
            before=NODE_IMPORT, after=NODE_SAY, down=("openai-key", "anthropic-key")),
    Snippet("fractions_are_weights", "001", 95, 104,
            lambda said, rows: set(keys(rows)) == {"openai-key-1", "openai-key-2", "anthropic-key"}, rows=40,
            before=NODE_CONFIG, after=NODE_PORTKEY + "for (let i = 0; i < 40; i++) " + NODE_SAY),
    Snippet("a_threshold_in_camel_case", "001", 114, 121,
            lambda said, rows: rows[1]["cache_status"] == "HIT" and served("openai-key")(said, rows), rows=2,
            before=NODE_CONFIG, after=NODE_PORTKEY + NODE_SAY + NODE_SAY),
    Snippet("a_client_with_metadata", "001", 139, 147,
            lambda said, rows: metadata(rows).items() >= {"userId": "user-123", "feature": "summarization"}.items(),
            before=NODE_IMPORT, after=NODE_SAY),
    Snippet("a_prompt_by_its_id", "001", 167, 171,
            lambda said, rows: said.startswith("Sum up: The doc") and rows[0]["prompt"] == "pp-my-summarizer-v2@1",
            before=NODE_IMPORT + "const portkey = new Portkey({ apiKey: 'PORTKEY_API_KEY' });",
            after="console.log(response.choices[0].message.content);"),
    Snippet("a_gateway_of_one_s_own", "001", 209, 213, served("openai-key"), before=NODE_IMPORT, after=NODE_SAY),
    Snippet("the_quick_start", "001", 237, 249, lambda said, rows: said == "Hello\n" and served("openai-vk")(said, rows)),
]
TWO = [s._replace(language="node") for s in TWO]

# --- the third: Python whose indentation is lost ----------------------------------------------------

CLIENT = IMPORT + "import os, uuid\nclient = Portkey(api_key=os.environ['PORTKEY_API_KEY'], virtual_key='openai-vk')\n"
THREE = [
    Snippet("the_portkey_sdk_for_every_provider", "002", 19, 29,
            lambda said, rows: said.startswith("Summarize MapReduce") and served("openai-vk")(said, rows)),
    Snippet("two_changed_lines_in_the_constructor", "002", 31, 45, served("openai-vk")),
    Snippet("cache_status_is_a_header", "002", 52, 69,
            lambda said, rows: said.endswith("\nHIT\n") and rows[1]["cache_status"] == "HIT", rows=2, before="import os",
            after="response = client.chat.completions.create(model='gpt-4o-mini', messages=[{'role': 'user', "
                  "'content': 'What is the capital of France?'}])\nprint(response._headers.get('x-portkey-cache-status'))"),
    Snippet("a_chain_of_three_is_not_needed", "002", 81, 104, served("openai-vk"), before=IMPORT + "import os", after=SAY),
    Snippet("a_chain_of_three_ends_at_the_last", "002", 81, 104,
            lambda said, rows: served("groq-vk")(said, rows) and rows[0]["model"] == "llama-3.1-70b-versatile",
            before=IMPORT + "import os", after=SAY, down=("openai-vk", "anthropic-vk")),
    Snippet("most_goes_to_the_cheap_one", "002", 108, 114,
            lambda said, rows: keys(rows).count("groq-vk") > keys(rows).count("openai-vk") > 0, rows=60,
            before=CLIENT, after="client = client.with_options(config=loadbalance_config)\nfor _ in range(60):\n    " + SAY),
    Snippet("who_pays_gets_the_better_model", "002", 118, 143,
            lambda said, rows: rows[0]["model"] == "gpt-4o" and served("openai-vk")(said, rows)
            and metadata(rows)["user_id"] == "u_123",
            before=CLIENT, insert={138: "client = Portkey(api_key=os.environ['PORTKEY_API_KEY'], config=conditional_config)"}),
    Snippet("calls_of_one_trace", "002", 151, 159,
            lambda said, rows: rows[0]["trace_id"] == rows[1]["trace_id"] and rows[0]["trace_id"].startswith("req_")
            and [metadata(rows, i)["span_name"] for i in (0, 1)] == ["query_rewrite", "final_generation"],
            rows=2, before=CLIENT),
]

# --- the fourth: whole programs ---------------------------------------------------------------------

OF_CONFIGS = """
import openai as o
def ask(config, text):
    return o.OpenAI(api_key="dummy", base_url=portkey_ai.PORTKEY_GATEWAY_URL, max_retries=0, default_headers={
        "x-portkey-api-key": PORTKEY_API_KEY, "x-portkey-config": config}).chat.completions.create(
            model="m", messages=[{"role": "user", "content": text}])
guarded = create_guardrails_config()
for text in "my SSN is secret", "123-45-6789 " * 10, "one two three four five six seven eight nine ten":
    try:
        print("passed", len(ask(guarded, text).choices))
    except o.APIStatusError as e:
        print("blocked", e.status_code, e.body["message"] if "message" in e.body else e.body)
print({ask(lb_id, "a").model for _ in range(40)} == {"claude-sonnet-4-6", "gpt-4o"})
"""
LOOKUP = """
client = PortkeyTracedClient()
client.send_turn(Conversation(session_id="s1", user_id="u1", feature="lookup"), "hello")
time.sleep(0.5)
print(json.dumps(client.get_session_analytics("lookup-s1")))
"""
DOWN = ("anthropic-prod-vk-abc123", "anthropic-prod", "PORTKEY_ANTHROPIC_VIRTUAL_KEY", "anthropic-vk")


def of_configs(said, rows):
    lines = said.splitlines()
    return ("Fallback config created:" in lines[0] and lines[2] == "Response: How do I reset my password?"
            and lines[3].startswith("blocked 446") and "sensitive data detected" in lines[3]
            and lines[4].startswith("blocked 446") and "sensitive data in LLM output" in lines[4]
            and lines[5:] == ["passed 1", "True"] and rows[0]["trace_id"] == "support-sess_abc123"
            and metadata(rows)["feature"] == "support-chat")


def of_session(said, rows):
    lines = said.splitlines()
    traces, spans = ({r[of] for r in rows if r["operation"] == "messages"} for of in ("trace_id", "span_id"))
    return ("Feedback submitted: True" in said and len(traces) == 1 and len(spans) == 2
            and traces.pop().startswith("support-chat-sess_") and lines[-1].endswith("2/2"))


def of_lookup(said, rows):
    found = said.splitlines()[-1]
    return "lookup-s1" in found and json.loads(found)


def by_both(said, rows):
    return len(rows) == 2 and {r["model"] for r in rows} == {"gpt-4o"}


FOUR = [
    Snippet("two_sdks_with_virtual_keys", "003", 23, 88,
            lambda said, rows: keys(rows) == ["anthropic-prod-vk-abc123", "openai-prod-vk-xyz456"]
            and metadata(rows)["feature"] == "docs-assistant" and said.count("Response: ") == 2, rows=2),
    Snippet("configs_are_created_and_used", "003", 91, 264, of_configs, rows=40, before="import openai", after=OF_CONFIGS),
    Snippet("a_traced_conversation_with_feedback", "003", 267, 461, of_session, rows=2,
            levels={403: 3, 404: 2}),
    Snippet("a_session_is_looked_up_by_its_trace", "003", 267, 461, of_lookup, rows=3, levels={403: 3, 404: 2}, after=LOOKUP),
    Snippet("a_complete_config_by_slug_and_inline", "003", 535, 600,
            lambda said, rows: len(rows) == 2 and {r["model"] for r in rows} == {"claude-sonnet-4-6"}, rows=2),
    Snippet("a_complete_config_falls_back", "003", 535, 600, by_both, rows=2, down=DOWN),
    Snippet("all_of_it_together", "003", 632, 744,
            lambda said, rows: said.count("Feedback submitted: positive") == 2 and said.count("Feedback submitted: negative") == 1
            and all(r["trace_id"].startswith("sess_") for r in rows) and metadata(rows)["user_id"] == "user_demo_001", rows=3),
    Snippet("all_of_it_together_on_the_second_provider", "003", 632, 744,
            lambda said, rows: said.count("Model: gpt-4o |") == 3, rows=3, down=DOWN),
]
FOUR = [s._replace(flat=True) for s in FOUR] + [
    Snippet("a_config_against_gray_failures", "003", 481, 496, served("anthropic-prod"), before=CLIENT,
            insert={481: "CONFIG = \\"}, after="client = client.with_options(config=CONFIG)\n" + SAY),
    Snippet("a_config_against_gray_failures_falls_back", "003", 481, 496, served("openai-prod"), before=CLIENT,
            insert={481: "CONFIG = \\"}, after="client = client.with_options(config=CONFIG)\n" + SAY, down=DOWN),
]

# --- our own page, in the order of its snippets ------------------------------------------------------

OWN = [
    Snippet("our_page_calls_and_gives_feedback", "", 0, 0,
            lambda said, rows: said == "Hello checkout-42\n" and served("openai-prod")(said, rows)
            and metadata(rows) == {"team": "search"}),
    Snippet("our_page_falls_back_by_two_sdks", "", 0, 0,
            lambda said, rows: keys(rows) == ["openai-prod"] * 2 and [r["fallback_index"] for r in rows] == [1, 1], rows=2,
            after="gpt.chat.completions.create(**ASK)\nclaude.messages.create(model='any', max_tokens=9, messages="
                  "[{'role': 'user', 'content': 'why?'}])", down=DOWN),
    Snippet("our_page_completes_a_prompt", "", 0, 0,
            lambda said, rows: said == "Hi Ada\n" and rows[0]["prompt"] == "greet@1", language="node",
            after="console.log(answer.choices[0].message.content);"),
]

SNIPPETS = ONE + TWO + THREE + FOUR
