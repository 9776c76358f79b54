#!/usr/bin/env python3
"""The control APIs of pkd, in Portkey's shapes:  pkd_control.py BUILD"""
import json
import sqlite3
import time

import pkd_harness as h
from pkd_harness import Pkd, expect, until

mock = h.Mock()
SECRET = "sk-test-4f1c9a7e"


class Api:
    """A client that sends JSON, with an API key when there is one."""

    def __init__(self, pkd, key=None):
        self.pkd = pkd
        self.headers = {"content-type": "application/json"}
        if key:
            self.headers["x-portkey-api-key"] = key
        self.said = ""

    def ask(self, method, path, body=None, **headers):
        text = body if isinstance(body, (str, type(None))) else json.dumps(body)
        status, _, answer = self.pkd.http(method, "/v1" + path, text, {**self.headers, **headers})
        self.said += answer.decode()
        return status, json.loads(answer)

    def ok(self, method, path, body=None, **headers):
        status, answer = self.ask(method, path, body, **headers)
        expect(status == 200, (method, path, status, answer))
        return answer

    def refused(self, status, words, method, path, body=None):
        got, answer = self.ask(method, path, body)
        expect(got == status and words in answer["error"]["message"], (method, path, body, got, answer))

    def chat(self, config, model="fixed-600"):
        return self.pkd.http("POST", "/v1/chat/completions", h.chat_body(model),
                             {**self.headers, "x-portkey-config": config})


def start(*options, **more):
    pkd = Pkd(*options, **more)
    return pkd, Api(pkd)


def key_body(name="Team Key", **more):
    return {"name": name, "provider": "openai", "key": SECRET, "custom_host": mock.base, **more}


def a_config_is_made_changed_and_deleted():
    pkd, api = start()
    api.ok("POST", "/virtual-keys", key_body("k"))
    config = {"strategy": {"mode": "fallback"}, "targets": [{"virtual_key": "k", "request_timeout": 30}]}
    made = api.ok("POST", "/configs", {"name": "Prod fallback v1!", "config": config})
    expect(made["success"] and made["data"]["id"] == made["id"] == "pc-prod-fallback-v1", made)
    expect(made["version_id"] == "pc-prod-fallback-v1@1" and made["object"] == "config", made)
    slug = made["slug"]
    expect(until(lambda: api.chat(slug)[0] == 200), "calls can name it")

    got = api.ok("GET", "/configs/" + slug)
    expect(got["config"] == config == got["data"]["config"], got)
    expect(got["name"] == "Prod fallback v1!" and got["status"] == "active", got)
    expect(got["created_at"].endswith("Z") and got["is_default"] == 0, got)

    changed = api.ok("PUT", "/configs/" + slug, {"config": json.dumps({"virtual_key": "k"})})
    expect(changed["data"]["version_id"] == slug + "@2", changed)
    renamed = api.ok("PUT", "/configs/" + slug, {"name": "Prod", "slug": slug, "status": "active"})
    expect(renamed["version_id"] == slug + "@2", renamed)
    again = api.ok("POST", "/configs", {"name": "Prod fallback v1!", "config": {"virtual_key": "k"},
                                        "isDefault": 1, "workspace_id": "w"})
    expect(again["slug"] == slug + "-2", again)
    listed = api.ok("GET", "/configs?workspace_id=w")
    expect([(c["slug"], c["name"]) for c in listed["data"]] ==
           [(slug, "Prod"), (slug + "-2", "Prod fallback v1!")], listed)
    expect(listed["total"] == 2 and listed["object"] == "list" and listed["success"], listed)
    second = api.ok("GET", "/configs?page_size=1&current_page=1")
    expect([c["slug"] for c in second["data"]] == [slug + "-2"] and second["total"] == 2, second)
    versions = api.ok("GET", f"/configs/{slug}/versions")
    expect([v["version_id"] for v in versions["data"]] == [slug + "@2", slug + "@1"], versions)
    expect(json.loads(versions["data"][1]["config"]) == config and versions["total"] == 2, versions)

    api.ok("DELETE", "/configs/" + slug)
    api.refused(404, f'there is none called "{slug}"', "GET", "/configs/" + slug)
    expect(until(lambda: api.chat(slug)[0] == 404), ("and now they cannot", api.chat(slug)))
    api.ok("POST", "/configs", {"slug": "mine", "config": {"virtual_key": "k"}})
    expect(api.ok("GET", "/configs/mine")["name"] == "mine")
    actors = {r[0] for r in pkd.rows("select actor from pk_audit where verb like 'config%'")}
    expect(len(actors) == 1 and actors.pop().startswith("os:"))
    pkd.stop()


