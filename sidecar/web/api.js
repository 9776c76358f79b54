// api.js - asks the gateway that this page came from, with the key that the user typed.

const PLACE = "pk.api-key";

export const key = {
  get: () => sessionStorage.getItem(PLACE) || "",
  set: (value) => (value ? sessionStorage.setItem(PLACE, value) : sessionStorage.removeItem(PLACE)),
};

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(method, path, query, body) {
  const url = new URL(path, location.origin);
  for (const [name, value] of Object.entries(query || {}))
    if (value !== undefined && value !== null && value !== "") url.searchParams.set(name, value);
  const headers = { accept: "application/json" };
  if (key.get()) headers["x-portkey-api-key"] = key.get();
  if (body) headers["content-type"] = "application/json";
  let response;
  try {
    response = await fetch(url, { method, headers, body: body && JSON.stringify(body), cache: "no-store" });
  } catch {
    throw new ApiError(0, "The gateway does not answer.");
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    throw new ApiError(response.status, `The answer to ${path} is not JSON (HTTP ${response.status}).`);
  }
  if (!response.ok) throw new ApiError(response.status, answer?.error?.message || `HTTP ${response.status}`);
  return answer;
}

export const get = (path, query) => ask("GET", path, query);
export const post = (path, body) => ask("POST", path, null, body);
