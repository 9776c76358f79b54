// The Node SDKs' own doings over HTTP, and the control APIs; tests/e2e/sdk.py starts pkd. PKD is its address.
import assert from 'node:assert/strict';
import { Anthropic, KEY, OpenAI, PKD, anthropic, check, messages, openai, portkey, rowOf, soon } from './sdk_clients.mjs';

const user = (content) => [{ role: 'user', content }];
const pixel = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a, ...Array(60).fill(0)]).toString('base64');
const odd = 'a\u2028b\u2029c\u0085d\u000be\u001cf\u{1f600}g"h\\i\r\nj</s>';
const tools = [{ type: 'function', function: { name: 'weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } } }];

await check('streams_hold_what_ends_lines', async () => {
  for (const virtualKey of ['oai', 'ant', 'goo', 'coh']) {
    let text = '';
    for await (const chunk of await openai({ virtualKey }).chat.completions.create(
      { model: 'echo', messages: user(odd), stream: true })) text += chunk.choices[0]?.delta.content ?? '';
    assert.equal(text, odd, virtualKey);
    assert.equal(await anthropic('', virtualKey).messages.stream(
      { model: 'echo', max_tokens: 99, messages: user(odd) }).finalText(), odd, virtualKey);
  }
});

await check('answers_are_parsed_and_tools_called', async () => {
  for (const virtualKey of ['oai', 'ant', 'goo']) {
    const chat = openai({ virtualKey }).chat.completions;
    const parsed = await chat.parse({ model: 'echo', messages: user('{"city":"Oslo"}'), response_format: {
      type: 'json_schema', json_schema: { name: 'w', strict: true, schema: { type: 'object', additionalProperties: false,
        required: ['city'], properties: { city: { type: 'string' } } } } } });
    assert.equal(JSON.parse(parsed.choices[0].message.content).city, 'Oslo', virtualKey);
    const stream = chat.stream({ model: 'tool-call', messages, tools });
    const called = (await stream.finalChatCompletion()).choices[0];
    assert.deepEqual([called.finish_reason, called.message.tool_calls[0].function.name], ['tool_calls', 'weather'], virtualKey);
  }
});

await check('pictures_and_responses', async () => {
  const seen = await openai({ virtualKey: 'ant' }).chat.completions.create({ model: 'echo', messages: user([
    { type: 'text', text: 'what is it?' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,' + pixel } }]) });
  assert.match(seen.choices[0].message.content, /what is it\?/);
  for (const virtualKey of ['oai', 'ant']) {
    const { responses } = openai({ virtualKey });
    assert.equal((await responses.create({ model: 'echo', input: 'hello there' })).output_text, 'hello there');
    let last;
    for await (const event of await responses.create({ model: 'echo', input: 'hello there', stream: true })) last = event;
    assert.equal(last.type, 'response.completed');
  }
  const counted = await anthropic().messages.countTokens({ model: 'echo', messages });
  assert.ok(counted.input_tokens > 0);
});

await check('media_files_and_batches', async () => {
  const client = openai({ virtualKey: 'oai' });
  assert.equal((await client.images.generate({ model: 'gpt-image-1', prompt: 'a cat' })).data[0].b64_json, 'a cat');
  assert.equal(await (await client.audio.speech.create({ model: 'tts-1', voice: 'alloy', input: 'one two' })).text(), 'one two');
  const sound = new File([Buffer.alloc(1000)], 'a.wav');
  assert.match((await client.audio.transcriptions.create({ model: 'gpt-4o-transcribe', file: sound })).text, /^1000 bytes/);
  const file = await client.files.create({ file: new File(['{"custom_id":"1"}\n'], 'r.jsonl'), purpose: 'batch' });
  const batch = await client.batches.create({ input_file_id: file.id, endpoint: '/v1/chat/completions', completion_window: '24h' });
  assert.equal((await client.batches.retrieve(batch.id)).status, 'completed');
  assert.equal((await client.moderations.create({ input: 'I will kill it' })).results[0].flagged, true);
  const ids = [];
  for await (const model of client.models.list()) ids.push(model.id);
  assert.ok(ids.includes('gpt-4o-mini'));
  assert.equal((await client.completions.create({ model: 'gpt-3.5-turbo-instruct', prompt: 'hi' })).choices[0].text, 'hi');
});

await check('statuses_are_classes', async () => {
  for (const [status, name] of [[400, 'BadRequestError'], [401, 'AuthenticationError'], [403, 'PermissionDeniedError'],
    [404, 'NotFoundError'], [422, 'UnprocessableEntityError'], [429, 'RateLimitError'], [500, 'InternalServerError']]) {
    const is = (of) => (e) => e instanceof of[name] && e.status === status && Boolean(e.headers.get('x-portkey-trace-id'));
    await assert.rejects(openai({ virtualKey: 'oai' }).chat.completions.create({ model: `status-${status}`, messages }), is(OpenAI));
    await assert.rejects(anthropic().messages.create({ model: `status-${status}`, max_tokens: 5, messages }), is(Anthropic));
  }
  const config = { virtualKey: 'oai', guardrails: { input: [{ type: 'contains', deny: ['hello'], action: 'block' }] } };
  await assert.rejects(openai({ config }).chat.completions.create({ model: 'echo', messages }), { status: 446 });
  await assert.rejects(new OpenAI({ apiKey: 'pk-wrong', baseURL: PKD + '/v1' }).models.list(), OpenAI.AuthenticationError);
});

await check('sdks_retry_and_obey_retry_after', async () => {
  const client = new OpenAI({ apiKey: KEY, baseURL: PKD + '/v1', maxRetries: 2, defaultHeaders: { 'x-portkey-virtual-key': 'oai' } });
  const started = Date.now();
  const answer = await client.chat.completions.create({ model: 'seq-429-200:retry-after-ms=300:words=7', messages });
  assert.ok(answer.choices.length === 1 && Date.now() - started >= 290);
});

await check('clients_that_give_up_or_leave_end_the_call', async () => {
  const client = (traceID) => openai({ virtualKey: 'oai', traceID }).chat.completions;
  await assert.rejects(client('t-node-slow').create({ model: 'echo:d=5000', messages }, { timeout: 300 }), OpenAI.APIConnectionTimeoutError);
  await rowOf('t-node-slow', (row) => row.status === 'client_closed');
  const abort = new AbortController();
  setTimeout(() => abort.abort(), 200);
  await assert.rejects(client('t-node-abort').create({ model: 'echo:d=5000', messages }, { signal: abort.signal }), OpenAI.APIUserAbortError);
  await rowOf('t-node-abort', (row) => row.status === 'client_closed');
  for await (const chunk of await client('t-node-left').create({ model: 'echo:words=500:tick=20', messages, stream: true }))
    if (chunk.choices[0]?.delta.content) break;
  await rowOf('t-node-left', (row) => row.status === 'client_closed');
});

await check('raw_responses_have_headers', async () => {
  const { data, response } = await openai({ virtualKey: 'oai', traceID: 't-node-raw' }).chat.completions
    .create({ model: 'gpt-4o-mini', messages }).withResponse();
  assert.equal(data.choices[0].message.content, 'hello there');
  assert.equal(response.headers.get('x-portkey-trace-id'), 't-node-raw');
  assert.ok(Number(response.headers.get('x-pk-cost-usd')) > 0);
});

await check('configs_and_keys_are_administered', async () => {
  const client = portkey({});
  const made = await client.configs.create({ name: 'From Node', config: { virtual_key: 'oai', override_params: { model: 'gpt-4o' } } });
  const { slug } = made.data;
  assert.equal((await openai({ config: slug }).chat.completions.create({ model: 'm', messages })).model, 'gpt-4o');
  assert.equal((await client.configs.retrieve({ slug })).data.name, 'From Node');
  assert.ok((await client.configs.list()).data.some((c) => c.slug === slug));
  await client.configs.update({ slug, config: { virtual_key: 'oai', override_params: { model: 'gpt-4o-mini' } } });
  await soon(async () => (await openai({ config: slug }).chat.completions.create({ model: 'm', messages })).model === 'gpt-4o-mini');
  const key = await client.virtualKeys.create({ name: 'From Node', provider: 'openai', key: 'sk-secret', custom_host: process.env.MOCK });
  assert.ok((await openai({ virtualKey: key.data.slug }).chat.completions.create({ model: 'echo', messages })).choices.length);
  await client.virtualKeys.delete({ slug: key.data.slug });
  await soon(() => openai({ virtualKey: key.data.slug }).chat.completions.create({ model: 'echo', messages }).then(() => false, () => true));
});
