// A call in FastRTC's protocol: one POST with the offer, candidates to the same URL, a data channel for words.
// What this page shows beyond that comes in messages {"type": "cozy", "data": {...}}.

const TEXTS = {
  en: {
    title: "Call a persona", language: "Language", persona: "Persona", call: "Call", hang_up: "Hang up", mute: "Mute",
    you: "You", agent: "Persona", transcript: "Transcript", send: "Send", latency: "Latency",
    latency_told: "From your last sound to the first one of the answer, in milliseconds.",
    idle: "Not in a call", connecting: "Connecting…", initializing: "Connected", listening: "Listening",
    thinking: "Thinking…", speaking: "Speaking", ended: "The call has ended",
    endpointing: "waiting", model: "model", synthesis: "voice", playout: "playing",
    no_microphone: "The microphone cannot be used. Allow it in the browser's address bar, or check that one is connected.",
    insecure: "Browsers give the microphone only to pages of https:// or localhost.",
    refused: "The call was refused", full: "There are as many calls as there may be; try again later.",
    lost: "The connection was lost.", unreachable: "The server does not answer.",
  },
  zh: {
    title: "与角色通话", language: "语言", persona: "角色", call: "呼叫", hang_up: "挂断", mute: "静音",
    you: "您", agent: "角色", transcript: "对话记录", send: "发送", latency: "延迟",
    latency_told: "从您最后一个声音到回答的第一个声音，单位毫秒。",
    idle: "未在通话", connecting: "连接中…", initializing: "已连接", listening: "正在听",
    thinking: "思考中…", speaking: "正在说", ended: "通话已结束",
    endpointing: "等待", model: "模型", synthesis: "语音", playout: "播放",
    no_microphone: "无法使用麦克风。请在浏览器地址栏中允许，或检查麦克风是否已连接。",
    insecure: "浏览器只允许 https:// 或 localhost 的页面使用麦克风。",
    refused: "呼叫被拒绝", full: "通话数已达上限，请稍后再试。",
    lost: "连接已断开。", unreachable: "服务器没有响应。",
  },
};
const SHOWN = 8;  // turns in the waterfall
const byId = (id) => document.getElementById(id);
const page = {};
for (const id of ["language", "persona", "call", "mute", "state", "trouble", "mine", "theirs", "transcript", "typed",
  "words", "send", "waterfall", "sound"]) page[id] = byId(id);

let language = (localStorage.getItem("cozy-language") || navigator.language || "en").startsWith("zh") ? "zh" : "en";
let current = null;

const text = (key) => TEXTS[language][key] ?? key;

function speak() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  page.language.value = language;
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  page.call.textContent = text(current ? "hang_up" : "call");
  show(page.state.dataset.state);
}

function show(state) {
  page.state.dataset.state = state;
  page.state.textContent = text(state);
}

function trouble(told) {
  page.trouble.hidden = !told;
  page.trouble.textContent = told || "";
}

async function personas() {
  try {
    const found = await (await fetch("/voice/personas")).json();
    for (const persona of found.personas) {
      const option = document.createElement("option");
      option.value = persona.id;
      option.textContent = persona.name;
      page.persona.append(option);
    }
  } catch {
    trouble(text("unreachable"));
  }
}

class Call {
  constructor() {
    this.id = crypto.randomUUID();
    this.lines = new Map();
    this.meters = [];
    this.over = false;
  }

  async begin() {
    if (!navigator.mediaDevices) return this.end(text("insecure"));
    try {
      this.microphone = await navigator.mediaDevices.getUserMedia({
        audio: { echoCancellation: true, noiseSuppression: true, autoGainControl: true },
      });
    } catch {
      return this.end(text("no_microphone"));
    }
    if (this.over) return this.release();
    try {
      await this.connect();
    } catch {
      this.end(text("unreachable"));
    }
  }

  async connect() {
    const turn = await post("/gradio_api/component_server", { fn_name: "turn", data: [] });
    this.connection = new RTCPeerConnection({ iceServers: turn.iceServers });
    this.connection.onicecandidate = ({ candidate }) => {
      if (candidate) {
        post("/webrtc/offer", { candidate: candidate.toJSON(), webrtc_id: this.id, type: "ice-candidate" });
      }
    };
    this.connection.onconnectionstatechange = () => {
      if (this.connection.connectionState === "failed") this.end(text("lost"));
    };
    this.connection.ontrack = ({ streams, track }) => {
      const stream = streams[0] ?? new MediaStream([track]);
      page.sound.srcObject = stream;
      this.measure(stream, page.theirs);
    };
    for (const track of this.microphone.getTracks()) this.connection.addTrack(track, this.microphone);
    this.measure(this.microphone, page.mine);
    this.channel = this.connection.createDataChannel("text");
    this.channel.onmessage = ({ data }) => this.told(JSON.parse(data));
    this.channel.onclose = () => this.end("");
    await this.connection.setLocalDescription();
    const answer = await post("/webrtc/offer", {
      sdp: this.connection.localDescription.sdp,
      type: "offer",
      webrtc_id: this.id,
      cozy: {
        persona: page.persona.value || "default",
        timezone: Intl.DateTimeFormat().resolvedOptions().timeZone,
      },
    });
    if (!answer.sdp) return this.end(this.refusal(answer));
    document.body.dataset.session = answer.cozy.session_id ?? "";
    await this.connection.setRemoteDescription(answer);
  }

