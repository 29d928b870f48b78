// The server's routes, its errors as sentences, and its key where it wants one.

import { $ } from "./ui.js";

const KEY = "bark-key";

export class Fault extends Error {
  constructor(message, status = 0, param = null) {
    super(message);
    Object.assign(this, { status, param });
  }
}

/** Call a route, relative to the page; what is not 2xx is a `Fault` with the server's sentence. */
export async function call(path, { method, json, form, signal } = {}) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (json) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method: method ?? (json || form ? "POST" : "GET"),
      headers,
      body: json ? JSON.stringify(json) : form,
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Fault("The server does not answer. Is bark serve still running?");
  }
  if (answer.status === 401 && (await askKey())) return call(path, { method, json, form, signal });
  if (!answer.ok) throw await faultOf(answer);
  return answer;
}

async function faultOf(answer) {
  const body = await answer.json().catch(() => ({}));
  const error = body.error ?? {};
  const message = error.message ?? `The server answered ${answer.status}.`;
  return new Fault(message, answer.status, error.param ?? null);
}

let asked = null; // one dialog, however many calls wait for the key

function askKey() {
  asked ??= new Promise((answer) => {
    const dialog = $("key-dialog");
    dialog.returnValue = "no";
    dialog.addEventListener("close", () => {
      asked = null;
      const given = dialog.returnValue === "yes" && $("key").value;
      if (given) sessionStorage.setItem(KEY, given);
      $("key").value = "";
      answer(Boolean(given));
    }, { once: true });
    dialog.showModal();
  });
  return asked;
}

/** The objects of a stream of server-sent events. */
export async function* events(path, signal) {
  const reader = (await call(path, { signal })).body
    .pipeThrough(new TextDecoderStream())
    .getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const blocks = text.split(/\r?\n\r?\n/);
    text = blocks.pop();
    for (const block of blocks) {
      const lines = block.split(/\r?\n/).filter((line) => line.startsWith("data:"));
      if (lines.length) yield JSON.parse(lines.map((line) => line.slice(5)).join("\n"));
    }
  }
}
