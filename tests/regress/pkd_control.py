#!/usr/bin/env python3
"""The control APIs of pkd, in Portkey's shapes:  pkd_control.py BUILD"""
import datetime
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

import openapi
import pkd_harness as h
from patience import in_a_while
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
        wrong = openapi.conforms(method, "/v1" + path.partition("?")[0], status, answer)
        expect(not wrong, (method, path, status, wrong))
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
                                        "isDefault": 0, "workspace_id": "w"})
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


def what_others_name_is_not_deleted_from_under_them():
    pkd, api = start()
    api.ok("POST", "/virtual-keys", key_body("k"))
    for slug in "abcdef":
        api.ok("POST", "/configs", {"slug": slug, "config": {"strategy": {"mode": "fallback"}, "targets": [
            {"virtual_key": "k"} if slug < "d" else {"provider": "@k"}]}})
    api.ok("POST", "/configs", {"slug": "other", "config": {"provider": "ollama", "override_params": {"user": "k"}}})
    api.ok("POST", "/prompts", {"name": "P", "slug": "p", "string": "hi", "parameters": {}, "virtual_key": "k", "model": "m"})
    admin = Api(pkd, api.ok("POST", "/api-keys", {"name": "boss", "scopes": ["admin"], "defaults": {"config_id": "a"}})["key"])
    expect(until(lambda: admin.ask("GET", "/configs")[0] == 200))
    admin.refused(409, 'config "a": is named by API key boss', "DELETE", "/configs/a")
    admin.ok("DELETE", "/configs/b")
    gone = admin.ok("DELETE", "/virtual-keys/k")
    expect(gone["used_by"] == ["config a", "config c", "config d", "config e", "config f"] and gone["used_by_total"] == 6, gone)
    admin.ok("PUT", "/api-keys/boss", {"defaults": None})
    admin.ok("DELETE", "/configs/a")
    admin.ok("POST", "/prompts/partials", {"name": "foot", "slug": "foot", "string": "bye"})
    admin.ok("POST", "/prompts", {"name": "Q", "slug": "q", "string": "hi {{>foot}}", "parameters": {}})
    admin.refused(409, 'prompt "partial/foot": is named by prompt q@1', "DELETE", "/prompts/partials/foot")
    admin.ok("DELETE", "/prompts/q")
    admin.ok("DELETE", "/prompts/partials/foot")
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
    for path in "/configs", "/virtual-keys", "/prompts", "/prompts/partials", "/audit-logs", "/limits":
        for size in "-1", "0", "1001", "x":
            api.refused(400, "page_size: must be 1..1000", "GET", f"{path}?page_size={size}")
        api.refused(400, "current_page: must be", "GET", path + "?current_page=-1")
        api.refused(400, "pagesize: there is no such query parameter", "GET", path + "?pagesize=1")
        api.refused(400, "%zz: is not validly escaped", "GET", path + "?%zz=1")
        expect(api.ask("GET", path + "?page_size=1&current_page=0&workspace_id=w&organisation_id=o")[0] == 200, path)
    for path in "/configs/x", "/prompts/x", "/alerts", "/prices":
        api.refused(400, "page_size: there is no such query parameter", "GET", path + "?page_size=1")
    for default in 1, True:
        api.refused(400, "is_default: is not supported", "POST", "/configs", {"name": "x", "config": {"provider": "openai"}, "isDefault": default})
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
    expect(api.ok("POST", "/virtual-keys", key_body("Team_Key.2"))["slug"] == "Team_Key.2", "a name that can be a slug is one")
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
    several = [{"apiVersion": "2024-02-01", "deploymentName": n, "alias": n} for n in ("big", "small one")]
    api.ok("PUT", "/virtual-keys/c", {"deploymentConfig": several})  # the model of a call names one
    got = api.ok("GET", "/virtual-keys/c")["model_config"]
    expect(got == {"resource_name": "res", "api_version": "2024-02-01"}, got)
    api.ok("POST", "/virtual-keys", {**azure, "slug": "d", "custom_host": mock.base + "/anything", "deploymentConfig": several})
    pkd.http("POST", "/v1/chat/completions", h.chat_body("small one"), {"content-type": "application/json", "x-portkey-virtual-key": "d"})
    expect(mock.page("last")["path"].endswith("/deployments/small%20one/chat/completions?api-version=2024-02-01"), mock.page("last")["path"])
    api.ok("PUT", "/virtual-keys/c", {"deploymentConfig": several[:1]})
    expect(api.ok("GET", "/virtual-keys/c")["model_config"]["deployment_id"] == "big")
    api.ok("POST", "/virtual-keys", {"name": "aws", "provider": "bedrock", "awsRegion": "eu-west-1",
                                     "awsAccessKeyId": "AKIA" + SECRET, "awsSecretAccessKey": SECRET})
    got = api.ok("GET", "/virtual-keys/aws")
    expect(got["model_config"] == {"aws_region": "eu-west-1"}, got)
    api.ok("POST", "/virtual-keys", {"name": "env", "provider": "open-ai", "key": "env:SOME_NAME"})
    expect(api.ok("GET", "/virtual-keys/env")["masked_api_key"] == "env:SOME_NAME")
    for body, words in (
            ({"name": "x"}, "provider: must be given"), ({"name": "x", "provider": "openai"}, "key: must be given"),
            ({**key_body(), "provider": "nobody"}, 'none called "nobody"'),
            ({**key_body(), "key": ""}, "key: must be a text that is not empty"),
            ({**key_body(), "colour": 1}, 'has no member "colour"'),
            ({**key_body(), "model_config": {"colour": 1}}, 'there is no member "colour"'),
            ({**key_body(), "awsAccessKeyId": SECRET}, "given twice"),
            ({**key_body(), "rate_limits": [{"type": "requests", "unit": "rpx", "value": 1}]}, "rate_limits[0].unit"),
            ({**key_body(), "usage_limits": {"credit_limit": 0}}, "usage_limits.credit_limit"),
            ({**key_body(), "expires_at": "soon"}, "expires_at"),
            ({**key_body(), "secret_mappings": [{}]}, "secret_mappings"),
            ({**key_body(), "deploymentConfig": [{}, {}]}, "each has a deploymentName"),
            ({**key_body(), "deploymentConfig": {}}, "must be a list"),
            ({**key_body(), "deploymentConfig": [{"deploymentName": "a", "alias": "gpt"}, {"deploymentName": "b"}]}, "cannot be called"),
            ({**key_body(), "deploymentConfig": [{"deploymentName": "a", "apiVersion": "1"}, {"deploymentName": "b", "apiVersion": "2"}]}, "one apiVersion")):
        api.refused(400, words, "POST", "/virtual-keys", body)
    api.refused(400, "provider: stays", "PUT", "/virtual-keys/env", {"provider": "anthropic"})
    pkd.stop()


