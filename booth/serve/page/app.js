// Starts the page: its rooms, and what they choose from.

import { call } from "./api.js";
import { startClone } from "./clone.js";
import { startLong } from "./long.js";
import { output } from "./sound.js";
import { startSpeak } from "./speak.js";
import { $ } from "./ui.js";
import { loadVoices } from "./voices.js";

const ROOMS = ["clone", "speak", "long"];

function showRoom(focus) {
  const asked = location.hash.slice(1);
  if (asked && !ROOMS.includes(asked)) return; // a place on the page
  const now = asked || ROOMS[0];
  for (const room of ROOMS) {
    $(`room-${room}`).hidden = room !== now;
    const link = document.querySelector(`nav a[href="#${room}"]`);
    if (room === now) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = $(`${now}-title`);
  document.title = `${title.textContent} · Voice booth`;
  if (focus) {
    title.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
}

async function loadModels() {
  try {
    const { data } = await (await call("v1/models")).json();
    for (const select of document.querySelectorAll("select[data-models]")) {
      select.replaceChildren(...data.map(({ id }) => new Option(id, id)));
    }
    $("engine").textContent = `Model ${data.map(({ id }) => id).join(", ")}`;
  } catch (error) {
    $("engine").textContent = error.message;
  }
}

for (const gesture of ["click", "keydown"]) addEventListener(gesture, output, { once: true });
addEventListener("hashchange", () => showRoom(true));
document.addEventListener("speak-with", ({ detail }) => {
  $("speak-voice").value = detail;
  location.hash = "speak";
});
startClone();
startSpeak();
startLong();
showRoom(false);
loadModels();
loadVoices();
