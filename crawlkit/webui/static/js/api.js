// The JSON API from the browser.
import { meta } from "./dom.js";

export const base = meta("base");
export const url = (path) => base + path;

/** A refusal of the server: `status`, `title`, `detail` and what else it says. */
export class Problem extends Error {
  constructor(body) {
    super(body.detail || body.title);
    Object.assign(this, body);
  }
}

/** A query string out of an object; empty values are left out. */
export function query(values = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(values)) {
    if (Array.isArray(value)) value.forEach((one) => search.append(name, one));
    else if (value !== undefined && value !== null && value !== "") search.set(name, value);
  }
  const text = search.toString();
  return text ? `?${text}` : "";
}

/** Who has signed in anew, in another tab, goes on here: the page takes over the token of that session. */
async function takeToken() {
  const response = await fetch(`${base}/api/v1/account/csrf`, { headers: { Accept: "application/json" } });
  if (response.ok) document.querySelector('meta[name="csrf"]').content = (await response.json()).token;
  return response.ok;
}

async function call(method, path, { body, params, signal } = {}, again = true) {
  const headers = { Accept: "application/json", "X-CSRF-Token": meta("csrf") };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(`${base}/api/v1${path}${query(params)}`, {
      method, headers, signal, body: body === undefined ? undefined : JSON.stringify(body), credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem({ status: 0, title: "offline", detail: "The web UI does not answer: is crawlkit still running?" });
  }
  if (response.status === 204) return null;
  const text = await response.text();
  let answer;
  try { answer = JSON.parse(text); } catch { answer = { title: response.statusText, detail: text.slice(0, 300) }; }
  if (response.status === 401) document.dispatchEvent(new CustomEvent("signedout"));
  if (response.status === 403 && answer.title === "CSRF token" && again && await takeToken())
    return call(method, path, { body, params, signal }, false);
  if (!response.ok) throw new Problem({ status: response.status, title: "", detail: "", ...answer });
  return answer;
}

export const get = (path, params, signal) => call("GET", path, { params, signal });
export const post = (path, body = {}, options = {}) => call("POST", path, { body, ...options });
export const put = (path, body = {}, options = {}) => call("PUT", path, { body, ...options });
export const patch = (path, body = {}, options = {}) => call("PATCH", path, { body, ...options });
export const del = (path, params) => call("DELETE", path, { params });