def use_and_status_of_a_virtual_key_are_told():
    pkd, api = start()
    expect(in_a_while(lambda at: api.ask("POST", "/virtual-keys", key_body("brief", expires_at=at))[0] == 200))
    api.ok("POST", "/virtual-keys", key_body("spent", usage_limits={"credit_limit": 20, "type": "tokens"}))
    expect(until(lambda: api.chat("spent")[0] in (200, 412)))

    def state(slug):
        return api.ok("GET", "/virtual-keys/" + slug)
    expect(until(lambda: state("brief")["status"] == "expired"), state("brief"))
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
    tables = ("config", "virtual_key", "title", "limit", "audit_item", "setting", "log", "payload", "guardrail")
    dump = repr([pkd.rows(f"select * from pk_{table}") for table in tables])
    expect(SECRET not in dump and "key_update" in dump, "nor the store")
    pkd.stop()


def an_api_key_is_made_changed_rotated_and_deleted():
    pkd, api = start()
    first = api.ok("POST", "/api-keys/workspace/service", {
        "type": "workspace", "sub-type": "service", "name": "Team Red", "description": "of red", "workspace_id": "w",
        "scopes": ["completions.write", "configs.create", "configs.read", "logs.view"]})
    expect(first["id"] == "team-red" and first["key"].startswith("pk-") and first["object"] == "api-key", first)
    admin = Api(pkd, first["key"])
    expect(until(lambda: api.ask("GET", "/api-keys")[0] == 401), "now everybody needs one")
    expect(admin.ok("GET", "/api-keys/team-red")["scopes"] == ["call", "admin", "logs"])

    admin.ok("POST", "/virtual-keys", key_body("k"))
    admin.ok("POST", "/configs", {"slug": "house", "config": {"virtual_key": "k"}})
    made = admin.ok("POST", "/api-keys", {
        "name": "shop_1", "scopes": ["call"], "expires_at": "2099-01-01T00:00:00Z",
        "rate_limits": [{"type": "requests", "unit": "rpm", "value": 5000}],
        "usage_limits": {"credit_limit": 100000, "type": "tokens", "periodic_reset": "weekly"},
        "defaults": {"config_id": "house", "metadata": {"team": "shop"}, "allow_config_override": False}})
    expect(made["id"] == "shop_1", made)
    got = admin.ok("GET", "/api-keys/shop_1")
    want = {"name": "shop_1", "scopes": ["call"], "status": "active", "expires_at": "2099-01-01T00:00:00.000Z",
            "rate_limits": [{"type": "requests", "unit": "rpm", "value": 5000}],
            "usage_limits": {"credit_limit": 100000, "type": "tokens", "periodic_reset": "weekly"},
            "defaults": {"config_id": "house", "metadata": {"team": "shop"}, "allow_config_override": False}}
    expect({k: got[k] for k in want} == want, got)
    expect(made["key"][-4:] in got["key"] and made["key"] not in json.dumps(got), got["key"])
    shop = Api(pkd, made["key"])

    def call(api):
        return api.pkd.http("POST", "/v1/chat/completions", h.chat_body(), api.headers)[0]
    expect(until(lambda: call(shop) == 200), "its config is the default")
    expect(shop.ask("GET", "/api-keys")[0] == 403, "it may call, and no more")

    admin.ok("PUT", "/api-keys/shop_1", {"id": "shop_1", "name": "The shop", "usage_limits": None,
                                         "defaults": {"metadata": {"team": "new"}}})
    now = admin.ok("GET", "/api-keys/shop_1")
    want.update(name="The shop", usage_limits=None)
    want["defaults"]["metadata"] = {"team": "new"}
    expect({k: now[k] for k in want} == want, ("the rest stays", now))
    admin.ok("PUT", "/api-keys/shop_1", {"scopes": ["logs"]})
    expect(until(lambda: call(shop) == 403))
    admin.ok("PUT", "/api-keys/shop_1", {"scopes": ["call"]})

    rotated = admin.ok("POST", "/api-keys/shop_1/rotate", {"key_transition_period_ms": 1500})
    expect(rotated["id"] == "shop_1" and rotated["key"] != made["key"], rotated)
    expect(rotated["key_transition_expires_at"].endswith("Z"), rotated)
    expect(until(lambda: call(Api(pkd, rotated["key"])) == 200) and call(shop) == 200, "both hold")
    expect(until(lambda: call(shop) == 401), "the old one is over")
    last = admin.ok("POST", "/api-keys/shop_1/rotate")["key"]
    expect(until(lambda: call(Api(pkd, last)) == 200) and call(Api(pkd, rotated["key"])) == 401)
    listed = admin.ok("GET", "/api-keys?page_size=50&current_page=0")
    expect([(k["id"], k["name"]) for k in listed["data"]] == [("shop_1", "The shop"), ("team-red", "Team Red")], listed)
    admin.ok("DELETE", "/api-keys/shop_1")
    expect(until(lambda: call(Api(pkd, last)) == 401))
    expect(admin.ask("GET", "/api-keys/shop_1")[0] == 404)
    keys = [first["key"], made["key"], rotated["key"], last]
    expect(not any(k in pkd.text() for k in keys), "no key is in the output of pkd")
    actors = {r[0] for r in pkd.rows("select actor from pk_audit where verb like 'api_key%' and object = 'shop_1'")}
    expect(actors == {"key:team-red"}, actors)
    pkd.stop()


def the_first_api_key_administers():
    pkd, api = start()
    for scopes in ({}, {"scopes": ["call"]}, {"scopes": ["call", "logs"]}, {"scopes": ["completions.write"]}):
        api.refused(400, 'scopes: the first API key needs "admin"', "POST", "/api-keys", {"name": "app", **scopes})
    expect(pkd.rows("select count(*) from pk_api_key") == [(0,)])
    admin = Api(pkd, api.ok("POST", "/api-keys", {"name": "boss", "scopes": ["admin"]})["key"])
    expect(until(lambda: api.ask("GET", "/api-keys")[0] == 401))
    expect(admin.ok("POST", "/api-keys", {"name": "app"})["key"], "the others may be any")
    pkd.stop()


