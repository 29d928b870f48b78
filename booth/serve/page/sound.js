// Sound that is heard while it arrives, WAV files read and written, the microphone.

const RATE = 24_000; // Hz, of everything that Bark says
const FIRST = 0.05; // s between now and the first sample, so that it is not cut
const LEAST = 0.1; // s that are scheduled at once while more is to come

let heard = null;

/** The one audio output; browsers let it sound after a click or a key. */
export function output() {
  heard ??= new AudioContext({ sampleRate: RATE });
  heard.resume();
  return heard;
}

let playing = null; // one sound at a time

/** Plays samples, which may still be arriving: `push` them, then `finish`. */
export class Player {
  constructor(changed = () => {}) {
    this.changed = changed; // called when playing begins, ends or gets on
    this.clear();
  }

  clear() {
    this.pause();
    this.rate = RATE;
    this.samples = new Float32Array(0);
    this.length = 0; // samples that have arrived
    this.finished = false;
    this.held = 0; // s, where playing goes on
  }

  load(samples, rate) {
    this.clear();
    Object.assign(this, { samples, rate, length: samples.length, finished: true });
  }

  push(piece) {
    if (this.length + piece.length > this.samples.length) {
      const larger = new Float32Array(2 * (this.length + piece.length));
      larger.set(this.samples.subarray(0, this.length));
      this.samples = larger;
    }
    this.samples.set(piece, this.length);
    this.length += piece.length;
    this._schedule();
  }

  finish() {
    this.finished = true;
    this._schedule();
  }

  get seconds() { return this.length / this.rate; }
  get playing() { return playing === this; }

  get position() {
    if (!this.playing) return this.held;
    const now = output().currentTime - this.origin;
    return Math.max(this.from, Math.min(now, this.cursor / this.rate));
  }

  /** Play from a second (where it stopped, if none is given) up to another. */
  play(from, until = Infinity) {
    playing?.pause();
    const atEnd = this.finished && this.held >= this.seconds - 0.02;
    this.from = from ?? (atEnd ? 0 : this.held);
    this.until = until;
    this.cursor = Math.round(this.from * this.rate);
    this.origin = output().currentTime + FIRST - this.from;
    this.sources = new Set();
    playing = this;
    this.clock = setInterval(() => this._tick(), 50);
    this._schedule();
    this.changed();
  }

  pause() {
    if (!this.playing) return;
    this.held = this.position;
    playing = null;
    clearInterval(this.clock);
    for (const source of this.sources) source.stop();
    this.changed();
  }

  toggle() { this.playing ? this.pause() : this.play(); }

  seek(to) {
    const place = Math.max(0, Math.min(to, this.seconds));
    if (this.playing) this.play(place);
    else this.held = place;
    this.changed();
  }

  _end() { return Math.min(this.length, Math.round(this.until * this.rate)); }

  _schedule() {
    if (!this.playing) return;
    const size = this._end() - this.cursor;
    if (size <= 0 || (!this.finished && size < LEAST * this.rate)) return;
    const context = output();
    const buffer = context.createBuffer(1, size, this.rate);
    buffer.copyToChannel(this.samples.subarray(this.cursor, this.cursor + size), 0);
    const late = context.currentTime + FIRST / 2 - (this.origin + this.cursor / this.rate);
    if (late > 0) this.origin += late; // it had to wait for more
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(context.destination);
    source.onended = () => this.sources.delete(source);
    source.start(this.origin + this.cursor / this.rate);
    this.sources.add(source);
    this.cursor += size;
  }

  _tick() {
    const over = this.finished || this.until < this.seconds;
    if (over && output().currentTime - this.origin >= this._end() / this.rate) this.pause();
    else this.changed();
  }
}

