// The room in which a few sentences are spoken, and the takes that were made in it.

import { call } from "./api.js";
import { Player, readWav } from "./sound.js";
import { $, clear, fault, made, once, save, say, seconds, showPlaying, sure, work } from "./ui.js";
import { listen, loadVoices, nameOf } from "./voices.js";
import { Wave, loudness } from "./wave.js";

const KEPT = "bark-takes";
const MOST_TAKES = 50; // remembered
const MOST_SOUNDS = 12; // whose sound stays in memory
const PER_LETTER = 0.07; // s, a guess at how long a text will be, until it is known
const STEP = 1; // s, of the arrow keys in the waveform

const FIELDS = { input: "speak-text-fault", voice: "speak-voice-fault", seed: "seed-fault", loudness: "loudness-fault" };
const SLIDERS = [["temperature", "temperature", ""], ["speed", "speed", "×"], ["best_of", "best-of", ""]];

let takes = []; // newest first: {input, voice, model, seed, …, seconds, at}
let take = null; // what the large waveform shows
let stopping = null; // ends what is being spoken
let shown = {}; // what the buttons show
const sounds = new Map(); // take → {samples, rate, file}

const wave = new Wave($("take-wave"));
const player = new Player(showTake);

export function startSpeak() {
  for (const [, id, unit] of SLIDERS) {
    $(id).oninput = () => { $(`${id}-shown`).textContent = `${Number($(id).value)}${unit}`; };
    $(id).oninput();
  }
  $("speak-form").onsubmit = (event) => {
    event.preventDefault();
    speakForm();
  };
  $("speak-text").onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) speakForm();
  };
  $("speak-stop").onclick = () => {
    stop();
    $("take").hidden = true;
  };
  $("speak-preview").onclick = () =>
    listen($("speak-voice").value, $("speak-preview"), $("speak-voice-fault"));
  $("take-play").onclick = () => {
    if (player.length) player.toggle();
    else if (!stopping) speak(take);
  };
  startSeeking();
  for (const button of $("take-actions").querySelectorAll("[data-format]")) {
    button.onclick = () => once(button, () => download(take, button.dataset.format));
  }
  $("take-keep").onclick = () => showKeep($("keep-form").hidden);
  $("keep-cancel").onclick = () => showKeep(false);
  $("keep-form").onsubmit = (event) => {
    event.preventDefault();
    once($("keep-form").querySelector("[type=submit]"), keepVoice);
  };
  $("history-clear").onclick = clearTakes;
  takes = remembered();
  showTakes();
}

function remembered() {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "[]");
  } catch {
    return []; // another page of this address wrote it
  }
}

/** The request that the form asks for; only what was changed is sent. */
function request() {
  const asked = {
    model: $("speak-model").value,
    input: $("speak-text").value.trim(),
    voice: $("speak-voice").value || undefined,
  };
  for (const [key, id] of SLIDERS) {
    if ($(id).value !== $(id).defaultValue) asked[key] = Number($(id).value);
  }
  if ($("early").checked) asked.latency = "low";
  const seed = $("seed").value.trim();
  if (seed) asked.seed = Number(seed);
  if ($("loudness").value) asked.loudness = Number($("loudness").value);
  return asked;
}

function speakForm() {
  const asked = request();
  clear(...Object.values(FIELDS).map($));
  if (!asked.input) {
    fault($("speak-text-fault"), new Error("Write something to be spoken."));
    return $("speak-text").focus();
  }
  if (asked.seed !== undefined && !(Number.isSafeInteger(asked.seed) && asked.seed >= 0)) {
    fault($("seed-fault"), new Error("A seed is a whole number, 0 or more."));
    return $("seed").focus();
  }
  speak({ ...asked, at: Date.now() });
}

const body = ({ at, seconds: _, ...asked }, format) => ({ ...asked, response_format: format });