def the_last_key_that_administers_stays():
    pkd, api = start()
    admin = Api(pkd, api.ok("POST", "/api-keys", {"name": "boss", "scopes": ["admin"]})["key"])
    expect(until(lambda: api.ask("GET", "/api-keys")[0] == 401))
    admin.ok("POST", "/api-keys", {"name": "app"})
    last = 'api-key "boss": is the last one with the scope "admin"'
    admin.refused(409, last, "DELETE", "/api-keys/boss")
    admin.refused(409, last, "PUT", "/api-keys/boss", {"scopes": ["call", "logs"], "description": "gone"})
    got = admin.ok("GET", "/api-keys/boss")
    expect(got["scopes"] == ["admin"] and not got["description"] and "pkd apikey" in admin.said, got)
    expect(pkd.rows("select verb from pk_audit where object = 'boss'") == [("api_key_create",)], "nothing was done")
    second = Api(pkd, admin.ok("POST", "/api-keys", {"name": "second", "scopes": ["admin"]})["key"])
    expect(until(lambda: second.ask("GET", "/api-keys")[0] == 200))
    admin.ok("DELETE", "/api-keys/boss")
    second.refused(409, 'api-key "second"', "DELETE", "/api-keys/second")
    second.ok("DELETE", "/api-keys/app")
    pkd.stop()


def what_is_no_api_key_is_refused():
    pkd, api = start()
    admin = {"name": "x", "scopes": ["admin"]}
    for body, words in (
            ({}, "name: must be given"), ({"name": "x", "scopes": "call"}, "scopes: must be a list"),
            ({"name": "x", "scopes": ["everything"]}, 'none called "everything"'),
            ({"name": "x", "scopes": ["a.b"]}, 'none called "a.b"'), ({"name": "x", "scopes": [5]}, "scopes"),
            ({"name": "x", "scopes": ["configs.read"]}, "allow nothing"), ({"name": "x", "scopes": []}, "allow nothing"),
            ({**admin, "defaults": {"allow_config_override": False}}, "defaults.config"),
            ({**admin, "expires_at": "soon"}, "expires_at"), ({"name": "x", "colour": 1}, '"colour"'),
            ({"name": "x", "rotation_policy": {"rotation_period": "weekly"}}, "rotation_policy: is not supported")):
        api.refused(400, words, "POST", "/api-keys", body)
    said = api.ask("POST", "/api-keys", {**admin, "expires_at": "soon"})[1]["error"]["message"]
    expect(said.startswith("expires_at: must be"), ("it names what the body has", said))
    api.refused(404, 'called "none"', "POST", "/api-keys", {**admin, "defaults": {"config_id": "none"}})
    api.refused(404, "a type is", "POST", "/api-keys/workspace/other", {"name": "x"})
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("POST", "/rotate")):
        api.refused(404, "there is none", method, "/api-keys/none" + path, {} if method == "PUT" else None)
    expect(pkd.rows("select count(*) from pk_api_key") == [(0,)])
    pkd.stop()


def a_guardrail_is_made_changed_and_deleted():
    pkd, api = start()
    api.ok("POST", "/virtual-keys", key_body("k"))
    checks = [{"id": "default.contains", "parameters": {"words": ["hello"], "operator": "none"}}]
    actions = {"deny": True, "async": False, "on_success": {}, "on_fail": {}}
    made = api.ok("POST", "/guardrails", {"name": "No hellos", "checks": checks, "actions": actions,
                                          "workspace_id": "w", "organisation_id": "o"})
    expect(made["id"] == made["slug"] == "pg-no-hellos" and made["version_id"] == "pg-no-hellos@1", made)
    got = api.ok("GET", "/guardrails/pg-no-hellos")
    expect(got["checks"] == checks and got["actions"] == actions and got["name"] == "No hellos", got)
    config = json.dumps({"virtual_key": "k", "input_guardrails": ["pg-no-hellos"]})
    expect(until(lambda: api.chat(config)[0] == 446), api.chat(config))
    api.ok("PUT", "/guardrails/pg-no-hellos", {"actions": {**actions, "deny": False}})
    expect(api.ok("GET", "/guardrails/pg-no-hellos")["checks"] == checks, "the checks stay")
    expect(until(lambda: api.chat(config)[0] == 246), api.chat(config))
    api.ok("POST", "/guardrails", {"slug": "flat", "type": "contains", "deny": ["x"]})
    expect(api.ok("GET", "/guardrails/flat")["guardrail"] == {"type": "contains", "deny": ["x"]})
    listed = api.ok("GET", "/guardrails?page_size=100&current_page=0")
    expect([g["slug"] for g in listed["data"]] == ["flat", "pg-no-hellos"] and listed["total"] == 2, listed)
    for body, words in (({"name": "x"}, "guardrail"), ({"checks": checks}, "name: must be given"),
                        ({"name": "x", "checks": [{"id": "no.such"}]}, "no.such"),
                        ({"name": "x", "checks": checks, "colour": 1}, "colour")):
        api.refused(400, words, "POST", "/guardrails", body)
    api.ok("POST", "/configs", {"slug": "guarded", "config": json.loads(config)})
    api.refused(409, 'guardrail "pg-no-hellos": is named by config guarded', "DELETE", "/guardrails/pg-no-hellos")
    api.ok("PUT", "/configs/guarded", {"config": {"virtual_key": "k"}})
    api.ok("DELETE", "/guardrails/pg-no-hellos")
    api.ok("DELETE", "/guardrails/flat")
    api.refused(404, "there is none", "GET", "/guardrails/flat")
    api.refused(404, "there is none", "DELETE", "/guardrails/flat")
    pkd.stop()


