// The list of voices, which every room chooses from: listen, rename, export, delete.

import { call } from "./api.js";
import { Player, decode } from "./sound.js";
import { $, clear, fault, made, save, say, showPlaying, sure, tell } from "./ui.js";

const FEW = 20; // ready-made voices that are shown at once

let list = [];
let asked = null; // the voice whose sound is being fetched
let button = null; // the one that was pressed for what is heard
const player = new Player(() => {
  if (button) showPlaying(button, player.playing, ["Listen to", button.dataset.name]);
});

const path = (id, rest = "") => `v1/audio/voices/${encodeURIComponent(id)}${rest}`;

export const nameOf = (id) => list.find((voice) => voice.id === id)?.name ?? id;

/** The voices whose names begin a line of a script, as in "clara: Good morning". */
export function speakersIn(text) {
  const begun = new Set(text.split("\n").map((line) => line.split(/[:：]/)[0].trim().toLowerCase()));
  const named = list.filter(({ name }) => begun.has(name.toLowerCase()));
  return Object.fromEntries(named.map(({ name, id }) => [name, id]));
}

/** Fetch the voices, show them, and select one wherever one is chosen. */
export async function loadVoices(selected) {
  clear($("voices-fault"));
  const first = !list.length;
  try {
    list = (await (await call("v1/audio/voices")).json()).data;
  } catch (error) {
    fault($("voices-fault"), error, () => loadVoices(selected));
    return;
  }
  for (const select of document.querySelectorAll("select[data-voices]")) {
    const before = selected ?? select.value;
    select.replaceChildren(...["own", ""].flatMap((kind) => group(kind)));
    if (list.some((voice) => voice.id === before)) select.value = before;
  }
  const own = list.filter(isOwn);
  const ready = list.filter((voice) => !isOwn(voice));
  $("voices-own").replaceChildren(...own.map((voice) => row(voice, voice.id === selected)));
  $("voices-ready").replaceChildren(...ready.map((voice) => row(voice, false)));
  $("voices-none").hidden = own.length > 0;
  $("voices-more").hidden = !ready.length;
  $("voices-count").textContent = ready.length;
  if (first) $("voices-more").open = ready.length < FEW;
}

const isOwn = (voice) => voice.origin === "own";

function group(kind) {
  const own = kind === "own";
  const voices = list.filter((voice) => isOwn(voice) === own);
  if (!voices.length) return [];
  const element = document.createElement("optgroup");
  element.label = own ? "Yours" : "Ready-made";
  element.append(...voices.map((voice) => new Option(voice.name, voice.id)));
  return [element];
}

/** Let a voice say what it was made from; pressed again it pauses. */
export async function listen(id, pressed, place) {
  if (asked === id) return;
  const same = button === pressed && pressed.dataset.voice === id && player.length;
  if (same) return player.toggle();
  clear(place);
  player.pause();
  button = pressed;
  Object.assign(button.dataset, { voice: id, name: nameOf(id) });
  button.classList.add("busy");
  asked = id;
  try {
    const sound = await (await call(path(id, "/preview"))).arrayBuffer();
    player.load(...(await decode(sound)));
    player.play(0);
  } catch (error) {
    fault(place, error);
  } finally {
    asked = null;
    pressed.classList.remove("busy");
  }
}

function row(voice, fresh) {
  const [item, part] = made("voice-row");
  const [play, name, more, form, wrong] = [
    part(".play"), part(".voice-name"), part(".voice-more"), part("form"), part(".fault"),
  ];
  const field = part("input");
  item.classList.toggle("new", fresh);
  name.textContent = voice.name;
  play.setAttribute("aria-label", `Listen to ${voice.name}`);
  play.onclick = () => listen(voice.id, play, wrong);
  name.onclick = () => {
    more.hidden = !more.hidden;
    name.setAttribute("aria-expanded", String(!more.hidden));
    if (!more.hidden) tell(wrong, () => showFacts(part(".facts"), voice));
  };
  const rename = (open) => {
    form.hidden = !open;
    part(".pairs").hidden = open;
    clear(wrong);
    field.value = voice.name;
    (open ? field : part("[data-do=rename]")).focus();
  };
  const does = {
    speak: () => document.dispatchEvent(new CustomEvent("speak-with", { detail: voice.id })),
    rename: () => rename(true),
    cancel: () => rename(false),
    export: () => tell(wrong, async () => {
      save(await (await call(path(voice.id, "/file"))).blob(), `${voice.name}.npz`);
    }),
    delete: () => tell(wrong, () => remove(voice)),
  };
  for (const [what, run] of Object.entries(does)) part(`[data-do=${what}]`).onclick = run;
  part("[data-do=rename]").hidden = part("[data-do=delete]").hidden = !isOwn(voice);
  form.onsubmit = (event) => {
    event.preventDefault();
    tell(wrong, async () => {
      const answer = await call(path(voice.id), { method: "PATCH", json: { name: field.value } });
      const { id, name: given } = await answer.json();
      say(`Renamed to ${given}`);
      await loadVoices(id);
    });
  };
  return item;
}

async function remove(voice) {
  const text = "Its file is removed from the server. What was spoken with it stays.";
  if (!(await sure(`Delete ${voice.name}?`, text, "Delete"))) return;
  await call(path(voice.id), { method: "DELETE" });
  say(`${voice.name} is deleted`);
  await loadVoices();
  $("voices-title").focus();
}

/** Show what is known of a voice; of presets that are not here yet nothing is. */
async function showFacts(place, voice) {
  const { info } = await (await call(path(voice.id))).json();
  const made = voice.created_at && new Date(1000 * voice.created_at);
  const facts = {
    Made: made ? made.toLocaleDateString(undefined, { dateStyle: "medium" }) : "",
    Length: info.length,
    Model: info.model,
    Consent: info.consent,
  };
  place.replaceChildren(
    ...Object.entries(facts).filter(([, value]) => value).flatMap(([term, value]) => [
      Object.assign(document.createElement("dt"), { textContent: term }),
      Object.assign(document.createElement("dd"), { textContent: value }),
    ]),
  );
}
