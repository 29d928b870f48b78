// The room in which a recording becomes a voice.

import { call } from "./api.js";
import { Player, decode, record } from "./sound.js";
import { $, clear, fault, once, say, seconds, showPlaying, work } from "./ui.js";
import { listen, loadVoices } from "./voices.js";
import { Choice, Wave } from "./wave.js";

const LEAST = 1.1; // s, of what can be cloned
const MOST = 20; // s, of a part that is chosen by hand
const PAUSE = 250; // ms after the last move of an edge, before the part is examined
const VERDICTS = {
  good: ["Good to clone", "Nothing stands in the way."],
  usable: ["Usable", "Enough for a clone. This would make it better:"],
  unfit: ["Better recorded again", "A clone of this would be poor:"],
};

let file = null; // what is examined
let whole = null; // the doctor's report on it
let asking = new AbortController(); // the last question to the doctor
let later = 0;
let microphone = null;
let voice = null; // what was cloned last

const wave = new Wave($("clip-wave"));
const player = new Player(() => {
  showPlaying($("clip-play"), player.playing, ["Listen to", "the chosen part"]);
  wave.point(player.playing ? player.position / player.seconds : null);
});
const choice = new Choice({
  box: $("chosen"), start: $("edge-start"), end: $("edge-end"), wave, least: LEAST, most: MOST,
  moved: () => {
    player.pause();
    const { start, end } = choice;
    $("chosen-text").textContent =
      `Chosen: ${start.toFixed(1)} to ${end.toFixed(1)} s of ${whole.duration.toFixed(1)} s. ` +
      "Drag the edges, or move them with the arrow keys.";
  },
  settled: () => {
    clearTimeout(later);
    later = setTimeout(examineChoice, PAUSE);
  },
});

export function startClone() {
  $("file").onchange = () => take($("file").files[0]);
  $("sample").onclick = () => takeSample();
  $("another").onclick = $("cloned-another").onclick = reset;
  $("clip-play").onclick = () =>
    player.playing ? player.pause() : player.play(choice.start, choice.end);
  const room = $("room-clone"); // all of it, so that nothing is lost beside the mark
  const over = (is) => $("drop").classList.toggle("over", is);
  room.ondragover = (event) => { event.preventDefault(); over(true); };
  room.ondragleave = () => over(false);
  room.ondrop = (event) => {
    event.preventDefault();
    over(false);
    take(event.dataTransfer.files[0]);
  };
  $("record").onclick = startRecording;
  $("record-stop").onclick = stopRecording;
  $("record-cancel").onclick = () => { microphone.cancel(); closeRecorder(); };
  $("consent").onchange = showNotes;
  $("clone-form").onsubmit = (event) => {
    event.preventDefault();
    once($("clone-go"), clone);
  };
  $("cloned-listen").onclick = () => listen(voice.id, $("cloned-listen"), $("cloned-fault"));
  $("cloned-speak").onclick = () =>
    document.dispatchEvent(new CustomEvent("speak-with", { detail: voice.id }));
}

function reset() {
  asking.abort();
  player.clear();
  file = whole = null;
  $("file").value = "";
  $("clone-form").reset();
  showNotes();
  clear($("file-fault"), $("window-fault"), $("consent-fault"), $("name-fault"), $("clone-fault"));
  $("examined").hidden = true;
  $("drop").hidden = false;
  $("file").focus();
}

async function takeSample() {
  clear($("file-fault"));
  try {
    const sound = await (await call("static/sample.flac")).blob();
    await take(new File([sound], "sample.flac", { type: "audio/flac" }));
    $("clone-form").elements.consent.value = "synthetic";
    showNotes();
  } catch (error) {
    fault($("file-fault"), error);
  }
}

/** Examine a recording and show what the doctor says. */
async function take(given) {
  if (!given) return;
  clear($("file-fault"));
  const ended = work($("file-work"), "Listening to the recording");
  try {
    const report = await examine(given);
    file = given;
    whole = report;
    $("drop").hidden = true;
    $("examined").hidden = false;
    $("clone-form").hidden = false;
    $("cloned").hidden = true;
    $("clip-name").textContent = given.name;
    $("clone-name").value = given.name.replace(/\.[^.]*$/, "").replace(/[^\p{L}\p{N} _.-]+/gu, " ").trim();
    wave.show((count) => barsOf(report.peaks, count));
    choice.duration = report.duration;
    choice.set(report.window.start, report.window.end);
    showVerdict(report);
    await readSound(given);
  } catch (error) {
    fault($("file-fault"), error);
    $("file").value = "";
  } finally {
    ended();
  }
}

function barsOf(peaks, count) {
  return Array.from({ length: count }, (_, bar) => {
    const first = Math.floor((bar * peaks.length) / count);
    const last = Math.max(first + 1, Math.floor(((bar + 1) * peaks.length) / count));
    return Math.max(...peaks.slice(first, last).map(([low, high]) => Math.max(-low, high)));
  });
}