def integrations_and_providers_are_virtual_keys():
    pkd, api = start()
    made = api.ok("POST", "/integrations", {"name": "OpenAI all", "ai_provider_id": "openai", "key": SECRET, "workspace_id": "w",
                                            "description": "ours", "configurations": {"custom_host": mock.base}})
    expect(made["id"] == made["slug"] == "openai-all", made)
    got = api.ok("GET", "/integrations/openai-all")
    want = {"name": "OpenAI all", "ai_provider_id": "openai", "description": "ours", "masked_key": "********",
            "configurations": {"custom_host": mock.base}, "allow_all_models": True}
    expect({k: got[k] for k in want} == want, got)
    api.ok("POST", "/providers", {"name": "Red", "slug": "red", "integration_id": "openai-all", "note": "n", "workspace_id": "w",
                                  "rate_limits": {"type": "requests", "unit": "rpm", "value": 3}})
    got = api.ok("GET", "/providers/red?workspace_id=w")
    expect(got["integration_id"] == "openai-all" and got["note"] == "n" and got["name"] == "Red", got)
    expect(got["rate_limits"] == [{"type": "requests", "unit": "rpm", "value": 3}], got)
    expect(until(lambda: api.chat('{"provider": "@red"}')[0] == 200))
    expect(mock.page("last")["headers"]["authorization"] == f"Bearer {SECRET}", "the integration's key")
    expect(until(lambda: api.chat("red")[0] == 429), "and limits of its own")
    expect(api.chat("openai-all")[0] == 200)
    api.ok("PUT", "/providers/red", {"rate_limits": None, "name": "Red 2", "reset_usage": True})
    expect(until(lambda: api.chat("red")[0] == 200))
    api.ok("POST", "/virtual-keys", {"name": "by name", "provider": "openai", "key": "env:NONE_SUCH"})
    api.ok("POST", "/providers", {"name": "copy of a reference", "integration_id": "by-name"})
    expect(api.ok("GET", "/virtual-keys/copy-of-a-reference")["masked_api_key"] == "env:NONE_SUCH")
    expect([p["slug"] for p in api.ok("GET", "/providers")["data"]] ==
           ["by-name", "copy-of-a-reference", "openai-all", "red"])
    expect(api.ok("GET", "/integrations?type=all")["total"] == 4)
    api.refused(404, 'called "none"', "POST", "/providers", {"name": "x", "integration_id": "none"})
    api.refused(400, "integration_id: must be given", "POST", "/providers", {"name": "x"})
    api.refused(400, 'has no member "key"', "POST", "/providers", {"name": "x", "integration_id": "red", "key": SECRET})
    api.refused(400, "provider: must be given", "POST", "/integrations", {"name": "x", "key": SECRET})
    api.ok("DELETE", "/integrations/openai-all")
    expect(until(lambda: api.chat("openai-all")[0] != 200) and api.chat("red")[0] == 200, "a copy lives on")
    api.ok("PUT", "/providers/red", {"rate_limits": {"type": "requests", "unit": "rpm", "value": 99}})
    expect([l["slug"] for l in api.ok("GET", "/limits")["data"]] == ["virtual_key:red:requests:minute"])
    api.ok("DELETE", "/providers/red")
    api.refused(404, "there is none", "GET", "/providers/red")
    expect(api.ok("GET", "/limits")["data"] == [], "limits go with their key")
    expect(SECRET not in api.said)

    path = "/integrations/by-name/models"
    expect(api.ok("GET", path)["allow_all_models"] is True)
    api.ok("PUT", path, {"models": [{"slug": "gpt-4o", "enabled": True}, {"slug": "o3"}], "allow_all_models": False})
    api.ok("PUT", path, {"models": [{"slug": "o3", "enabled": False}, {"slug": "gpt-5*"}]})
    expect([m["slug"] for m in api.ok("GET", path)["models"]] == ["gpt-4o", "gpt-5*"], api.ok("GET", path))
    expect(api.ok("GET", "/virtual-keys/by-name")["allowed_models"] == ["gpt-4o", "gpt-5*"])
    api.ok("DELETE", path + "?slugs=gpt-4o,none")
    api.refused(400, "none would be left", "DELETE", path + "?slugs=gpt-5*")
    api.refused(400, "each must have", "PUT", path, {"models": [{}]})
    api.ok("PUT", path, {"allow_all_models": True})
    expect(api.ok("GET", path) == {"object": "list", "total": 0, "allow_all_models": True, "models": []})
    api.ok("PUT", path, {"models": [{"slug": "o3", "enabled": False}, {"slug": "o4", "enabled": False}]})
    expect(api.ok("GET", path) == {"object": "list", "total": 2, "allow_all_models": True, "models": [
        {"slug": "o3", "enabled": False}, {"slug": "o4", "enabled": False}]}, api.ok("GET", path))
    expect(api.ok("GET", "/virtual-keys/by-name")["denied_models"] == ["o3", "o4"])
    api.ok("PUT", path, {"models": [{"slug": "o3", "enabled": True}]})
    expect(api.ok("GET", path)["allow_all_models"] is True and api.ok("GET", path)["total"] == 1, api.ok("GET", path))
    api.ok("PUT", path, {"models": [{"slug": "gpt-*"}]})
    api.ok("PUT", path, {"models": [{"slug": "gpt-4o", "enabled": False}]})
    expect([(m["slug"], m["enabled"]) for m in api.ok("GET", path)["models"]] ==
           [("gpt-*", True), ("o4", False), ("gpt-4o", False)], "one that a pattern allows")
    api.ok("DELETE", path + "?slugs=o4,gpt-4o")
    expect([m["slug"] for m in api.ok("GET", path)["models"]] == ["gpt-*"])
    api.refused(404, "there is none", "GET", "/integrations/none/models")
    pkd.stop()


def labels_and_collections_are_names():
    pkd, api = start()
    made = api.ok("POST", "/labels", {"name": "production", "description": "live", "color_code": "#f00", "organization_id": "o"})
    expect(made["id"] == "production", made)
    api.ok("POST", "/prompts", {"slug": "p", "name": "P", "string": "x", "parameters": {}, "model": "m", "collection_id": "c"})
    for label in ("production", "canary"):
        api.ok("PUT", "/prompts/p/versions/1", {"label_id": label})
    api.ok("POST", "/prompts/p@canary/render", {"variables": {}})
    listed = api.ok("GET", "/labels")
    expect([(x["id"], x["description"], x["color_code"]) for x in listed["data"]] ==
           [("canary", None, None), ("production", "live", "#f00")], listed)
    api.ok("PUT", "/labels/production", {"name": "Production!"})
    got = api.ok("GET", "/labels/production")
    expect((got["name"], got["description"], got["color_code"]) == ("Production!", "live", "#f00"), got)
    api.ok("DELETE", "/labels/canary")
    expect(api.ask("POST", "/prompts/p@canary/render", {"variables": {}})[0] == 404)
    api.refused(404, "there is none", "DELETE", "/labels/canary")
    api.refused(400, "slug: must be", "POST", "/labels", {"slug": "a b"})

    made = api.ok("POST", "/collections", {"name": "My prompts", "workspace_id": "w", "parent_collection_id": "up"})
    expect(made == {"id": "my-prompts", "slug": "my-prompts"}, made)
    api.ok("PUT", "/collections/my-prompts", {"name": "Ours"})
    got = api.ok("GET", "/collections/my-prompts")
    expect((got["name"], got["parent_collection_id"], got["is_default"]) == ("Ours", "up", False), got)
    expect(api.ok("GET", "/collections?workspace_id=w&search=")["total"] == 1)
    api.ok("DELETE", "/collections/my-prompts")
    expect(api.ok("GET", "/collections")["data"] == [])
    pkd.stop()