/** Speak a new take, or one whose sound has left memory; it is heard while it arrives. */
async function speak(asked) {
  stop();
  const mine = (stopping = new AbortController());
  take = asked;
  player.clear();
  clear($("take-fault"));
  $("take").hidden = false;
  $("take-actions").hidden = true;
  showKeep(false);
  swap($("speak-go"), $("speak-stop"));
  $("take").dataset.state = "waiting";
  const ended = work($("take-work"), () =>
    player.length ? `Speaking, ${seconds(player.seconds)} so far` : "Thinking about the first sound");
  $("take").scrollIntoView({ block: "nearest" });
  try {
    const answer = await call("v1/audio/speech", { json: body(asked, "wav"), signal: mine.signal });
    asked.seed = Number(answer.headers.get("X-Seed") ?? asked.seed);
    player.play(0);
    const pieces = readWav(answer.body);
    for (;;) {
      const { value, done } = await pieces.next();
      if (stopping !== mine) return;
      if (done) {
        player.finish();
        asked.seconds = player.seconds;
        remember(asked, value);
        break;
      }
      player.push(value);
      $("take").dataset.state = "streaming";
      draw();
    }
    say(`Spoken, ${seconds(asked.seconds)}`);
  } catch (error) {
    if (stopping !== mine) return;
    player.clear();
    const broken = error instanceof TypeError; // what a browser calls a body that breaks off
    const told = broken ? new Error("The server stopped in the middle of the take.") : error;
    $("take").hidden = error.param in FIELDS;
    if (error.param in FIELDS) fault($(FIELDS[error.param]), error);
    else fault($("take-fault"), told, () => speak(asked));
  } finally {
    ended();
    if (stopping === mine) {
      settle();
      draw();
    }
  }
}

/** End what is being spoken, on the server too. */
function stop() {
  if (!stopping) return;
  stopping.abort();
  settle();
  player.clear();
}

function settle() {
  stopping = null;
  $("take").dataset.state = "done";
  swap($("speak-stop"), $("speak-go"));
}

/** Show one button for another, and let it have the focus. */
function swap(old, now) {
  const focused = document.activeElement === old;
  old.hidden = true;
  now.hidden = false;
  if (focused) now.focus();
}

// ---- the take that is shown ----

function draw() {
  const guess = take.input.length * PER_LETTER;
  const whole = player.finished ? player.seconds : Math.max(guess, player.seconds * 1.1);
  const share = player.seconds / whole;
  wave.show((count) => loudness(player.samples, player.length, Math.round(share * count)));
  wave.whole = whole;
  showTake();
}

function showTake() {
  if (shown.take !== take || shown.playing !== player.playing) showButtons();
  if (!take) return;
  const { position } = player;
  const known = player.finished ? player.seconds : take.seconds;
  wave.colour(0, player.length ? position / wave.whole : 0);
  wave.point(player.playing ? position / wave.whole : null);
  $("take-facts").textContent = [
    known ? `${seconds(position)} of ${seconds(known)}` : seconds(position),
    nameOf(take.voice),
    take.seed === undefined ? "" : `seed ${take.seed}`,
  ].filter(Boolean).join(" · ");
  $("take-actions").hidden = !take.seconds || stopping !== null;
  const slider = $("take-wave");
  slider.setAttribute("aria-valuemax", Math.round(player.seconds));
  slider.setAttribute("aria-valuenow", Math.round(position));
  const told = `${Math.round(position)} of ${Math.round(player.seconds)} seconds`;
  if (slider.getAttribute("aria-valuetext") !== told) slider.setAttribute("aria-valuetext", told);
}

function showButtons() {
  shown = { take, playing: player.playing };
  showPlaying($("take-play"), player.playing, ["Play", "the take"]);
  for (const row of $("takes").children) {
    const mine = row.take === take;
    row.classList.toggle("current", mine);
    showPlaying(row.querySelector(".play"), mine && player.playing, ["Play", `“${row.take.input}”`]);
  }
}

function startSeeking() {
  const slider = $("take-wave");
  slider.onpointerdown = (event) => {
    const { left, width } = slider.getBoundingClientRect();
    if (player.length) player.seek(((event.clientX - left) / width) * wave.whole);
  };
  slider.onkeydown = (event) => {
    const { position } = player;
    const to = {
      ArrowLeft: position - STEP, ArrowDown: position - STEP,
      ArrowRight: position + STEP, ArrowUp: position + STEP,
      Home: 0, End: player.seconds,
    }[event.key];
    if (event.key === " ") player.toggle();
    else if (to !== undefined) player.seek(to);
    else return;
    event.preventDefault();
  };
}

