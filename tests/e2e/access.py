"""Providers that want more than a key: signatures, tokens that are fetched first, addresses of fields."""
import concurrent.futures
import json
import os
import subprocess
import tempfile
import time

from doors import Answer

WRONG = "wrong-secret-that-must-not-appear-in-any-log"
NEVER_SEEN = ["mock-secret-access-key", "mock-entra-secret", "mock-temporary-secret", WRONG,
              "mock-session-token", "mock-token-", "mock-refresh", "mock-federated"]
AWS = {"provider": "bedrock", "aws_access_key_id": "AKIDMOCK",
       "aws_secret_access_key": "mock-secret-access-key"}
ENTRA = {"provider": "azure-openai", "azure_auth_mode": "entra", "azure_entra_tenant_id": "tenant",
         "azure_entra_client_id": "client", "azure_entra_client_secret": "mock-entra-secret",
         "api_version": "2024-10-21"}


def environment(mock):
    """Where the issuers of tokens are, for who has to ask them."""
    token = os.path.join(tempfile.gettempdir(), f"pk-e2e-federated-{os.getpid()}")
    with open(token, "w", encoding="utf-8") as f:
        f.write("mock-federated\n")
    return {"AZURE_FEDERATED_TOKEN_FILE": token, "AZURE_TENANT_ID": "tenant",
            "AZURE_CLIENT_ID": "client",
            "AWS_ENDPOINT_URL_STS": mock.base, "AZURE_AUTHORITY_HOST": mock.base,
            "IDENTITY_ENDPOINT": mock.base + "/msi/token", "IDENTITY_HEADER": "mock-identity"}


def asked(mock, path):
    """How many requests the mock has had whose path has this in it."""
    return sum(n for p, n in mock.page("stats")["by_path"].items() if path in p)


def signed(door, e, mock):
    """bedrock: requests are signed, whatever is in the model's id"""
    model = "us.anthropic.claude-test-v1:0"
    ok = door.chat({**AWS, "custom_host": e.base}, "hello world", {"model": model})
    last = mock.page("last")
    wrong = door.chat({**AWS, "custom_host": e.base, "aws_secret_access_key": WRONG}, "hello",
                      {"model": model})
    return (ok.text == "hello world" and "%3A0/converse" in last["path"]
            and "/us-east-1/bedrock/aws4_request" in last["headers"]["authorization"]
            and wrong.status == 403 and "signature we calculated" in wrong.message)


def signed_region(door, e, mock):
    """bedrock: a key in the store is signed with, in the region that the config says"""
    secret = {"aws_access_key_id": "AKIDMOCK", "aws_secret_access_key": "mock-secret-access-key"}
    put = door.function("pk_key_put", "aws-key", "bedrock", secret, {"custom_host": e.base})
    ok = door.chat({"virtual_key": "aws-key", "aws_region": "eu-central-1"}, "hi", {"model": "echo"})
    return (not isinstance(put, Answer) and ok.text == "hi"
            and "/eu-central-1/bedrock/" in mock.page("last")["headers"]["authorization"])


def bearer(door, e, mock):
    """bedrock: a key of one piece is sent as it is"""
    ok = door.chat({"provider": "bedrock", "api_key": e.key, "custom_host": e.base}, "hi",
                   {"model": "echo"})
    return ok.text == "hi" and mock.page("last")["headers"]["authorization"] == "Bearer " + e.key


def assumed(door, e, mock):
    """bedrock: a role is assumed once, and signed for until its session is refused"""
    config = {**AWS, "custom_host": e.base, "aws_role_arn": "arn:aws:iam::1:role/pk",
              "aws_external_id": e.key}
    first = door.chat(config, "one", {"model": "echo"})
    used = mock.page("last")["headers"].get("x-amz-security-token", "")
    second = door.chat(config, "two", {"model": "echo"})
    again = mock.page("last")["headers"].get("x-amz-security-token", "")
    mock.page("reset", "POST")  # sessions so far hold no more
    third, fourth = [door.chat(config, "three", {"model": "echo"}) for _ in range(2)]
    return (first.text == "one" and second.text == "two" and used and used == again
            and third.status == 403 and fourth.text == "three")