def a_prompts_parameters_are_said_in_every_way():
    pkd, api = start()
    api.ok("POST", "/virtual-keys", key_body("k"))
    prompt = {"name": "p", "collection_id": "c", "string": "Hi {{n}}", "virtual_key": "k", "model": "body-echo",
              "parameters": {"model": "body-echo", "max_tokens": 5}}
    slug = api.ok("POST", "/prompts", prompt)["slug"]

    def sent(body):
        answer = api.ok("POST", f"/prompts/{slug}/completions", {"variables": {"n": "x"}, **body})
        body = json.loads(answer["choices"][0]["message"]["content"])
        return {name: value for name, value in body.items() if name not in ("messages", "stream_options")}
    expect(sent({"hyperparameters": {"max_tokens": 6, "temperature": 1}})
           == {"model": "body-echo", "max_tokens": 6, "temperature": 1})
    expect(sent({"hyperparameters": {"max_tokens": 6, "seed": 1}, "max_tokens": 7})
           == {"model": "body-echo", "max_tokens": 7, "seed": 1}, "what is beside the variables wins")
    expect(sent({"hyperparameters": None}) == {"model": "body-echo", "max_tokens": 5})
    shown = api.ok("POST", f"/prompts/{slug}/render", {"variables": {"n": "x"}, "hyperparameters": {"top_p": 0.5}})["data"]
    expect(shown["top_p"] == 0.5 and "hyperparameters" not in shown, shown)
    for bad, words in ((5, "hyperparameters: must be an object"),
                       ({"messages": []}, "hyperparameters.messages: the prompt has it")):
        api.refused(400, words, "POST", f"/prompts/{slug}/completions", {"variables": {"n": "x"}, "hyperparameters": bad})
    api.ok("PUT", f"/prompts/{slug}", {"parameters": {"model": "body-echo:words=1", "seed": 2}})
    now = api.ok("GET", f"/prompts/{slug}@latest")
    expect(now["model"] == "body-echo:words=1" and now["parameters"] == {"seed": 2}, now)
    api.refused(400, "model: is given twice", "PUT", f"/prompts/{slug}",
                {"model": "a", "parameters": {"model": "b"}})
    pkd.stop()