def what_is_no_config_is_refused():
    pkd, api = start()
    api.ok("POST", "/virtual-keys", key_body("k"))
    config = {"virtual_key": "k"}
    for body, words in (
            ("{", "body:"), ("[]", "body: must be an object"), ({}, "name: must be given"),
            ({"name": 5}, "name: must be a text, not a number"),
            ({"name": "n"}, "config: must be given"), ({"name": "n", "config": 5}, "config: must be an object"),
            ({"name": "日本", "config": config, "slug": "-x"}, "slug: must be"),
            ({"name": "n", "config": config, "colour": 1}, 'a config has no member "colour"'),
            ({"name": "n", "config": {"virtual_key": "none"}}, 'there is none called "none"'),
            ({"name": "n", "config": {"strategy": {"mode": "maybe"}}}, "strategy.mode"),
            ({"name": "n", "config": {"provider": "openai", "api_key": SECRET}}, "is not stored"),
            ({"name": "n", "config": config, "status": "archived"}, "status: delete")):
        api.refused(400, words, "POST", "/configs", body)
    api.ok("POST", "/configs", {"slug": "s", "config": config})
    api.refused(400, "there is a config called", "POST", "/configs", {"slug": "s", "config": config})
    expect(pkd.rows("select count(*) from pk_config") == [(1,)], "nothing else was kept")
    for method, path in (("GET", "/configs/none"), ("PUT", "/configs/none"), ("DELETE", "/configs/none"),
                         ("GET", "/configs/none/versions"), ("GET", "/virtual-keys/none"),
                         ("PUT", "/virtual-keys/none"), ("DELETE", "/virtual-keys/none"),
                         ("GET", "/configs/%2e%2e"), ("GET", "/configs/a%00b")):
        api.refused(404, "there is none called", method, path, {} if method == "PUT" else None)
    api.refused(400, "page_size: must be", "GET", "/configs?page_size=-1")
    status, headers, _ = pkd.http("PATCH", "/v1/configs", "{}")
    expect(status == 405 and "POST" in headers["allow"], headers["allow"])
    pkd.stop()