def entra(door, e, mock):
    """azure: a client's credentials are traded for a token, once for many calls"""
    config = {**ENTRA, "custom_host": e.base + "/openai", "azure_entra_client_id": e.key}
    before = asked(mock, "/oauth2/v2.0/token")
    answers = [door.chat(config, "hi", {"model": "echo"}) for _ in range(3)]
    last = mock.page("last")
    return (all(a.text == "hi" for a in answers)
            and last["path"] == "/openai/deployments/echo/chat/completions?api-version=2024-10-21"
            and last["headers"]["authorization"].startswith("Bearer mock-token-")
            and asked(mock, "/oauth2/v2.0/token") == before + 1)


def account(mock, e, more=""):
    """A service account whose tokens come from the mock; its public key is told to that."""
    key = subprocess.run(["openssl", "genpkey", "-algorithm", "RSA", "-pkeyopt",
                          "rsa_keygen_bits:2048"], capture_output=True, check=True).stdout
    public = subprocess.run(["openssl", "pkey", "-pubout"], input=key, capture_output=True,
                            check=True).stdout
    mock.page("service-key", "POST", public)
    NEVER_SEEN.append(key.decode().splitlines()[5])
    return {"type": "service_account", "project_id": "proj", "private_key_id": "k1",
            "private_key": key.decode(), "client_email": "pk@proj.iam.gserviceaccount.com",
            "token_uri": f"{e.base}{more}/oauth/token"}


def vertex(door, e, mock):
    """vertex-ai: a service account's token, and each maker's models in their own dialect and place"""
    config = {"provider": "vertex-ai", "vertex_region": "us-central1", "custom_host": e.base,
              "vertex_service_account_json": account(mock, e)}
    place, before = "/v1/projects/proj/locations/us-central1", asked(mock, "/oauth/token")
    ok = []
    for model, path, name in (
            ("echo", "/publishers/google/models/echo:generateContent", None),
            ("google.echo", "/publishers/google/models/echo:generateContent", None),
            ("anthropic.echo", "/publishers/anthropic/models/echo:rawPredict", None),
            ("meta.echo", "/endpoints/openapi/chat/completions", "meta/echo"),
            ("endpoints.echo", "/endpoints/echo/chat/completions", "echo")):
        answer = door.chat(config, "hi", {"model": model})
        last = mock.page("last")
        ok.append(answer.ok and last["path"] == place + path
                  and json.loads(last["body"]).get("model") == name
                  and last["headers"]["authorization"].startswith("Bearer mock-token-"))
        ok.append(answer.text == "hi" or model.startswith("meta"))
    return (all(ok) and asked(mock, "/oauth/token") == before + 1) or print("#", ok)


def vertex_stored(door, e, mock):
    """vertex-ai: a service account in the store says its project; a token that ends is fetched anew"""
    put = door.function("pk_key_put", "google-sa", "vertex-ai", account(mock, e, "/short"),
                        {"vertex_region": "europe-west4", "custom_host": e.base})
    before = asked(mock, "/short/oauth/token")
    first = door.chat("google-sa", "hi", {"model": "echo"})
    path = mock.page("last")["path"]
    time.sleep(1.1)
    second = door.chat("google-sa", "hi", {"model": "echo"})
    return (not isinstance(put, Answer) and first.text == second.text == "hi"
            and path.startswith("/v1/projects/proj/locations/europe-west4/")
            and asked(mock, "/short/oauth/token") == before + 2)


def vertex_refused(door, e, mock):
    """vertex-ai: an account that Google does not know, and a place that is not said, are told"""
    sa = account(mock, e)
    account(mock, e)  # the mock believes another key now
    config = {"provider": "vertex-ai", "vertex_region": "us-central1", "custom_host": e.base,
              "vertex_service_account_json": sa}
    answer = door.chat(config, "hi", {"model": "echo"})
    nowhere = door.chat({"provider": "vertex-ai", "api_key": e.key, "vertex_project_id": "p"}, "hi",
                        {"model": "echo"})
    return (answer.status == 401 and "vertex-ai: no token" in answer.message
            and "invalid_grant" in answer.message and not nowhere.ok
            and "vertex_region" in nowhere.message)