  refusal(answer) {
    const meta = answer.meta ?? {};
    if (meta.error === "concurrency_limit_reached") return text("full");
    return `${text("refused")}: ${[meta.message ?? meta.error, meta.hint].filter(Boolean).join(" ")}`;
  }

  told(message) {
    if (message.type === "warning" || message.type === "error") trouble(message.message);
    if (message.type !== "cozy") return;
    const it = message.data;
    switch (it.type) {
      case "agent.state_changed": show(it.new); break;
      case "session.active": show("listening"); this.opened(); break;
      case "conversation.item.input_audio_transcription.delta": this.write(`u${it.turn_id}`, "user partial", it.text); break;
      case "input_audio_buffer.committed": this.write(`u${it.turn_id}`, "user", it.text); break;
      case "user.turn_discarded": this.erase(`u${it.turn_id}`); break;
      case "response.output_audio_transcript.delta":
        this.write(`a${it.response_id}`, "agent partial", it.text, true); break;
      case "response.text_only": this.write(`a${it.response_id}`, "agent", it.text); break;
      case "response.done": this.finish(it); break;
      case "turn.latency": waterfall(it); break;
      case "session.closed": this.end(""); break;
    }
  }

  opened() {
    for (const node of [page.mute, page.words, page.send]) node.disabled = false;
  }

  write(key, kind, words, more = false) {
    let line = this.lines.get(key);
    if (!line) {
      line = document.createElement("li");
      this.lines.set(key, line);
      page.transcript.append(line);
    }
    line.className = kind;
    line.textContent = more ? line.textContent + words : words;
    page.transcript.scrollTop = page.transcript.scrollHeight;
  }

  // What was heard of an answer is what counts.
  finish(it) {
    const key = `a${it.response_id}`;
    if (!it.text) return this.erase(key);
    this.write(key, it.status === "completed" ? "agent" : "agent cut", it.text);
  }

  erase(key) {
    this.lines.get(key)?.remove();
    this.lines.delete(key);
  }

  order(data) {
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify({ type: "cozy", data }));
  }

  mute() {
    const [track] = this.microphone.getAudioTracks();
    track.enabled = !track.enabled;
    page.mute.setAttribute("aria-pressed", String(!track.enabled));
  }

  measure(stream, meter) {
    this.context ??= new AudioContext();
    const analyser = this.context.createAnalyser();
    analyser.fftSize = 512;
    this.context.createMediaStreamSource(stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    this.meters.push(() => {
      analyser.getFloatTimeDomainData(samples);
      const level = Math.sqrt(samples.reduce((sum, it) => sum + it * it, 0) / samples.length);
      meter.value = Math.min(1, level * 4);
    });
    if (this.meters.length === 1) this.draw();
  }

  draw() {
    if (this.over) return;
    for (const meter of this.meters) meter();
    requestAnimationFrame(() => this.draw());
  }

  hangUp() {
    this.order({ type: "client.hangup" });
    show("ended");
    setTimeout(() => this.end(""), 300);  // the server says goodbye and closes; if not, we do
  }

  end(told) {
    if (this.over) return;
    this.over = true;
    this.release();
    if (current === this) current = null;
    if (told) trouble(told);
    for (const node of [page.mute, page.words, page.send]) node.disabled = true;
    page.mute.setAttribute("aria-pressed", "false");
    page.mine.value = page.theirs.value = 0;
    page.state.dataset.state = "ended";
    speak();
  }

  release() {
    this.microphone?.getTracks().forEach((track) => track.stop());
    this.connection?.close();
    this.context?.close();
    page.sound.srcObject = null;
  }
}

function waterfall(it) {
  const row = document.createElement("li");
  const bar = document.createElement("div");
  bar.className = "bar";
  for (const stage of it.stages) {
    const part = document.createElement("span");
    part.className = stage.name;
    part.style.width = `${stage.ms / 5}px`;
    part.title = `${text(stage.name)} ${stage.ms.toFixed(0)} ms`;
    bar.append(part);
  }
  const sum = document.createElement("span");
  sum.className = "sum";
  sum.textContent = `${it.total_ms.toFixed(0)} = ` + it.stages.map((s) => `${text(s.name)} ${s.ms.toFixed(0)}`).join(" + ");
  row.append(bar, sum);
  row.dataset.total = it.total_ms;
  page.waterfall.append(row);
  while (page.waterfall.children.length > SHOWN) page.waterfall.firstChild.remove();
}

async function post(url, body) {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
}

page.call.addEventListener("click", () => {
  if (current) return current.hangUp();
  trouble("");
  page.transcript.replaceChildren();
  page.waterfall.replaceChildren();
  current = new Call();
  show("connecting");
  speak();
  current.begin();
});
page.mute.addEventListener("click", () => current?.mute());
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
speak();
personas();