def a_virtual_key_is_made_changed_and_deleted():
    pkd, api = start()
    made = api.ok("POST", "/virtual-keys", key_body(
        note="of team red", allowed_models=["gpt-*"], workspace_id="w",
        rate_limits=[{"type": "requests", "unit": "rpm", "value": 50}],
        usage_limits={"credit_limit": 10.5, "type": "cost", "alert_threshold": 9, "periodic_reset": "monthly"},
        expires_at="2099-01-31T12:00:00Z"))
    expect(made["success"] and made["data"]["slug"] == made["slug"] == "team-key", made)
    expect(until(lambda: api.chat("team-key", "gpt-4o-mini")[0] == 200), api.chat("team-key", "gpt-4o-mini"))
    got = api.ok("GET", "/virtual-keys/team-key")
    want = {"name": "Team Key", "note": "of team red", "provider": "openai", "status": "active",
            "custom_host": mock.base, "allowed_models": ["gpt-*"], "masked_api_key": "********",
            "rate_limits": [{"type": "requests", "unit": "rpm", "value": 50}],
            "usage_limits": {"credit_limit": 10.5, "type": "cost", "alert_threshold": 9,
                             "periodic_reset": "monthly"},
            "expires_at": "2099-01-31T12:00:00.000Z", "object": "virtual-key"}
    expect({k: got[k] for k in want} == want, got)
    expect(got["model_config"] == {"custom_host": mock.base}, got)

    api.ok("PUT", "/virtual-keys/team-key", {"note": None, "name": "Red"})
    now = api.ok("GET", "/virtual-keys/team-key")
    want.update(name="Red", note=None)
    expect({k: now[k] for k in want} == want, ("the rest stays", now))
    api.ok("PUT", "/virtual-keys/team-key", {"usage_limits": None, "expires_at": None,
                                             "rate_limits": [{"type": "tokens", "unit": "rph", "value": 9000}]})
    now = api.ok("GET", "/virtual-keys/team-key")
    expect(now["usage_limits"] is None and now["expires_at"] is None, now)
    expect(now["rate_limits"] == [{"type": "tokens", "unit": "rph", "value": 9000}], now)
    api.ok("PUT", "/virtual-keys/team-key", {"key": SECRET + "-new", "allowed_models": None})
    expect(until(lambda: api.chat("team-key", "gpt-4o-mini")[0] == 200))
    expect(mock.page("last")["headers"]["authorization"] == f"Bearer {SECRET}-new", "the new one is sent")
    api.refused(400, "give the key again", "PUT", "/virtual-keys/team-key",
                {"custom_host": "https://elsewhere.example/v1"})
    listed = api.ok("GET", "/virtual-keys?current_page=0&page_size=10")
    expect([k["slug"] for k in listed["data"]] == ["team-key"] and listed["total"] == 1, listed)
    api.ok("DELETE", "/virtual-keys/team-key")
    api.refused(404, "there is none", "GET", "/virtual-keys/team-key")
    expect(api.ok("GET", "/virtual-keys")["data"] == [])
    api.ok("POST", "/virtual-keys", key_body("Team Key"))  # the slug is free again
    pkd.stop()


def a_virtual_keys_provider_has_fields_in_every_spelling():
    pkd, api = start()
    azure = {"name": "azure", "provider": "azure-openai", "key": SECRET}
    for name, more in (
            ("a", {"apiVersion": "2024-02-01", "resourceName": "res", "deploymentName": "dep"}),
            ("b", {"deploymentConfig": [{"apiVersion": "2024-02-01", "deploymentName": "dep", "alias": "x",
                                         "is_default": True}], "resource_name": "res"}),
            ("c", {"model_config": {"resourceName": "res", "apiVersion": "2024-02-01", "deploymentId": "dep"}})):
        api.ok("POST", "/virtual-keys", {**azure, "slug": name, **more})
        got = api.ok("GET", "/virtual-keys/" + name)["model_config"]
        expect(got == {"resource_name": "res", "deployment_id": "dep", "api_version": "2024-02-01"}, got)
    api.ok("POST", "/virtual-keys", {"name": "aws", "provider": "bedrock", "awsRegion": "eu-west-1",
                                     "awsAccessKeyId": "AKIA" + SECRET, "awsSecretAccessKey": SECRET})
    got = api.ok("GET", "/virtual-keys/aws")
    expect(got["model_config"] == {"aws_region": "eu-west-1"}, got)
    api.ok("POST", "/virtual-keys", {"name": "env", "provider": "open-ai", "key": "env:SOME_NAME"})
    expect(api.ok("GET", "/virtual-keys/env")["masked_api_key"] == "env:SOME_NAME")
    for body, words in (
            ({"name": "x"}, "provider: must be given"), ({"name": "x", "provider": "openai"}, "key: must be given"),
            ({**key_body(), "provider": "nobody"}, 'none called "nobody"'),
            ({**key_body(), "colour": 1}, 'has no member "colour"'),
            ({**key_body(), "model_config": {"colour": 1}}, 'there is no member "colour"'),
            ({**key_body(), "awsAccessKeyId": SECRET}, "given twice"),
            ({**key_body(), "rate_limits": [{"type": "requests", "unit": "rpx", "value": 1}]}, "rate_limits[0].unit"),
            ({**key_body(), "usage_limits": {"credit_limit": 0}}, "usage_limits.credit_limit"),
            ({**key_body(), "expires_at": "soon"}, "expires_at"),
            ({**key_body(), "secret_mappings": [{}]}, "secret_mappings"),
            ({**key_body(), "deploymentConfig": [{}, {}]}, "a list of one")):
        api.refused(400, words, "POST", "/virtual-keys", body)
    api.refused(400, "provider: stays", "PUT", "/virtual-keys/env", {"provider": "anthropic"})
    pkd.stop()