def impatient(door, e, mock):
    """tokens: waiting for one is part of the attempt: its timeout passes, and the fallback is asked"""
    slow = {"provider": "vertex-ai", "vertex_region": "us-central1", "custom_host": e.base,
            "vertex_service_account_json": account(mock, e, "/d/20000"), "request_timeout": "300ms"}
    alone = door.chat(slow, "hi", {"model": "echo"})
    both = door.chat(e.fallback(slow, e.to("echo")), "hi", {"model": "echo"})
    return alone.status == 408 and both.text == "hi"


def foundry(door, e, mock):
    """azure-ai: a Foundry URL takes its version and key; Claude there is asked in Anthropic's dialect"""
    plain = door.chat({"provider": "azure-ai", "api_key": e.key, "api_version": "2024-05-01-preview",
                       "azure_foundry_url": e.base + "/models"}, "hi", {"model": "echo"})
    first = mock.page("last")
    claude = door.chat({"provider": "azure-ai", "api_key": e.key,
                        "azure_foundry_url": e.base + "/anthropic"}, "hi", {"model": "echo"})
    second = mock.page("last")
    return (plain.text == claude.text == "hi"
            and first["path"] == "/models/chat/completions?api-version=2024-05-01-preview"
            and first["headers"]["extra-parameters"] == "drop"
            and first["headers"]["api-key"] == e.key
            and second["path"] == "/anthropic/v1/messages"
            and second["headers"]["x-api-key"] == e.key)


def refused(door, e, mock):
    """azure: a token that is refused is an error of its target, without the secret; others go on"""
    config = {**ENTRA, "custom_host": e.base + "/openai", "azure_entra_client_secret": WRONG}
    alone = door.chat(config, "hi", {"model": "echo"})
    both = door.chat(e.fallback(config, e.to("echo")), "hi")
    return (alone.status == 401 and "azure-openai: no token" in alone.message
            and "AADSTS7000215" in alone.message and WRONG not in alone.message
            and both.text == "hi")


def renewed(door, e, mock):
    """azure: a token that the provider does not take any more is fetched anew by the next try"""
    config = {**ENTRA, "custom_host": e.base + "/openai", "azure_entra_client_id": e.key + "x"}
    first = door.chat(config, "hi", {"model": "echo"})
    mock.page("reset", "POST")
    again = door.chat({**config, "retry": {"attempts": 1, "on_status_codes": [401]}}, "hi",
                      {"model": "echo"})
    return first.text == "hi" and again.text == "hi"


def managed(door, e, mock):
    """azure: the machine's identity goes to no host but the provider's own"""
    config = {"provider": "azure-openai", "azure_auth_mode": "managed", "api_version": "2024-10-21",
              "custom_host": e.base + "/openai"}
    before = asked(mock, "/msi/token")
    answer = door.chat(config, "hi", {"model": "echo"})
    return (answer.status == 403 and "identity" in answer.message
            and asked(mock, "/msi/token") == before)


def identities(door, e, mock):
    """azure: a machine's and a workload's identity get tokens, for hosts that are listed"""
    config = {"provider": "azure-openai", "api_version": "2024-10-21",
              "custom_host": e.base + "/openai"}
    door.allow_hosts("127.0.0.1")
    answers = [door.chat({**config, "azure_auth_mode": mode}, mode, {"model": "echo"})
               for mode in ("managed", "workload")]
    door.allow_hosts("")
    return [a.text for a in answers] == ["managed", "workload"]


def azure_key(door, e, mock):
    """azure: a resource's key goes in its own header, to the deployment and version of the fields"""
    config = {"provider": "azure-openai", "api_key": e.key, "deploymentId": "my dep",
              "apiVersion": "2024-10-21", "custom_host": e.base + "/openai"}
    ok = door.chat(config, "hi", {"model": "echo"})
    last = mock.page("last")
    return (ok.text == "hi" and last["headers"]["api-key"] == e.key
            and "authorization" not in last["headers"]
            and last["path"] == "/openai/deployments/my%20dep/chat/completions?api-version=2024-10-21")


def misplaced(door, e, mock):
    """fields: one of another provider is an error that says whose it is"""
    answer = door.chat({**e.to("echo"), "aws_region": "eu-west-1"}, "hi")
    put = door.function("pk_key_put", "bad-fields", "bedrock", "k",
                        {"aws_secret_access_key": "mock-secret-access-key"})
    return (not answer.ok and "aws_region" in answer.message and "bedrock" in answer.message
            and isinstance(put, Answer) and "is a secret" in put.message)


