"""Cases for the cache that are more than a call, in the form of special.py."""
import json
import signal
import time

SECRET = "sk-e2e-a-secret-that-must-not-appear"


def trace(case):
    return f"{case}-{time.monotonic_ns()}"


def statuses(door, config, *texts, **params):
    """The cache status of each."""
    found = []
    for text in texts:
        answer = door.chat(config, text, {"model": "echo", **params})
        found.append(answer.cached if answer.ok else answer.message)
    return found


def restart(door, *options):
    door.process.send_signal(signal.SIGTERM)
    door.process.wait(20)
    door.start(*options)


def use_embedder(door, embedder):
    """The default embedder, as each door has it; None: none."""
    text = embedder and json.dumps(embedder)
    if door.name == "sqlite":
        door.function("pk_set", "embedder", text)
    elif door.name == "postgres":
        door.db.query(f"set pk.embedder = '{text}'" if text else "reset pk.embedder")
    else:
        restart(door, *(["--embedder", text] if text else []))


def purged_by_filter(door, e, mock):
    """a purge takes what its filter says"""
    one = e.to("echo", cache={"mode": "simple", "namespace": "purge-one"})
    two = e.to("echo", cache={"mode": "simple", "namespace": "purge-two"})
    before = statuses(door, one, "a", "b", "a") + statuses(door, two, "a", "a")
    time.sleep(0.3)  # until what the daemon has just saved is not a moment old any more
    gone = int(door.function("pk_cache_purge", '{"namespace": "purge-one", "provider": "openai"}'))
    none = int(door.function("pk_cache_purge", '{"namespace": "purge-two", "older_than": 3600}'))
    wrong = door.function("pk_cache_purge", '{"namespaces": "x"}')
    after = statuses(door, one, "a", "b") + statuses(door, two, "a")
    return (before == ["MISS", "MISS", "HIT", "MISS", "HIT"] and (gone, none) == (2, 0)
            and after == ["MISS", "MISS", "HIT"] and "unknown key" in wrong.message)


def production_config(door, e, mock):
    """a fallback over two providers with a semantic cache takes the default embedder, or pk's own"""
    for slug, provider in ("seed-anthropic", "anthropic"), ("seed-openai", "openai"):
        door.function("pk_key_put", slug, provider, SECRET + slug, {"custom_host": e.base + "/v1"})
    config = {"strategy": {"mode": "fallback"}, "cache": {"mode": "semantic", "max_age": 86400,
                                                          "similarity_threshold": 0.95},
              "retry": {"attempts": 2, "on_status_codes": [429, 500, 502, 503, 504]},
              "targets": [{"virtual_key": "seed-anthropic", "request_timeout": 20000, "weight": 1,
                           "override_params": {"model": "claude-sonnet-4-6"}},
                          {"virtual_key": "seed-openai", "request_timeout": 20000, "weight": 1,
                           "override_params": {"model": "gpt-4o"}}]}
    stored = door.function("pk_config_put", "seed-production", config)
    own = statuses(door, "seed-production", "Name a colour of the sky.", "name a colour of the sky",
                   "Tell me a colour that the sky has.")
    use_embedder(door, {"virtual_key": "seed-openai", "model": "e"})
    found = statuses(door, "seed-production", "Explain microservices briefly.",
                     "Please explain microservices briefly.", "Explain monoliths briefly.")
    use_embedder(door, None)
    return (int(stored) == 1 and own == found == ["SEMANTIC MISS", "SEMANTIC HIT",
                                                  "SEMANTIC MISS"])


ANY = [purged_by_filter, production_config]