def use_and_status_of_a_virtual_key_are_told():
    pkd, api = start()
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
    api.ok("POST", "/virtual-keys", key_body("brief", expires_at=soon))
    api.ok("POST", "/virtual-keys", key_body("spent", usage_limits={"credit_limit": 20, "type": "tokens"}))
    expect(until(lambda: api.chat("spent")[0] in (200, 412)))

    def state(slug):
        return api.ok("GET", "/virtual-keys/" + slug)
    expect(until(lambda: state("brief")["status"] == "expired", 5), state("brief"))
    api.ok("PUT", "/virtual-keys/spent", {"usage_limits": {"credit_limit": 100000, "type": "tokens"}})
    expect(until(lambda: api.chat("spent")[0] == 200))
    expect(until(lambda: state("spent")["usage"][0]["used"] > 0), state("spent"))
    used = state("spent")["usage"][0]
    expect(used["counts"] == "tokens" and used["per"] == "total" and
           used["remaining"] == 100000 - used["used"], used)
    api.ok("PUT", "/virtual-keys/spent", {"usage_limits": {"credit_limit": used["used"], "type": "tokens"}})
    expect(state("spent")["status"] == "exhausted", state("spent"))
    expect(until(lambda: api.chat("spent")[0] == 412))
    api.ok("PUT", "/virtual-keys/spent", {"reset_usage": True, "usage_limits":
                                          {"credit_limit": 100000, "type": "tokens"}})
    now = state("spent")
    expect(now["status"] == "active" and now["usage"][0]["used"] == 0, now)
    expect(until(lambda: api.chat("spent")[0] == 200))
    pkd.stop()


def no_secret_leaves():
    pkd, api = start("--verbose")
    api.ok("POST", "/virtual-keys", key_body("k"))
    api.ok("PUT", "/virtual-keys/k", {"key": SECRET + "-2"})
    api.ask("POST", "/virtual-keys", key_body("k", slug="k", colour=SECRET))
    api.ask("POST", "/virtual-keys", key_body("n", provider="nobody"))
    api.ok("POST", "/virtual-keys", {"name": "aws", "provider": "bedrock", "awsRegion": "eu-west-1",
                                     "awsAccessKeyId": SECRET, "awsSecretAccessKey": SECRET})
    for path in ("/virtual-keys", "/virtual-keys/k", "/virtual-keys/aws", "/configs"):
        api.ok("GET", path)
    expect(SECRET not in api.said, "no answer has it")
    expect(SECRET not in pkd.text(), "nor the output of pkd")
    db = sqlite3.connect("file:" + pkd.store + "?mode=ro", uri=True)
    dump = repr([db.execute(f"select * from {t}").fetchall() for (t,) in db.execute(
        "select name from sqlite_master where type = 'table'").fetchall()])
    db.close()
    expect(SECRET not in dump and "key_update" in dump, "nor the store")
    pkd.stop()


h.run(a_config_is_made_changed_and_deleted, what_is_no_config_is_refused,
      a_virtual_key_is_made_changed_and_deleted, a_virtual_keys_provider_has_fields_in_every_spelling,
      use_and_status_of_a_virtual_key_are_told, no_secret_leaves)
mock.stop()
h.end()
