// The room in which a long text is spoken part by part, paused, and mended.

import { call, events } from "./api.js";
import { Player, decode } from "./sound.js";
import { $, clear, fault, made, once, save, say, seconds, showPlaying, sure, tell, work } from "./ui.js";
import { listen, speakersIn } from "./voices.js";

const AGAIN = 1_000; // ms, before a broken stream of events is asked for again
const STATES = { queued: "waiting", running: "speaking", done: "done", failed: "failed" };
const OVER = new Set(["done", "failed"]);

let job = null; // the newest state of what is shown
let watching = new AbortController();
let rows = []; // of the parts
let since = 0; // when its status became what it is
let heard = null; // the row whose sound is loaded

const player = new Player(() => {
  if (heard) showPlaying(heard.play, player.playing, ["Listen to", `part ${heard.index}`]);
});

export function startLong() {
  $("long-text").oninput = countText;
  $("long-file").onchange = readFile;
  const area = $("long-text");
  area.ondragover = (event) => event.preventDefault();
  area.ondrop = (event) => {
    if (!event.dataTransfer.files.length) return;
    event.preventDefault();
    read(event.dataTransfer.files[0]);
  };
  $("long-preview").onclick = () =>
    listen($("long-voice").value, $("long-preview"), $("long-voice-fault"));
  $("long-form").onsubmit = (event) => {
    event.preventDefault();
    once($("long-go"), start);
  };
  $("job-close").onclick = close;
  $("job-pause").onclick = () => once($("job-pause"), () => tell($("job-fault"), pauseOrGoOn));
  $("job-delete").onclick = () => once($("job-delete"), () => tell($("job-fault"), remove));
  for (const button of $("job").querySelectorAll("[data-format]")) {
    button.onclick = () => once(button, () => download(button.dataset.format));
  }
  setInterval(() => job && !$("job").hidden && showFacts(), 250);
  listJobs();
}

// ---- the text ----

function countText() {
  const words = $("long-text").value.trim().split(/\s+/).filter(Boolean).length;
  $("long-count").textContent = words ? `${words.toLocaleString()} words. ` : "";
}

function readFile() {
  const [file] = $("long-file").files;
  $("long-file").value = "";
  if (file) read(file);
}

async function read(file) {
  clear($("long-text-fault"));
  try {
    const bytes = await file.arrayBuffer();
    $("long-text").value = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    countText();
  } catch {
    fault($("long-text-fault"), new Error(`${file.name} is not a text file in UTF-8.`));
  }
}

async function start() {
  clear($("long-text-fault"), $("long-voice-fault"), $("long-loudness-fault"), $("long-fault"));
  const input = $("long-text").value.trim();
  if (!input) {
    fault($("long-text-fault"), new Error("Paste a text, or open a file."));
    return $("long-text").focus();
  }
  const ended = work($("long-work"), "Dividing the text");
  try {
    const [voice, model] = [$("long-voice").value || undefined, $("long-model").value];
    const json = { input, voice, model, voices: speakersIn(input) };
    if ($("long-loudness").value) json.loudness = Number($("long-loudness").value);
    open(await (await call("v1/audio/speech/long", { json })).json());
  } catch (error) {
    const places = {
      input: $("long-text-fault"), voice: $("long-voice-fault"), loudness: $("long-loudness-fault"),
    };
    fault(places[error.param] ?? $("long-fault"), error);
  } finally {
    ended();
  }
}

// ---- the job that is shown ----

function open(state) {
  player.clear();
  heard = null;
  rows = [];
  $("parts").replaceChildren();
  clear($("job-fault"));
  $("long-form").hidden = true;
  $("jobs").hidden = true;
  $("job").hidden = false;
  show(state);
  $("job-title").focus();
  watch(state.id);
}

function close() {
  watching.abort();
  player.clear();
  job = null;
  $("job").hidden = true;
  $("long-form").hidden = false;
  listJobs();
}

/** Follow the server's events as long as the job is shown; a broken stream is asked for again. */
async function watch(id) {
  watching.abort();
  const mine = (watching = new AbortController());
  while (!mine.signal.aborted) {
    try {
      for await (const state of events(path(id, "/events"), mine.signal)) {
        clear($("job-fault"));
        show(state);
      }
      if (OVER.has(job?.status)) return;
    } catch (error) {
      if (mine.signal.aborted) return;
      fault($("job-fault"), error);
      if (error.status === 404) return; // deleted elsewhere
    }
    await new Promise((go) => setTimeout(go, AGAIN));
  }
}

const rests = ({ status }) => status === "paused" || status === "failed";
const path = (id, rest = "") => `v1/audio/speech/long/${encodeURIComponent(id)}${rest}`;

