// What the cases of the Node SDKs share: clients of a running pkd, whose address is PKD.
import { createRequire } from 'node:module';

const require = createRequire(process.env.PK_SDK + '/node/x.js');
export const { OpenAI } = require('openai');
export const { Anthropic } = require('@anthropic-ai/sdk');
export const { Portkey, createHeaders } = require('portkey-ai');
export const { PKD, KEY } = process.env;
export const messages = [{ role: 'user', content: 'hello there' }];

export async function check(name, body) {
  try {
    await body();
    console.log(`ok ${name} (node)`);
  } catch (e) {
    console.log(String(e.stack).replace(/^/gm, '# '));
    console.log(`not ok ${name} (node)`);
    process.exitCode = 1;
  }
}

export const openai = (headers) =>
  new OpenAI({ apiKey: KEY, baseURL: PKD + '/v1', maxRetries: 0, defaultHeaders: createHeaders(headers) });
export const anthropic = (path = '', key = 'ant') =>
  new Anthropic({ apiKey: KEY, baseURL: PKD + path, maxRetries: 0,
    defaultHeaders: { 'x-portkey-virtual-key': key } });
export const portkey = (options) => new Portkey({ apiKey: KEY, baseURL: PKD + '/v1', ...options });

// Changes reach every thread and process within a second.
export async function soon(holds) {
  for (let i = 0; i < 40; i++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error('not within two seconds');
}

// The log row of a trace, once it is there and good; pkd's own API tells.
export async function rowOf(trace, good) {
  let row;
  for (let i = 0; i < 100; i++) {
    const got = await fetch(`${PKD}/v1/logs?trace_id=${trace}`, { headers: { 'x-portkey-api-key': KEY } });
    [row] = (await got.json()).data;
    if (row && good(row)) return row;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`no such row of ${trace}: ${JSON.stringify(row)}`);
}