async function download(wanted, format) {
  clear($("take-fault"));
  const name = `${wanted.input.slice(0, 40)} ${wanted.seed}.${format}`;
  const file = format === "wav" && sounds.get(wanted)?.file;
  if (file) return save(file, name);
  const ended = work($("take-work"), `Making the ${format} from its seed`);
  try {
    save(await (await call("v1/audio/speech", { json: body(wanted, format) })).blob(), name);
  } catch (error) {
    fault($("take-fault"), error);
  } finally {
    ended();
  }
}

function showKeep(open) {
  $("keep-form").hidden = !open;
  $("take-keep").setAttribute("aria-expanded", String(open));
  clear($("keep-fault"));
  if (open) $("keep-name").focus();
}

async function keepVoice() {
  const name = $("keep-name").value.trim();
  clear($("keep-fault"));
  if (!name) {
    fault($("keep-fault"), new Error("Give the voice a name."));
    return $("keep-name").focus();
  }
  const ended = work($("keep-work"), "Making the voice from the take");
  try {
    const json = { ...body(take, "wav"), name };
    const voice = await (await call("v1/audio/voices/from_take", { json })).json();
    await loadVoices(voice.id);
    showKeep(false);
    $("keep-name").value = "";
    $("take-keep").focus();
    say(`${voice.name} is ready`);
  } catch (error) {
    fault($("keep-fault"), error);
  } finally {
    ended();
  }
}

// ---- the takes made before ----

function remember(spoken, file) {
  const { samples, length, rate } = player;
  sounds.delete(spoken);
  sounds.set(spoken, { samples: samples.slice(0, length), rate, file });
  if (sounds.size > MOST_SOUNDS) sounds.delete(sounds.keys().next().value);
  if (!takes.includes(spoken)) takes.unshift(spoken);
  takes.length = Math.min(takes.length, MOST_TAKES);
  showTakes();
}

function showTakes() {
  localStorage.setItem(KEPT, JSON.stringify(takes));
  $("history").hidden = !takes.length;
  $("takes").replaceChildren(...takes.map(row));
  showButtons();
  showTake();
}

function row(old) {
  const [item, part] = made("take-row");
  item.take = old;
  part(".line-text").textContent = old.input;
  const time = new Date(old.at).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });
  part(".hint").textContent =
    [nameOf(old.voice), `seed ${old.seed}`, seconds(old.seconds), time].join(" · ");
  part(".play").onclick = () => {
    if (take === old && player.length) return player.toggle();
    open(old);
    if (sounds.has(old)) player.play(0);
    else speak(old);
  };
  part("[data-do=open]").onclick = () => {
    open(old);
    $("speak-text").focus();
  };
  part("[data-do=remove]").onclick = () => {
    takes = takes.filter((other) => other !== old);
    sounds.delete(old);
    showTakes();
    $("history-title").parentElement.querySelector("button").focus();
  };
  return item;
}

/** Put a take back into the form and the waveform. */
function open(old) {
  stop();
  take = old;
  $("speak-text").value = old.input;
  $("seed").value = old.seed;
  for (const [id, value] of [["speak-voice", old.voice], ["speak-model", old.model]]) {
    if ([...$(id).options].some((option) => option.value === value)) $(id).value = value;
  }
  for (const [key, id] of SLIDERS) {
    $(id).value = old[key] ?? $(id).defaultValue;
    $(id).oninput();
  }
  $("early").checked = old.latency === "low";
  $("loudness").value = old.loudness ?? "";
  clear($("take-fault"), ...Object.values(FIELDS).map($));
  showKeep(false);
  $("take").hidden = false;
  player.clear();
  const sound = sounds.get(old);
  if (sound) player.load(sound.samples, sound.rate);
  draw();
}

async function clearTakes() {
  const text = "The list of texts and seeds in this browser is emptied. Voices and files stay.";
  if (!(await sure("Clear the takes?", text, "Clear"))) return;
  takes = [];
  sounds.clear();
  showTakes();
}
