"""Portkey's Python SDK as an administrator of a pkd; tests/e2e/sdk.py starts it. PKD is its address, KEY its key."""
import json
import os
import sys
import traceback

from portkey_ai import Portkey

PKD, KEY, MOCK = os.environ["PKD"], os.environ["KEY"], os.environ["MOCK"]
HELLO = [{"role": "user", "content": "hello there"}]
admin = Portkey(api_key=KEY, base_url=PKD + "/v1")
failures = 0


def case(body):
    global failures
    name = body.__name__ + " (python)"
    try:
        body()
        print("ok", name, flush=True)
    except Exception as e:
        failures += 1
        for line in traceback.format_exc().splitlines():
            print("#", line)
        print("not ok", name, "-", type(e).__name__, flush=True)


def refused(call, status):
    try:
        call()
    except Exception as e:
        assert getattr(e, "status_code", None) == status, e
        return
    raise AssertionError("was not refused")


@case
def portkey_administers_virtual_keys():
    made = admin.virtual_keys.create(name="From Python", provider="openai", key="sk-py", note="n", custom_host=MOCK,
                                     usage_limits={"credit_limit": 10, "periodic_reset": "monthly"})
    assert made.slug == "from-python", made
    got = admin.virtual_keys.retrieve(slug=made.slug)
    assert got.status == "active" and got.note == "n" and got.usage_limits["credit_limit"] == 10, got
    admin.virtual_keys.update(slug=made.slug, name="Py", rate_limits=[{"type": "requests", "unit": "rpm", "value": 500}])
    listed = admin.virtual_keys.list()
    assert listed.total == 1 and listed.data[0]["name"] == "Py" and listed.data[0]["rate_limits"], listed
    answer = Portkey(api_key=KEY, base_url=PKD + "/v1", virtual_key=made.slug).chat.completions.create(
        model="gpt-4o", messages=HELLO)
    assert answer.choices[0].message.content == "hello there"


@case
def portkey_administers_configs():
    made = admin.configs.create(name="From Python", config={"virtual_key": "from-python"}, is_default=0, workspace_id="w")
    assert made.id == made.slug == "pc-from-python" and made.version_id, made
    assert admin.configs.retrieve(slug=made.slug).config == {"virtual_key": "from-python"}
    again = admin.configs.update(slug=made.slug, name="Py", config={"virtual_key": "from-python", "retry": {"attempts": 1}})
    assert again.version_id == "pc-from-python@2", again
    listed = admin.configs.list()
    assert [c["name"] for c in listed.data] == ["Py"], listed
    answer = Portkey(api_key=KEY, base_url=PKD + "/v1", config=made.slug).chat.completions.create(
        model="gpt-4o", messages=HELLO)
    assert answer.choices[0].message.content == "hello there"
    admin.configs.delete(slug=made.slug)
    refused(lambda: admin.configs.retrieve(slug=made.slug), 404)


@case
def portkey_administers_api_keys():
    made = admin.api_keys.create(type="workspace", sub_type="service", name="app", workspace_id="w", description="d",
                                 scopes=["completions.write"], defaults={"config_id": "from-python", "metadata": {"a": "b"}})
    assert made.id == "app" and made.key.startswith("pk-"), made
    got = admin.api_keys.retrieve(id="app")
    assert got.scopes == ["call"] and got.defaults["metadata"] == {"a": "b"} and made.key not in str(got), got
    app = Portkey(api_key=made.key, base_url=PKD + "/v1")
    assert app.chat.completions.create(model="gpt-4o", messages=HELLO).choices[0].message.content == "hello there"
    refused(lambda: app.configs.list(), 403)
    admin.api_keys.update(id="app", name="The app", rate_limits=[{"type": "requests", "unit": "rpm", "value": 5}])
    listed = admin.api_keys.list(page_size=10, current_page=0)
    assert {k["name"] for k in listed.data} == {"admin", "The app"}, listed
    admin.api_keys.delete(id="app")
    refused(lambda: app.chat.completions.create(model="gpt-4o", messages=HELLO), 401)


@case
def portkey_administers_guardrails():
    actions = {"deny": True, "async": False, "on_success": {}, "on_fail": {}}
    made = admin.guardrails.create(name="No hello", checks=[{"id": "default.contains", "parameters": {
        "words": ["hello"], "operator": "none"}}], actions=actions)
    assert made.slug == "pg-no-hello", made
    got = admin.guardrails.retrieve(guardrail_id=made.slug)
    assert got.checks[0]["id"] == "default.contains" and got.actions["deny"] is True, got
    client = Portkey(api_key=KEY, base_url=PKD + "/v1", config={"virtual_key": "from-python", "input_guardrails": [made.slug]})
    refused(lambda: client.chat.completions.create(model="gpt-4o", messages=HELLO), 446)
    admin.guardrails.update(guardrail_id=made.slug, actions={**actions, "deny": False})
    assert admin.guardrails.list().data[0].slug == made.slug
    admin.guardrails.delete(guardrail_id=made.slug)


@case
def portkey_administers_integrations_and_providers():
    made = admin.integrations.create(name="Py integration", ai_provider_id="openai", key="sk-py", configurations={"custom_host": MOCK})
    assert admin.integrations.retrieve(slug=made.slug).ai_provider_id == "openai"
    admin.integrations.update(slug=made.slug, description="d")
    assert any(i.description == "d" for i in admin.integrations.list().data)
    admin.integrations.models.update(slug=made.slug, models=[{"slug": "gpt-4o*", "enabled": True}], allow_all_models=False)
    assert admin.integrations.models.list(slug=made.slug).models[0].slug == "gpt-4o*"
    one = admin.providers.create(name="Py provider", integration_id=made.slug, slug="py-red")
    assert admin.providers.retrieve(slug=one.slug).integration_id == made.slug
    admin.providers.update(slug=one.slug, note="n")
    assert admin.providers.list().total >= 2
    answer = admin.chat.completions.create(model="@py-red/gpt-4o", messages=HELLO)
    assert answer.choices[0].message.content == "hello there"
    admin.providers.delete(slug=one.slug)
    admin.integrations.delete(slug=made.slug)


@case
def portkey_administers_labels_and_collections():
    label = admin.labels.create(name="production", description="d", color_code="#fff")
    assert admin.labels.retrieve(label.id).description == "d"
    admin.labels.update(label.id, name="live")
    assert admin.labels.list().total == 1
    admin.labels.delete(label.id)
    made = admin.collections.create(workspace_id="w", name="Support")
    assert admin.collections.retrieve(made.id).name == "Support"
    admin.collections.update(made.id, name="Help")
    assert admin.collections.list(workspace_id="w").total == 1
    admin.collections.delete(made.id)


@case
def the_openapi_document_is_valid():
    try:
        from openapi_spec_validator import validate
    except ImportError:
        return  # an older BUILD/sdk
    validate(json.loads(admin._client.get(PKD + "/openapi.json").text))


sys.exit(failures != 0)
