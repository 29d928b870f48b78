// Draws a waveform as bars, and the part of it that is chosen or has been played.

const STEP = 4; // px from bar to bar
const NS = "http://www.w3.org/2000/svg";

/** The loudest sample of each of `count` pieces of the first `length` samples. */
export function loudness(samples, length, count) {
  const bars = new Float32Array(count);
  for (let bar = 0; bar < count; bar++) {
    const end = Math.floor(((bar + 1) * length) / count);
    for (let n = Math.floor((bar * length) / count); n < end; n++) {
      bars[bar] = Math.max(bars[bar], Math.abs(samples[n]));
    }
  }
  return bars;
}

export class Wave {
  constructor(element) {
    this.element = element;
    const back = drawing();
    const front = document.createElement("div");
    front.className = "front";
    front.append(drawing());
    this.head = document.createElement("div");
    this.head.className = "head";
    this.head.hidden = true;
    element.append(back, front, this.head);
    this.drawings = element.querySelectorAll("svg");
    this.bars = () => [];
    new ResizeObserver(() => this.draw()).observe(element);
  }

  /** Show bars: a function from their count to their heights, 0 to 1. */
  show(bars) {
    this.bars = bars;
    this.draw();
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width) return;
    const count = Math.floor(width / STEP);
    const bars = this.bars(count);
    const loudest = Math.max(0.05, ...bars);
    let path = "";
    for (let bar = 0; bar < count; bar++) {
      const half = Math.max(0.5, ((bars[bar] ?? 0) / loudest) * (height / 2 - 2));
      const x = (((bar + 0.5) * width) / count).toFixed(1);
      path += `M${x} ${(height / 2 - half).toFixed(1)}v${(2 * half).toFixed(1)}`;
    }
    for (const svg of this.drawings) {
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      svg.firstChild.setAttribute("d", path);
    }
  }

  /** Colour the part between two shares of the width. */
  colour(from, to) {
    this.element.style.setProperty("--from", `${100 * from}%`);
    this.element.style.setProperty("--to", `${100 * to}%`);
  }

  /** Show where it plays; null: nowhere. */
  point(share) {
    this.head.hidden = share === null;
    this.element.style.setProperty("--at", `${100 * share}%`);
  }
}

function drawing() {
  const svg = document.createElementNS(NS, "svg");
  svg.setAttribute("aria-hidden", "true");
  svg.append(document.createElementNS(NS, "path"));
  return svg;
}

/** A part of a recording, chosen with two edges that can be dragged or moved by keys. */
export class Choice {
  constructor({ box, start, end, wave, least, most, moved, settled }) {
    Object.assign(this, { box, wave, least, most, moved, settled });
    this.edges = [start, end];
    this.duration = 0;
    this.start = this.end = 0;
    this._drag(start, (to) => this.set(to, this.end, "start"));
    this._drag(end, (to) => this.set(this.start, to, "end"));
    this._drag(box, (to, grip) => {
      const length = this.end - this.start;
      const from = Math.max(0, Math.min(to - grip, this.duration - length));
      this.set(from, from + length);
    });
    start.addEventListener("keydown", (event) => this._key(event, "start"));
    end.addEventListener("keydown", (event) => this._key(event, "end"));
  }

  /** Choose a part; the edge that moves is the one that gives way. */
  set(start, end, edge = "both") {
    const d = this.duration;
    if (edge === "start") start = Math.max(end - this.most, Math.min(start, end - this.least));
    if (edge === "end") end = Math.min(start + this.most, Math.max(end, start + this.least));
    this.start = Math.max(0, Math.min(start, d));
    this.end = Math.max(0, Math.min(end, d));
    this.wave.colour(this.start / d, this.end / d);
    [this.start, this.end].forEach((value, n) => {
      const element = this.edges[n];
      element.setAttribute("aria-valuemin", "0");
      element.setAttribute("aria-valuemax", d.toFixed(2));
      element.setAttribute("aria-valuenow", value.toFixed(2));
      element.setAttribute("aria-valuetext", `${value.toFixed(1)} seconds`);
    });
    this.moved();
  }

  _drag(element, move) {
    const at = (event) => {
      const { left, width } = this.wave.element.getBoundingClientRect();
      return ((event.clientX - left) / width) * this.duration;
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.target !== element || event.button) return;
      event.preventDefault();
      element.focus?.();
      element.setPointerCapture(event.pointerId);
      element.classList.add("held");
      const grip = at(event) - this.start;
      const drag = (next) => move(at(next), grip);
      element.addEventListener("pointermove", drag);
      element.addEventListener("lostpointercapture", () => {
        element.removeEventListener("pointermove", drag);
        element.classList.remove("held");
        this.settled();
      }, { once: true });
    });
  }

  _key(event, edge) {
    const step = event.shiftKey ? 1 : 0.1;
    const now = this[edge];
    const to = {
      ArrowLeft: now - step, ArrowDown: now - step,
      ArrowRight: now + step, ArrowUp: now + step,
      PageDown: now - 1, PageUp: now + 1, Home: 0, End: this.duration,
    }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (edge === "start") this.set(to, this.end, edge);
    else this.set(this.start, to, edge);
    this.settled();
  }
}
