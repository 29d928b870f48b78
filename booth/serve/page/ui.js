// What every room shows the same way: faults, work in progress, questions, files to save.

export const $ = (id) => document.getElementById(id);

export const seconds = (value, digits = 1) =>
  value < 60 ? `${value.toFixed(digits)} s` : `${Math.floor(value / 60)} min ${Math.floor(value % 60)} s`;

/** Tell people who cannot see the page what has changed. */
export function say(text) {
  $("said").textContent = text;
}

/** Show what went wrong beside what it is about; `again` adds a button that tries once more. */
export function fault(element, error, again) {
  if (error.name === "AbortError") return;
  if (element.textContent !== error.message) element.textContent = error.message; // told once
  if (again) {
    const button = element.appendChild(document.createElement("button"));
    button.type = "button";
    button.className = "link";
    button.textContent = "Try again";
    button.onclick = () => { clear(element); again(); };
  }
  element.hidden = false;
  const folded = element.closest("details");
  if (folded) folded.open = true;
  const field = described(element);
  if (field) {
    field.setAttribute("aria-invalid", "true");
    field.addEventListener("input", () => clear(element), { once: true });
  }
}

export function clear(...elements) {
  for (const element of elements) {
    element.hidden = true;
    element.textContent = "";
    described(element)?.removeAttribute("aria-invalid");
  }
}

const described = (element) =>
  element.id ? document.querySelector(`:is(input, select, textarea)[aria-describedby~="${element.id}"]`) : null;

/** Run something; its failure is shown at a place. */
export async function tell(place, run) {
  clear(place);
  try {
    await run();
  } catch (error) {
    fault(place, error);
  }
}

const clocks = new Map(); // where work is shown → its clock

/** Show that work is done, with a clock that moves; the function that it returns ends it. */
export function work(element, label) {
  const begun = performance.now();
  const what = typeof label === "string" ? () => label : label;
  const show = () => {
    element.textContent = `${what()} · ${seconds((performance.now() - begun) / 1000)}`;
  };
  const clock = setInterval(show, 200);
  clearInterval(clocks.get(element)); // of what was done here before
  clocks.set(element, clock);
  show();
  element.hidden = false;
  say(what());
  return () => {
    clearInterval(clock);
    if (clocks.get(element) === clock) element.hidden = true;
  };
}

/** Let a button start its work again only when it has ended. */
export async function once(button, run) {
  if (button.getAttribute("aria-disabled") === "true") return;
  button.setAttribute("aria-disabled", "true");
  try {
    await run();
  } finally {
    button.removeAttribute("aria-disabled");
  }
}

/** Ask before something is lost. */
export function sure(title, text, yes) {
  const dialog = $("ask-dialog");
  $("ask-title").textContent = title;
  $("ask-text").textContent = text;
  $("ask-yes").textContent = yes;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((answer) => {
    dialog.addEventListener("close", () => answer(dialog.returnValue === "yes"), { once: true });
  });
}

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\p{L}\p{N} ._-]+/gu, "-");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

/** A copy of a template, and its parts by selector. */
export function made(template) {
  const element = $(template).content.firstElementChild.cloneNode(true);
  return [element, (selector) => element.querySelector(selector)];
}

/** Show on a button whether its player plays. */
export function showPlaying(button, on, what) {
  button.classList.toggle("on", on);
  button.setAttribute("aria-label", `${on ? "Pause" : what[0]} ${what[1]}`);
}