/** Decode a whole file as the browser can: [samples of all channels mixed, rate]. */
export async function decode(bytes, rate = RATE) {
  const audio = await new OfflineAudioContext(1, 1, rate).decodeAudioData(bytes);
  const mixed = new Float32Array(audio.length);
  for (let c = 0; c < audio.numberOfChannels; c++) {
    const channel = audio.getChannelData(c);
    for (let n = 0; n < mixed.length; n++) mixed[n] += channel[n] / audio.numberOfChannels;
  }
  return [mixed, audio.sampleRate];
}

/** Read a stream of 16-bit mono WAV: pieces of samples as they come; returns the whole file. */
export async function* readWav(body) {
  const reader = body.getReader();
  const parts = [];
  let rest = new Uint8Array(0); // what has come and is not yet given on
  let begun = false;
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return wholeWav(new Uint8Array(await new Blob(parts).arrayBuffer()));
    parts.push(value);
    rest = joined(rest, value);
    const start = begun ? 0 : startOfData(rest);
    if (!begun && !start) continue;
    begun = true;
    const end = rest.length - ((rest.length - start) % 2);
    const numbers = new Int16Array(rest.slice(start, end).buffer);
    rest = rest.slice(end);
    if (numbers.length) yield Float32Array.from(numbers, (number) => number / 32_768);
  }
}

function joined(a, b) {
  const both = new Uint8Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

const even = (size) => size + (size % 2); // chunks are padded

/** Where the samples of a WAV file begin, or 0 if that has not arrived. */
function startOfData(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  for (let at = 12; at + 8 <= bytes.length; at += 8 + even(view.getUint32(at + 4, true))) {
    if (String.fromCharCode(...bytes.subarray(at, at + 4)) === "data") return at + 8;
  }
  return 0;
}

/** Write the sizes, unknown when the stream began, into the header. */
function wholeWav(bytes) {
  const view = new DataView(bytes.buffer);
  const start = startOfData(bytes);
  view.setUint32(4, bytes.length - 8, true);
  view.setUint32(start - 4, bytes.length - start, true);
  return new Blob([bytes], { type: "audio/wav" });
}

/** Write samples as a 16-bit mono WAV file. */
export function toWav(samples, rate) {
  const view = new DataView(new ArrayBuffer(44 + 2 * samples.length));
  const word = (at, text) => [...text].forEach((c, i) => view.setUint8(at + i, c.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, view.byteLength - 8, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true); // mono
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * samples.length, true);
  samples.forEach((sample, n) => {
    view.setInt16(44 + 2 * n, Math.round(32_767 * Math.max(-1, Math.min(1, sample))), true);
  });
  return new Blob([view], { type: "audio/wav" });
}

/** Record from the microphone; `level` is called with 0 to 1. Returns {stop, cancel}. */
export async function record(level) {
  const stream = await navigator.mediaDevices.getUserMedia({
    // what makes calls pleasant changes the voice
    audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 2048 });
  context.createMediaStreamSource(stream).connect(analyser);
  const frame = new Float32Array(analyser.fftSize);
  const clock = setInterval(() => {
    analyser.getFloatTimeDomainData(frame);
    const rms = Math.sqrt(frame.reduce((sum, x) => sum + x * x, 0) / frame.length);
    level(Math.max(0, Math.min(1, 1 + Math.log10(rms + 1e-6) / 3)));
  }, 60);
  const recorder = new MediaRecorder(stream, { audioBitsPerSecond: 256_000 });
  const parts = [];
  recorder.ondataavailable = (event) => parts.push(event.data);
  recorder.start();
  const close = () => {
    clearInterval(clock);
    stream.getTracks().forEach((track) => track.stop());
    context.close();
  };
  const stop = () => new Promise((answer, refuse) => {
    recorder.onstop = async () => {
      close();
      try {
        const bytes = await new Blob(parts).arrayBuffer();
        const [samples, rate] = await decode(bytes, 48_000);
        answer(new File([toWav(samples, rate)], "recording.wav", { type: "audio/wav" }));
      } catch (error) {
        refuse(error);
      }
    };
    recorder.stop();
  });
  return { stop, cancel: () => { recorder.onstop = null; recorder.stop(); close(); } };
}