def cached(door, e, mock):
    """fields: what changes the answer is in the cache's key"""
    base = {"provider": "azure-openai", "api_key": e.key, "api_version": "2024-10-21",
            "custom_host": e.base + "/openai", "cache": {"mode": "simple"}}
    first = door.chat({**base, "deployment_id": "a"}, "fields in the key", {"model": "echo"})
    other = door.chat({**base, "deployment_id": "b"}, "fields in the key", {"model": "echo"})
    same = door.chat({**base, "deployment_id": "a"}, "fields in the key", {"model": "echo"})
    return (first.cached, other.cached, same.cached) == ("MISS", "MISS", "HIT")


def by_headers(door, e, mock):
    """fields: pkd takes them from headers, Portkey's and ours"""
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    azure = door.request("/v1/chat/completions", body, {
        "x-portkey-provider": "azure-openai", "authorization": "Bearer " + e.key,
        "x-portkey-azure-deployment-id": "dep", "x-portkey-azure-api-version": "2024-10-21",
        "x-portkey-custom-host": e.base + "/openai"})
    azure_last = mock.page("last")
    aws = door.request("/v1/chat/completions", body, {
        "x-pk-provider": "bedrock", "x-pk-aws-access-key-id": "AKIDMOCK",
        "x-pk-aws-secret-access-key": "mock-secret-access-key", "x-pk-aws-region": "eu-west-1",
        "x-pk-custom-host": e.base})
    aws_last = mock.page("last")
    bad = door.request("/v1/chat/completions", body, {
        "x-portkey-provider": "openai", "authorization": "Bearer " + e.key,
        "x-portkey-aws-region": "eu-west-1"})
    return (azure[0] == 200 and "/deployments/dep/" in azure_last["path"]
            and azure_last["headers"]["api-key"] == e.key
            and aws[0] == 200 and "/eu-west-1/bedrock/" in aws_last["headers"]["authorization"]
            and bad[0] == 400 and b"aws_region" in bad[2])


def streams(door, e, mock):
    """vertex-ai, bedrock: streams, for clients of OpenAI and of Anthropic"""
    google = {"provider": "vertex-ai", "vertex_region": "us-central1", "custom_host": e.base,
              "vertex_service_account_json": account(mock, e)}
    hello, ok = [{"role": "user", "content": "hello big world"}], []
    for config, model, path in ((google, "anthropic.echo", ":streamRawPredict"),
                                (google, "echo", ":streamGenerateContent?alt=sse"),
                                ({**AWS, "custom_host": e.base}, "echo", "/converse-stream")):
        for route in ("/v1/chat/completions", "/v1/messages"):
            status, _, text = door.request(route, {
                "model": model, "messages": hello, "stream": True, "max_tokens": 50},
                {"x-portkey-config": json.dumps(config)})
            end = b"[DONE]" if "chat" in route else b"message_stop"
            ok.append(status == 200 and b"world" in text and end in text
                      and path in mock.page("last")["path"])
    return all(ok) or print("#", ok)


def together(door, e, mock):
    """tokens: calls at once wait for one; who gives up leaves the others theirs"""
    body = {"model": "echo", "messages": [{"role": "user", "content": "hi"}]}
    config = json.dumps({**ENTRA, "custom_host": e.base + "/openai",
                         "azure_entra_client_id": e.key + "-together"})
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: door.request(
            "/v1/chat/completions", body, {"x-portkey-config": config})[0], range(8)))
    return answers == [200] * 8


def unseen(door, e, mock):
    """tokens: neither a secret nor what was given for it is in any log, relation or answer"""
    everything = door.everything()
    return all(word.encode() not in everything or print("#", word, "is there")
               for word in NEVER_SEEN)


ANY = [signed, signed_region, bearer, assumed, entra, refused, renewed, managed, azure_key, foundry,
       misplaced, cached, vertex, vertex_stored, vertex_refused, impatient]
SQL = [identities]
HTTP = [by_headers, together, streams]
LAST = [unseen]