/** Decode the recording so that it can be heard; some formats the server reads and the browser does not. */
async function readSound(given) {
  player.clear();
  try {
    player.load(...(await decode(await given.arrayBuffer())));
    $("clip-play").hidden = false;
  } catch {
    $("clip-play").hidden = true;
  }
}

async function examine(given, part) {
  asking.abort();
  asking = new AbortController();
  const form = new FormData();
  form.append("audio_sample", given);
  if (part) for (const [key, value] of Object.entries(part)) form.append(key, value.toFixed(3));
  return (await call("v1/audio/check", { form, signal: asking.signal })).json();
}

async function examineChoice() {
  clear($("window-fault"));
  const ended = work($("window-work"), "Listening to the chosen part");
  try {
    showVerdict(await examine(file, { start: choice.start, end: choice.end }));
  } catch (error) {
    fault($("window-fault"), error, examineChoice);
  } finally {
    ended();
  }
}

function showVerdict({ verdict, findings }) {
  const [title, text] = VERDICTS[verdict];
  $("verdict").dataset.verdict = verdict;
  $("verdict-title").textContent = title;
  $("verdict-text").textContent = text;
  $("findings").replaceChildren(...findings.map(({ reason, remedy }) => {
    const item = document.createElement("li");
    item.textContent = sentence(reason);
    if (remedy) {
      const line = item.appendChild(document.createElement("span"));
      line.className = "remedy";
      line.textContent = sentence(remedy);
    }
    return item;
  }));
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}.`;

// ---- recording ----

async function startRecording() {
  clear($("file-fault"));
  if (!navigator.mediaDevices) {
    const message = "A browser lets a page record over https or from this computer alone.";
    return fault($("file-fault"), new Error(message));
  }
  try {
    microphone = await record((level) => {
      $("level").style.setProperty("--done", `${100 * level}%`);
      $("record-time").textContent = seconds((performance.now() - microphone.begun) / 1000);
    });
  } catch (error) {
    const refused = error.name === "NotAllowedError";
    const message = refused
      ? "The browser was not allowed to use the microphone. Allow it beside the address, and try again."
      : `There is no microphone to record from (${error.name}).`;
    return fault($("file-fault"), new Error(message));
  }
  microphone.begun = performance.now();
  $("drop").hidden = true;
  $("recorder").hidden = false;
  $("record-stop").focus();
  say("Recording");
}

function closeRecorder() {
  $("recorder").hidden = true;
  $("drop").hidden = false;
}

async function stopRecording() {
  try {
    const recording = await microphone.stop();
    closeRecorder();
    await take(recording);
  } catch (error) {
    closeRecorder();
    fault($("file-fault"), error);
  }
}

// ---- cloning ----

function showNotes() {
  const chosen = $("clone-form").elements.consent.value;
  for (const kind of ["licensed", "recorded"]) $(kind).hidden = chosen !== kind;
  clear($("consent-fault"));
}

/** What the server wants to know about consent, or a sentence on what is missing. */
function readConsent() {
  const kind = $("clone-form").elements.consent.value;
  const note = $("licence").value.trim();
  const recording = $("agreement").files[0];
  if (!kind) throw new Error("Say whose voice it is: nobody’s voice is cloned without an answer.");
  if (kind === "licensed" && !note) throw new Error("Say who gave the permission, and where it is written.");
  if (kind === "recorded" && !recording) throw new Error("Choose the recording in which they agree.");
  return { kind, note, recording };
}

async function clone() {
  const places = { consent: $("consent-fault"), name: $("name-fault") };
  clear(...Object.values(places), $("clone-fault"));
  const name = $("clone-name").value.trim();
  let consent;
  try {
    consent = readConsent();
  } catch (error) {
    fault(places.consent, error);
    const [box, missing] = [$("consent"), ".nested:not([hidden]) input"];
    (box.querySelector(missing) ?? box.querySelector("input")).focus();
    return;
  }
  if (!name) {
    fault(places.name, new Error("Give the voice a name."));
    $("clone-name").focus();
    return;
  }
  const ended = work($("clone-work"), "Cloning the voice");
  try {
    voice = await (await call("v1/audio/voices", { form: await cloneForm(name, consent) })).json();
    $("clone-form").hidden = true;
    $("cloned-name").textContent = voice.name;
    $("cloned").hidden = false;
    $("cloned").focus();
    say(`${voice.name} is ready`);
    await loadVoices(voice.id);
  } catch (error) {
    fault(places[error.param] ?? $("clone-fault"), error);
  } finally {
    ended();
  }
}

async function cloneForm(name, { kind, note, recording }) {
  const form = new FormData();
  form.append("name", name);
  form.append("audio_sample", file);
  form.append("start", choice.start.toFixed(3));
  form.append("end", choice.end.toFixed(3));
  form.append("consent", kind === "licensed" ? `licensed:${note}` : kind);
  if (kind === "recorded") {
    const proof = new FormData();
    proof.append("name", name);
    proof.append("language", "en");
    proof.append("recording", recording);
    const { id } = await (await call("v1/audio/voice_consents", { form: proof })).json();
    form.set("consent", id);
  }
  return form;
}