def a_limit_is_made_changed_and_deleted():
    pkd, api = start()
    api.ok("POST", "/virtual-keys", key_body("k", rate_limits=[{"type": "requests", "unit": "rph", "value": 900}]))
    made = api.ok("POST", "/limits", {"name": "Two a minute", "counts": "requests", "amount": 2, "per": "minute", "user": "*"})
    expect(made["id"] == made["slug"] == "two-a-minute", made)
    api.ok("POST", "/limits", {"slug": "team", "counts": "cost", "amount": 12.5, "per": "month", "alert_threshold": 10,
                               "metadata": {"team": "red"}})

    def call():
        return api.pkd.http("POST", "/v1/chat/completions", h.chat_body(), {
            **api.headers, "x-portkey-virtual-key": "k", "x-portkey-metadata": '{"_user": "anna"}'})[0]
    expect(until(lambda: call() == 429), "it holds")
    expect(until(lambda: api.ok("GET", "/limits/two-a-minute")["used"] == 2), api.ok("GET", "/limits/two-a-minute"))
    api.ok("PUT", "/limits/two-a-minute", {"amount": 500})
    expect(until(lambda: call() == 200))
    got = api.ok("GET", "/limits/team")
    want = {"name": "team", "counts": "cost", "amount": 12.5, "per": "month", "rolling": False, "alert_threshold": 10,
            "metadata": {"team": "red"}, "used": 0, "owned": False}
    expect({k: got[k] for k in want} == want, got)
    month = time.gmtime()
    expect(got["resets_at"] in [f"{y}-{m:02}-01T00:00:00.000Z" for y, m in
                                [(month.tm_year + (month.tm_mon + i) // 12, (month.tm_mon + i) % 12 + 1) for i in (0, 1)]], got)
    api.ok("PUT", "/limits/team", {"virtual_key": "k", "name": "Of k"})
    got = api.ok("GET", "/limits/team")
    expect(got["virtual_key"] == "k" and "metadata" not in got and got["alert_threshold"] == 10, got)
    listed = api.ok("GET", "/limits")
    expect([(x["slug"], x["owned"]) for x in listed["data"]] ==
           [("team", False), ("two-a-minute", False), ("virtual_key:k:requests:hour", True)], listed)
    for body, words in (({"name": "x"}, "limit.counts"), ({"name": "x", "counts": "tokens", "amount": 0, "per": "day"}, "limit.amount"),
                        ({"name": "x", "counts": "tokens", "amount": 1, "per": "year"}, "limit.per"),
                        ({"name": "x", "counts": "tokens", "amount": 1, "per": "day", "colour": 1}, '"colour"'),
                        ({"name": "x", "counts": "tokens", "amount": 1, "per": "day", "user": "a", "role": "b"}, "counts one thing")):
        api.refused(400, words, "POST", "/limits", body)
    for method, body in (("PUT", {"amount": 1}), ("DELETE", None)):
        api.refused(400, "slug:", method, "/limits/virtual_key:k:requests:hour", body)
    api.ok("DELETE", "/limits/team")
    api.refused(404, "there is none", "GET", "/limits/team")
    pkd.stop()


def policies_are_limits_in_portkeys_words():
    pkd, api = start()
    api.ok("POST", "/virtual-keys", key_body("k"))
    made = api.ok("POST", "/policies/usage-limits", {
        "name": "Team budget", "type": "cost", "credit_limit": 100.5, "alert_threshold": 80, "periodic_reset": "monthly",
        "conditions": [{"key": "metadata.team", "value": "red"}], "group_by": [{"key": "metadata.team"}], "workspace_id": "w"})
    got = api.ok("GET", "/policies/usage-limits/" + made["id"])
    want = {"name": "Team budget", "type": "cost", "credit_limit": 100.5, "alert_threshold": 80, "periodic_reset": "monthly",
            "conditions": [{"key": "metadata.team", "value": "red"}], "group_by": [{"key": "metadata.team"}]}
    expect({k: got[k] for k in want} == want, got)
    api.ok("PUT", "/policies/usage-limits/" + made["id"], {"credit_limit": 200})
    expect(api.ok("GET", "/limits/" + made["id"])["amount"] == 200)
    expect(api.ok("GET", "/limits/" + made["id"])["metadata"] == {"team": "red"})
    api.ok("PUT", "/policies/usage-limits/" + made["id"], {"periodic_reset": None})
    expect(api.ok("GET", "/limits/" + made["id"])["per"] == "total")

    for condition, group in ((None, None), ("red", None), (None, "metadata.team"), ("red", "metadata.team")):
        whose = {"conditions": [{"key": "metadata.team", "value": condition}] if condition else [],
                 "group_by": [{"key": group}] if group else []}
        put = {"type": "requests", "unit": "rph", "value": 9, **whose}
        id_ = api.ok("POST", "/policies/rate-limits", put)["id"]
        api.ok("PUT", "/policies/rate-limits/" + id_, {"value": 10})
        got = api.ok("GET", "/policies/rate-limits/" + id_)
        expect({k: got[k] for k in put} == {**put, "value": 10}, (put, got))
        put["group_by"] = []
        api.ok("PUT", "/policies/rate-limits/" + id_, put)
        got = api.ok("GET", "/policies/rate-limits/" + id_)
        expect({k: got[k] for k in put} == put, (put, got))
        api.ok("DELETE", "/policies/rate-limits/" + id_)
    rate = api.ok("POST", "/policies/rate-limits", {"type": "requests", "unit": "rpm", "value": 2, "conditions": [],
                                                    "group_by": [{"key": "virtual_key"}]})["id"]
    expect(rate.startswith("policy-"), rate)
    expect(until(lambda: api.chat("k")[0] == 429), "each virtual key has two a minute")
    got = api.ok("GET", "/policies/rate-limits")["data"]
    expect([(p["id"], p["unit"], p["value"], p["conditions"], p["group_by"]) for p in got] ==
           [(rate, "rpm", 2, [], [{"key": "virtual_key"}])], got)
    api.ok("PUT", "/policies/rate-limits/" + rate, {"value": 900})
    expect(until(lambda: api.chat("k")[0] == 200))
    expect(api.ok("GET", "/policies/usage-limits")["total"] == 1, "a rate is no budget")
    for path, body, words in (
            ("usage", {}, "limit.counts"), ("usage", {"type": "cost", "credit_limit": 1, "periodic_reset": "rpm"}, "periodic_reset"),
            ("rate", {"type": "requests", "unit": "weekly", "value": 1}, "unit: must be"),
            ("rate", {"type": "requests", "unit": "rpm", "value": 1, "group_by": [{"key": "colour"}]}, "key: must be"),
            ("rate", {"type": "requests", "unit": "rpm", "value": 1, "group_by": [{}, {}]}, "group_by: must be"),
            ("rate", {"type": "requests", "unit": "rpm", "value": 1, "conditions": [{"key": "api_key"}]}, "conditions[0].value"),
            ("rate", {"type": "requests", "unit": "rpm", "value": 1, "conditions": [{"key": "api_key", "value": "a"}],
                      "group_by": [{"key": "config"}]}, "group_by[0].key")):
        api.refused(400, words, "POST", f"/policies/{path}-limits", body)
    api.refused(404, "there is none", "GET", "/policies/rate-limits/" + made["id"])
    api.ok("DELETE", "/policies/rate-limits/" + rate)
    expect(api.ok("GET", "/policies/rate-limits")["data"] == [])
    pkd.stop()


def use_of_a_policy_is_told_and_forgotten_by_value():
    pkd, api = start()
    api.ok("POST", "/virtual-keys", key_body("k"))
    spent = api.ok("POST", "/policies/usage-limits", {"name": "By team", "type": "tokens", "credit_limit": 10**6, "conditions": [],
                                                      "group_by": [{"key": "metadata.team"}]})["id"]
    alone = api.ok("POST", "/policies/usage-limits", {"name": "All", "type": "tokens", "credit_limit": 5, "conditions": [],
                                                      "group_by": []})["id"]
    api.ok("PUT", "/policies/usage-limits/" + alone, {"credit_limit": 10**6})

    def call(team):
        status, _, answer = pkd.http("POST", "/v1/chat/completions", h.chat_body("m", "one two"), {
            "content-type": "application/json", "x-portkey-virtual-key": "k", "x-portkey-metadata": json.dumps({"team": team})})
        expect(status == 200, answer)

    def used(policy=spent, query=""):
        got = api.ok("GET", f"/policies/usage-limits/{policy}/entities{query}")
        return {e["id"]: e["current_usage"] for e in got["data"]}
    expect(used() == {}, used())
    for team in "red", "red/blue", "red":
        call(team)
    one = 4
    expect(until(lambda: used() == {"red": 2 * one, "red/blue": one}) or used()["red"] == 2 * used()["red/blue"] > 0, used())
    one = used()["red/blue"]
    expect(set(used(query="?search=blue")) == {"red/blue"} and used(query="?status=exhausted") == {}, used())
    expect(list(used(query="?page_size=1&current_page=1")) == ["red/blue"], used())
    got = api.ok("GET", f"/policies/usage-limits/{spent}?include_usage=true")
    expect(got["value_key_usage_map"] == {"metadata.team:red": 2 * one, "metadata.team:red/blue": one}, got)
    expect("value_key_usage_map" not in api.ok("GET", f"/policies/usage-limits/{spent}"))
    api.ok("PUT", f"/policies/usage-limits/{spent}/entities/red%2Fblue/reset")
    expect(until(lambda: used() == {"red": 2 * one, "red/blue": 0}), used())
    api.ok("PUT", f"/policies/usage-limits/{spent}", {"reset_usage_for_value": "metadata.team:red"})
    expect(until(lambda: set(used().values()) == {0}), used())
    expect(used(alone) == {"all": 3 * one}, used(alone))
    api.ok("PUT", f"/policies/usage-limits/{alone}/entities/all/reset")
    expect(until(lambda: used(alone) == {"all": 0}), used(alone))
    api.ok("PUT", f"/policies/usage-limits/{alone}", {"credit_limit": 1})
    call_status = lambda: pkd.http("POST", "/v1/chat/completions", h.chat_body("m", "one two"), {  # noqa: E731
        "content-type": "application/json", "x-portkey-virtual-key": "k"})[0]
    expect(until(lambda: call_status() == 412))
    api.refused(404, "has used nothing", "PUT", f"/policies/usage-limits/{spent}/entities/green/reset")
    api.refused(404, "there is none", "GET", "/policies/usage-limits/none/entities")
    for query, ids in (("status=active&type=tokens", {spent, alone}), ("type=cost", set()), ("status=archived", set())):
        expect({p["id"] for p in api.ok("GET", "/policies/usage-limits?" + query)["data"]} == ids, query)
    rate = api.ok("POST", "/policies/rate-limits", {"type": "requests", "unit": "rph", "value": 9, "conditions": [], "group_by": []})["id"]
    for query, ids in (("unit=rph&type=requests", {rate}), ("unit=rpm", set())):
        expect({p["id"] for p in api.ok("GET", "/policies/rate-limits?" + query)["data"]} == ids, query)
    pkd.stop()


def budgets_begin_anew_after_some_days():
    pkd, api = start()
    today = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)

    def day(n):
        return (today + datetime.timedelta(days=n)).strftime("%Y-%m-%dT00:00:00Z")

    def budget(**more):
        return {"credit_limit": 5, "type": "tokens", **more}

    def ends(got):
        return got["next_usage_reset_at"].replace(".000Z", "Z")
    api.ok("POST", "/virtual-keys", key_body("k", usage_limits=budget(periodic_reset_days=10)))
    got = api.ok("GET", "/virtual-keys/k")
    expect(got["usage_limits"]["periodic_reset_days"] == 10 and ends(got["usage_limits"]) == day(10), got)
    expect(got["usage"][0]["per"] == "10 days from " + day(0)[:10], got["usage"])
    expect(until(lambda: api.chat("k")[0] == 412), "five tokens are too few")
    api.ok("PUT", "/virtual-keys/k", {"usage_limits": budget(credit_limit=10**6, periodic_reset_days=10, next_usage_reset_at=day(3))})
    expect(ends(api.ok("GET", "/virtual-keys/k")["usage_limits"]) == day(3))
    expect(until(lambda: api.chat("k")[0] == 200))
    expect(until(lambda: api.ok("GET", "/virtual-keys/k")["usage"][0]["used"] > 0))
    expect(ends(api.ok("GET", "/virtual-keys/k")["usage_limits"]) == day(3))
    made = api.ok("POST", "/api-keys", {"name": "adm", "scopes": ["admin"], "usage_limits": budget(periodic_reset="weekly", next_usage_reset_at=day(5))})
    api = Api(pkd, made["key"])
    got = api.ok("GET", "/api-keys/adm")["usage_limits"]
    expect(got["periodic_reset_days"] == 7 and ends(got) == day(5), got)
    one = api.ok("POST", "/policies/usage-limits", {**budget(periodic_reset_days=30, next_usage_reset_at=day(1)), "conditions": [], "group_by": []})["id"]
    got = api.ok("GET", "/policies/usage-limits/" + one)
    expect(got["periodic_reset_days"] == 30 and got["periodic_reset"] is None and ends(got) == day(1), got)
    expect(pkd.rows(f"select per from pk_limit where slug = '{one}'") == [("30 days from " + day(1)[:10],)])
    api.ok("PUT", "/policies/usage-limits/" + one, {"credit_limit": 9})
    expect(api.ok("GET", "/policies/usage-limits/" + one)["periodic_reset_days"] == 30)
    api.ok("PUT", "/policies/usage-limits/" + one, {"periodic_reset": "monthly"})
    expect("periodic_reset_days" not in api.ok("GET", "/policies/usage-limits/" + one))
    api.ok("POST", "/limits", {"name": "Mine", "counts": "tokens", "amount": 9, "per": "3 days from 2026-01-31"})
    expect(api.ok("GET", "/limits/Mine")["per"] == "3 days from 2026-01-31")
    for more, words in (({"periodic_reset_days": 0}, "periodic_reset_days: must be 1..365"), ({"periodic_reset_days": 366}, "must be 1..365"),
                        ({"periodic_reset_days": 3, "periodic_reset": "weekly"}, "in the place of"),
                        ({"next_usage_reset_at": day(1)}, "needs periodic_reset"),
                        ({"periodic_reset": "weekly", "next_usage_reset_at": "2026-01-31T12:00:00Z"}, "must be a midnight"),
                        ({"periodic_reset": "weekly", "next_usage_reset_at": "soon"}, "must be a midnight"),
                        ({"periodic_reset": "monthly", "next_usage_reset_at": "2030-01-31T00:00:00Z"}, "with the month")):
        api.refused(400, words, "POST", "/policies/usage-limits", {**budget(**more), "conditions": [], "group_by": []})
        api.refused(400, words, "PUT", "/virtual-keys/k", {"usage_limits": budget(**more)})
    for per in "3 days", "3 days from now", "0 days from 2026-01-31":
        api.refused(400, "limit.per: must be", "POST", "/limits", {"name": "x", "counts": "tokens", "amount": 9, "per": per})
    pkd.stop()


def there_is_one_workspace():
    pkd, api = start()
    got = api.ok("GET", "/admin/workspaces")
    expect(got["total"] == 1 and [w["id"] for w in got["data"]] == ["default"], got)
    one = api.ok("GET", "/admin/workspaces/default")
    expect({**got["data"][0], "users": []} == one and one["defaults"]["is_default"] == 1, one)
    for query, count in ("name=def", 1), ("exact_name=Default", 1), ("exact_name=def", 0), ("status=archived", 0), ("current_page=1", 0), ("pageSize=5&currentPage=0", 1), ("currentPage=1", 0):
        expect(len(api.ok("GET", "/admin/workspaces?" + query)["data"]) == count, query)
    api.refused(404, "there is one", "GET", "/admin/workspaces/other")
    for method, path in ("POST", ""), ("PUT", "/default"), ("DELETE", "/default"):
        api.refused(400, "there is one, called", method, "/admin/workspaces" + path, {"name": "x"})
    api.ok("POST", "/integrations", {"name": "I", "slug": "i", "ai_provider_id": "openai", "key": "sk", "default_provider_slug": "i-too"})
    expect(api.ok("GET", "/providers/i-too")["integration_id"] == "i")
    api.refused(400, "prices of one's own", "PUT", "/integrations/i", {"pricing_adjustments": {"multiplier": {"input": 2}}})
    got = api.ok("GET", "/integrations/i/workspaces")
    expect(got["total"] == 1 and got["workspaces"][0]["enabled"] and got["global_workspace_access"]["enabled"], got)
    expect(got["workspaces"][0]["usage_limits"] is None and got["workspaces"][0]["rate_limits"] is None, "as Portkey's SDK has it")
    for good in ({}, {"workspaces": [{"id": "default", "enabled": True}], "override_existing_workspace_access": True},
                 {"global_workspace_access": {"enabled": True, "usage_limits": []}}, {"workspaces": [], "global_workspace_access": None}):
        api.ok("PUT", "/integrations/i/workspaces", good)
    for bad in ({"workspaces": [{"id": "default", "enabled": False}]}, {"workspaces": [{"id": "w", "enabled": True}]}, {"workspaces": ["x"]},
                {"global_workspace_access": {"enabled": False}},
                {"workspaces": [{"id": "default", "usage_limits": [{"credit_limit": 1}]}]}):
        api.refused(400, "there is one, called", "PUT", "/integrations/i/workspaces", bad)
    api.refused(404, "there is none", "GET", "/integrations/none/workspaces")
    pkd.stop()


def what_is_elsewhere_says_where():
    pkd, api = start()
    for path, words in (("/admin/users", "/v1/api-keys"), ("/admin/users/invites", "/v1/api-keys"), ("/admin/workspaces/default/users", "/v1/api-keys"),
                        ("/scim/workspaces", "/v1/api-keys"), ("/mcp-servers/x/test", "MCP"), ("/mcp-integrations", "MCP"),
                        ("/secret-references", "env:NAME")):
        for method in "GET", "POST", "PUT", "DELETE":
            api.refused(404, words, method, path, {})
    pkd.stop()


SCOPES = {"NONE": None, "CALL": {"call"}, "ADMIN": {"admin"}, "LOGS": {"logs"}, "READ": {"admin", "logs"},
          "ANY": {"call", "admin", "logs"}}


def every_endpoint_asks_for_a_key_of_its_scope():
    pkd, api = start()
    keys = {s: Api(pkd, admin_key(pkd, s)) for s in ("call", "logs", "admin")}
    expect(until(lambda: api.ask("GET", "/configs")[0] == 401))

    def status(who, method, path, **headers):
        return pkd.http(method, path, None if method == "GET" else "{}", {**who.headers, **headers})[0]
    rows = h.endpoints()
    expect(len(rows) > 100 and {r.kind for r in rows} == {"OPERATION_AT", "ENDPOINT", "ERRAND"}, len(rows))
    for row in rows:
        path = row.path.replace("**", "x/y").replace("*", "x")
        may = SCOPES["CALL" if row.kind == "OPERATION_AT" else row.scope]
        if may is None:
            expect(status(api, row.method, path) in (200, 404), row)
            continue
        expect(status(api, row.method, path) == 401, row)
        for scope, who in keys.items():
            got = status(who, row.method, path)
            expect((got == 403) == (scope not in may), (row, scope, got))
    for path in ("/v1/proxy/anything", "/v1/any/other/path", "/v1/realtime?model=m"):
        asked = {"x-portkey-config": h.config(mock)}
        expect(status(api, "GET", path, **asked) == 401, path)
        expect([status(keys[s], "GET", path, **asked) for s in ("logs", "admin")] == [403, 403], path)
        expect(status(keys["call"], "GET", path, **asked) not in (401, 403), path)
    pkd.stop()


def admin_key(pkd, scope):
    done = subprocess.run([h.program("pkd"), "apikey", "create", "scope-" + scope, json.dumps({"scopes": [scope]}),
                           "--store", pkd.store], capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.strip()


def a_new_store_gets_an_admin_key_before_anybody_is_served():
    folder = tempfile.mkdtemp(prefix="pkd-first")
    path = os.path.join(folder, "admin.key")
    wide = ("--listen", "0.0.0.0:0", "--admin-key-file", path)
    pkd = Pkd(*wide, tcp=False)
    key = open(path).read().strip()
    expect(os.stat(path).st_mode & 0o777 == 0o600 and len(key) == 46, oct(os.stat(path).st_mode))
    expect(key not in pkd.text() and "admin_key_stored" in pkd.text(), pkd.text())
    api = Api(pkd, key)
    expect(Api(pkd).ask("GET", "/configs")[0] == 401)
    expect(api.ok("GET", "/api-keys/admin")["scopes"] == ["call", "admin", "logs"])
    new = api.ok("POST", "/api-keys/admin/rotate")["key"]
    pkd.process.send_signal(signal.SIGTERM)
    pkd.process.wait(30)
    again = Pkd(*wide, folder=pkd.folder, tcp=False)
    expect(Api(again, new).ask("GET", "/configs")[0] == 200)
    expect(api.ask and Api(again, key).ask("GET", "/configs")[0] == 401, "the file's is not taken again")
    again.stop()
    pkd.stop()

    given = "pk-" + "Ab3-_" * 9
    with open(path, "w") as f:
        f.write(given + "\n")
    pkd = Pkd(env={"PK_ADMIN_KEY_FILE": path})
    expect(Api(pkd, given).ask("GET", "/configs")[0] == 200, "one that was made elsewhere")
    pkd.stop()
    for text in ("", "pk-short", "sk-" + "x" * 50):
        with open(path, "w") as f:
            f.write(text)
        done = subprocess.run([h.program("pkd"), "serve", "--store", folder + "/s.pkdb", *wide],
                              capture_output=True, text=True, timeout=120)
        expect(done.returncode == 1 and "admin-key-file: no key is in" in done.stderr, done.stderr)
        expect(len(text) < 9 or text not in done.stderr)
    shutil.rmtree(folder)


CASES = [a_config_is_made_changed_and_deleted, what_others_name_is_not_deleted_from_under_them, what_is_no_config_is_refused,
         a_virtual_key_is_made_changed_and_deleted, a_virtual_keys_provider_has_fields_in_every_spelling,
         use_and_status_of_a_virtual_key_are_told, no_secret_leaves, an_api_key_is_made_changed_rotated_and_deleted,
         the_first_api_key_administers, the_last_key_that_administers_stays, what_is_no_api_key_is_refused, a_guardrail_is_made_changed_and_deleted,
         integrations_and_providers_are_virtual_keys, labels_and_collections_are_names, a_prompts_parameters_are_said_in_every_way, a_limit_is_made_changed_and_deleted,
         policies_are_limits_in_portkeys_words, use_of_a_policy_is_told_and_forgotten_by_value, budgets_begin_anew_after_some_days,
         there_is_one_workspace,
         what_is_elsewhere_says_where,
         every_endpoint_asks_for_a_key_of_its_scope]

if __name__ == "__main__":
    h.run(*CASES, a_new_store_gets_an_admin_key_before_anybody_is_served)
    mock.stop()
    h.end()
