// The page around a call: who is called, what is said, how loud, and how long answers take.

import { Call, unable } from "/voice/call.js";
import { TEXTS } from "/voice/texts.js";

const SHOWN = 8;  // turns in the waterfall
const LOUDEST = 4;  // speech is far from the largest sample
const page = {};
for (const id of ["language", "persona", "call", "mute", "state", "trouble", "mine", "theirs", "transcript", "said", "typed",
  "words", "send", "waterfall", "sound"]) page[id] = document.getElementById(id);

let language = (localStorage.getItem("cozy-language") || navigator.language || "en").startsWith("zh") ? "zh" : "en";
let current = null;
let told = null;  // the refusal that is shown
let lines = new Map();
let levels = null;

const text = (key) => TEXTS[language][key] ?? key;

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  document.title = `${text("title")} · CozyEngine`;
  page.language.value = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", text(node.dataset.label));
  page.words.placeholder = text("typed");
  for (const row of page.waterfall.children) sum(row);
  page.call.textContent = text(current ? "hang_up" : "call");
  show(page.state.dataset.state);
  if (told) trouble(told);
}

function show(state) {
  page.state.dataset.state = state;
  page.state.textContent = text(state);
}

/** A refusal, or words of the server; nothing takes away what is shown. */
function trouble(it) {
  told = it && typeof it !== "string" ? it : null;
  const words = told ? `${text(it.key)} ${it.detail ?? ""}`.trim() : it ?? "";
  page.trouble.hidden = !words;
  page.trouble.textContent = words;
}

async function personas() {
  try {
    const found = await (await fetch("/voice/personas")).json();
    for (const { id, name } of found.personas) page.persona.append(new Option(name, id));
  } catch {
    trouble({ key: "unreachable" });
  }
}

function begin() {
  page.transcript.replaceChildren();
  page.waterfall.replaceChildren();
  lines = new Map();
  trouble(null);
  show("connecting");
  levels = new Levels();
  current = new Call(page.persona.value || "default", {
    told: heard,
    state: connection,
    sound: (stream) => {
      page.sound.srcObject = stream;
      levels.of(current.microphone, page.mine);
      levels.of(stream, page.theirs);
    },
    ended,
  });
  page.persona.disabled = true;
  speak();
  current.begin();
}

function connection(state) {
  if (state === "regained") trouble({ key: "regained" });
  else show(state);
}

function ended(refusal) {
  current = null;
  levels.close();
  page.sound.srcObject = null;
  if (refusal) trouble(refusal);
  for (const node of [page.mute, page.words, page.send]) node.disabled = true;
  page.persona.disabled = false;
  page.mute.setAttribute("aria-pressed", "false");
  page.state.dataset.state = "ended";
  speak();
}

function heard(it) {
  switch (it.type) {
    case "warning": case "error": trouble(it.text); break;
    case "call.started": document.body.dataset.session = it.session_id ?? ""; break;
    case "agent.state_changed": show(it.new); break;
    case "session.active":
      show("listening");
      for (const node of [page.mute, page.words, page.send]) node.disabled = false;
      break;
    case "conversation.item.input_audio_transcription.delta": write(`u${it.turn_id}`, "user partial", it.text); break;
    case "input_audio_buffer.committed": write(`u${it.turn_id}`, "user", it.text); break;
    case "user.turn_discarded": erase(`u${it.turn_id}`); break;
    case "response.output_audio_transcript.delta": write(`a${it.response_id}`, "agent partial", it.text, true); break;
    case "response.text_only": write(`a${it.response_id}`, "agent", it.text); break;
    case "response.done": finish(it); break;
    case "turn.latency": waterfall(it); break;
  }
}

function write(key, kind, words, more = false) {
  let line = lines.get(key);
  if (!line) {
    line = document.createElement("li");
    lines.set(key, line);
    page.transcript.append(line);
  }
  line.className = kind;
  line.textContent = more ? line.textContent + words : words;
  page.transcript.scrollTop = page.transcript.scrollHeight;
  if (kind.endsWith("partial")) return;
  const read = document.createElement("p");  // once, and whole: screen readers would read every word that is added
  read.textContent = `${kind.startsWith("user") ? text("you") : text("persona")}: ${words}`;
  page.said.append(read);
  while (page.said.children.length > SHOWN) page.said.firstChild.remove();
}

/** What was heard of an answer is what counts. */
function finish(it) {
  const key = `a${it.response_id}`;
  if (!it.text) return erase(key);
  write(key, it.status === "completed" ? "agent" : "agent cut", it.text);
}

function erase(key) {
  lines.get(key)?.remove();
  lines.delete(key);
}

function waterfall(it) {
  const row = document.createElement("li");
  const bar = document.createElement("div");
  bar.className = "bar";
  bar.setAttribute("aria-hidden", "true");
  for (const stage of it.stages) {
    const part = document.createElement("span");
    part.className = stage.name;
    part.style.flexGrow = stage.ms;
    bar.append(part);
  }
  const words = document.createElement("span");
  words.className = "sum";
  row.append(words, bar);
  row.dataset.total = it.total_ms;
  row.stages = it.stages;
  sum(row);
  page.waterfall.append(row);
  while (page.waterfall.children.length > SHOWN) page.waterfall.firstChild.remove();
  const rows = [...page.waterfall.children];
  const longest = Math.max(1, ...rows.map((one) => Number(one.dataset.total)));
  for (const one of rows) one.querySelector(".bar").style.width = `${(100 * one.dataset.total) / longest}%`;
}

function sum(row) {
  const stages = row.stages.map(({ name, ms }) => `${text(name)} ${ms.toFixed(0)}`);
  row.querySelector(".sum").textContent = `${Number(row.dataset.total).toFixed(0)} = ${stages.join(" + ")}`;
}

class Levels {
  constructor() {
    this.context = new AudioContext();
    this.meters = new Map();
    this.draw();
  }

  of(stream, meter) {
    this.meters.get(meter)?.source.disconnect();
    const analyser = this.context.createAnalyser();
    analyser.fftSize = 512;
    const source = this.context.createMediaStreamSource(stream);
    source.connect(analyser);
    this.meters.set(meter, { analyser, source, samples: new Float32Array(analyser.fftSize) });
  }

  draw() {
    for (const [meter, { analyser, samples }] of this.meters) {
      analyser.getFloatTimeDomainData(samples);
      meter.value = Math.min(1, LOUDEST * Math.sqrt(samples.reduce((sum, it) => sum + it * it, 0) / samples.length));
    }
    this.frame = requestAnimationFrame(() => this.draw());
  }

  close() {
    cancelAnimationFrame(this.frame);
    for (const meter of this.meters.keys()) meter.value = 0;
    this.context.close();
  }
}

page.call.addEventListener("click", () => {
  const refusal = unable();
  if (current) current.hangUp();
  else if (refusal) trouble(refusal);
  else begin();
});
page.mute.addEventListener("click", () => {
  if (current) page.mute.setAttribute("aria-pressed", String(current.mute()));
});
page.typed.addEventListener("submit", (event) => {
  event.preventDefault();
  const words = page.words.value.trim();
  if (words) current?.order({ type: "client.text", text: words });
  page.words.value = "";
});
page.language.addEventListener("change", () => {
  language = page.language.value;
  localStorage.setItem("cozy-language", language);
  speak();
});
window.addEventListener("pagehide", () => current?.hangUp());
speak();
trouble(unable());
personas();