function show(state) {
  const before = job?.status;
  job = state;
  $("job-title").textContent = state.title;
  state.parts.forEach((part, n) => (rows[n] ??= addRow(part)).show(part));
  const share = state.parts.reduce((sum, part) => sum + part.progress, 0) / state.parts.length;
  $("job-bar").style.setProperty("--done", `${100 * share}%`);
  $("job-bar").setAttribute("aria-valuenow", Math.round(100 * share));
  for (const button of $("job").querySelectorAll("[data-format]")) button.hidden = state.status !== "done";
  $("job-pause").hidden = state.status === "done";
  $("job-pause").textContent = rests(state) ? "Go on" : "Pause";
  if (before !== state.status) {
    since = performance.now();
    say(STATUS[state.status]);
  }
  if (state.error) fault($("job-fault"), new Error(state.error));
  showFacts();
}

const STATUS = { queued: "Waiting its turn", running: "Speaking", paused: "Paused", done: "Spoken", failed: "Failed" };

function showFacts() {
  const { status, left_seconds: left } = job;
  const lasts = (performance.now() - since) / 1000;
  const moves = status === "running" || status === "queued";
  $("job-facts").textContent = [
    STATUS[status] + (moves ? ` for ${seconds(lasts, 0)}` : ""),
    `${job.parts_done} of ${job.parts_total} parts`,
    `${seconds(job.seconds_done)} of sound`,
    status === "running" && left ? `about ${seconds(Math.ceil(left), 0)} left` : "",
  ].filter(Boolean).join(" · ");
  rows.forEach((row) => row.tick());
}

function addRow({ index, text }) {
  const [item, part] = made("part-row");
  const [play, facts, bar, wrong] = [part(".play"), part(".hint"), part(".bar"), part(".fault")];
  part(".line-text").textContent = text;
  const row = { index, play, now: null, begun: 0 };
  row.tick = () => {
    const { state, seconds: length, take, speaker } = row.now;
    const clock = state === "running" ? seconds((performance.now() - row.begun) / 1000) : "";
    const size = state === "done" ? seconds(length) : "";
    const count = take ? `take ${take + 1}` : "";
    facts.textContent = [speaker, STATES[state], clock, size, count].filter(Boolean).join(" · ");
  };
  row.show = (now) => {
    if (now.state === "running" && row.now?.state !== "running") row.begun = performance.now();
    if (row.now && row.now.take !== now.take && heard === row) player.clear();
    row.now = now;
    item.dataset.state = now.state;
    play.classList.toggle("unready", now.state !== "done");
    part("[data-do=redo]").hidden = now.state !== "done";
    bar.hidden = now.state !== "running";
    bar.style.setProperty("--done", `${100 * now.progress}%`);
    row.tick();
  };
  play.setAttribute("aria-label", `Listen to part ${index}`);
  play.onclick = () => tell(wrong, () => hear(row));
  const redo = part("[data-do=redo]");
  redo.setAttribute("aria-label", `Redo part ${index}`);
  redo.onclick = () => once(redo, () => tell(wrong, () => redoPart(row)));
  $("parts").append(item);
  return row;
}

async function hear(row) {
  if (heard === row && player.length) return player.toggle();
  player.clear();
  heard = row;
  row.play.classList.add("busy");
  try {
    const sound = await call(path(job.id, `/parts/${row.index}/audio?format=wav`));
    const loaded = await decode(await sound.arrayBuffer());
    if (heard !== row) return;
    player.load(...loaded);
    player.play(0);
  } finally {
    row.play.classList.remove("busy");
  }
}

async function redoPart(row) {
  const json = {};
  show(await (await call(path(job.id, `/parts/${row.index}/redo`), { json })).json());
  watch(job.id);
}

async function pauseOrGoOn() {
  const way = rests(job) ? "/resume" : "/pause";
  show(await (await call(path(job.id, way), { method: "POST" })).json());
  watch(job.id);
}

async function remove() {
  const text = "The text and what was spoken of it are removed from the server.";
  if (!(await sure("Delete this text?", text, "Delete"))) return;
  await call(path(job.id), { method: "DELETE" });
  close();
}

async function download(format) {
  clear($("job-fault"));
  const ended = work($("job-work"), `Putting the ${format} together`);
  try {
    const sound = await call(path(job.id, `/audio?format=${format}`));
    save(await sound.blob(), `${$("job-title").textContent.slice(0, 40)}.${format}`);
  } catch (error) {
    fault($("job-fault"), error);
  } finally {
    ended();
  }
}

// ---- earlier texts ----

async function listJobs() {
  let found = [];
  try {
    const answer = await (await call("v1/audio/speech/long")).json();
    found = answer.data ?? answer;
  } catch {
    // the room works without the list; what is wrong shows when a text is begun
  }
  $("jobs").hidden = !found.length || !$("job").hidden;
  $("job-list").replaceChildren(...found.map((old) => {
    const [item, part] = made("job-row");
    part(".line-text").textContent = old.title;
    part(".hint").textContent = [
      STATUS[old.status], `${old.parts_done} of ${old.parts_total} parts`, `${seconds(old.seconds_done)} of sound`,
    ].join(" · ");
    const button = part("[data-do=open]");
    button.setAttribute("aria-label", `Open “${old.title}”`);
    button.onclick = () => tell($("long-fault"), async () => {
      open(await (await call(path(old.id))).json());
    });
    return item;
  }));
}
