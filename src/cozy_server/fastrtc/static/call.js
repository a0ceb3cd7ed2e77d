// A call in FastRTC's protocol: one POST with the offer, candidates to the same URL, a data channel for words.
// What is beyond that comes in messages {"type": "cozy", "data": {...}}. A connection that is lost is made anew, and the call
// goes on with it.

const OFFER = "/webrtc/offer";
const LOST_MS = 4_000;  // so long a connection may come back by itself
const GRACE_MS = 20_000;  // so long the server keeps a call without one, unless voice.reconnect_s says otherwise
const AGAIN_MS = 1_500;
const CONNECT_MS = 15_000;
const HANG_UP_MS = 300;

/** Why there is no call: `key` of a text, and what is to stand behind it. */
export class Refusal extends Error {
  constructor(key, detail = "") {
    super(key);
    this.key = key;
    this.detail = detail;
  }
}

/** `told` gets the server's events; `states` are connecting, reconnecting and regained; `ended` comes once, with a refusal or
 *  nothing. */
export class Call {
  constructor(persona, { told, state, sound, ended }) {
    this.persona = persona;
    this.on = { told, state, sound, ended };
    this.over = false;
    this.active = false;
    this.stale = [];
  }

  async begin() {
    try {
      this.microphone = await microphone();
      if (this.over) return this.release();
      await this.connect();
    } catch (error) {
      this.end(error instanceof Refusal ? error : new Refusal("unreachable"));
    }
  }

  async connect() {
    const { iceServers = [] } = await post("/gradio_api/component_server", { fn_name: "turn", data: [] });
    if (this.over) return;
    const id = crypto.randomUUID();
    const connection = new RTCPeerConnection({ iceServers });
    this.connection = connection;
    connection.onicecandidate = ({ candidate }) => {
      if (!candidate) return;
      post(OFFER, { candidate: candidate.toJSON(), webrtc_id: id, type: "ice-candidate" }).catch(() => {});
    };
    connection.onconnectionstatechange = () => this.changed(connection);
    connection.ontrack = ({ streams, track }) => this.on.sound(streams[0] ?? new MediaStream([track]));
    for (const track of this.microphone.getTracks()) connection.addTrack(track, this.microphone);
    const channel = connection.createDataChannel("text");
    this.channel = channel;
    channel.onmessage = ({ data }) => this.told(JSON.parse(data));
    await connection.setLocalDescription();
    const cozy = { persona: this.persona, timezone: Intl.DateTimeFormat().resolvedOptions().timeZone };
    if (this.id) cozy.call = this.id;
    const answer = await post(OFFER, { sdp: connection.localDescription.sdp, type: "offer", webrtc_id: id, cozy });
    if (this.over || this.connection !== connection) return connection.close();
    this.id = answer.cozy?.call_id;
    this.session = answer.cozy?.session_id ?? "";
    this.drop();
    await connection.setRemoteDescription({ type: "answer", sdp: answer.sdp });
    this.waiting = setTimeout(() => {
      if (this.connection === connection && connection.connectionState !== "connected") this.broken(new Refusal("blocked"));
    }, CONNECT_MS);
  }

  changed(connection) {
    if (this.connection !== connection || this.over) return;
    clearTimeout(this.patience);
    switch (connection.connectionState) {
      case "connected":
        clearTimeout(this.waiting);
        if (this.lostAt) this.on.state("regained");
        this.lostAt = 0;
        break;
      case "disconnected":
        this.on.state("reconnecting");
        this.lostAt ||= Date.now();
        this.patience = setTimeout(() => this.broken(new Refusal("lost")), LOST_MS);
        break;
      case "failed":
      case "closed":
        this.broken(new Refusal(this.active ? "lost" : "blocked"));
        break;
    }
  }

  /** Another connection for the same call, as long as the server waits for one. */
  async broken(refusal) {
    if (this.over) return;
    this.lostAt ||= Date.now();
    this.on.state("reconnecting");
    clearTimeout(this.waiting);
    if (this.connection) this.stale.push(this.connection);  // closed now, it would say that we hang up
    this.connection = null;
    if (!this.active || Date.now() - this.lostAt > GRACE_MS) return this.end(refusal);
    try {
      await this.connect();
    } catch (error) {
      if (error instanceof Refusal && error.key === "refused") return this.end(refusal);  // it waits no longer
      this.patience = setTimeout(() => this.broken(refusal), AGAIN_MS);
    }
  }

  told(message) {
    if (message.type === "warning" || message.type === "error") this.on.told({ type: message.type, text: message.message });
    if (message.type !== "cozy") return;
    if (message.data.type === "session.active") this.active = true;
    this.on.told(message.data);
    if (message.data.type === "session.closed") this.end(because(message.data.reason));
  }

  order(data) {
    if (this.channel?.readyState === "open") this.channel.send(JSON.stringify({ type: "cozy", data }));
  }

  /** Whether it is muted now. */
  mute() {
    const [track] = this.microphone.getAudioTracks();
    track.enabled = !track.enabled;
    return !track.enabled;
  }

  hangUp() {
    this.order({ type: "client.hangup" });
    setTimeout(() => this.end(), HANG_UP_MS);  // the server closes; if not, we do
  }

  end(refusal) {
    if (this.over) return;
    this.over = true;
    this.release();
    this.on.ended(refusal);
  }

  release() {
    clearTimeout(this.patience);
    clearTimeout(this.waiting);
    this.microphone?.getTracks().forEach((track) => track.stop());
    this.connection?.close();
    this.drop();
  }

  drop() {
    for (const connection of this.stale.splice(0)) connection.close();
  }
}

/** Why it cannot even be tried, or nothing. */
export function unable() {
  if (!window.isSecureContext) return new Refusal("insecure");
  if (!window.RTCPeerConnection || !navigator.mediaDevices) return new Refusal("no_webrtc");
  return undefined;
}

async function microphone() {
  const audio = { echoCancellation: true, noiseSuppression: true, autoGainControl: true };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    const keys = { NotAllowedError: "refused", SecurityError: "refused", NotFoundError: "missing", OverconstrainedError: "missing" };
    throw new Refusal(`microphone_${keys[error.name] ?? "busy"}`);
  }
}

function because(reason) {
  if (reason === "hangup") return undefined;
  const known = { idle: "because_idle", time_limit: "because_time_limit", drained: "because_drained", cancelled: "because_drained",
    media_lost: "lost", connect_timeout: "blocked" };
  return new Refusal(known[reason] ?? "because_failed");  // all others are codes of errors
}

async function post(url, body) {
  let response, answer;
  try {
    response = await fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
    answer = await response.json();
  } catch {
    throw new Refusal("unreachable");
  }
  if (response.ok && answer.status !== "failed") return answer;
  const meta = answer.meta ?? {};
  if (meta.reason) throw new Refusal(meta.reason);
  if (meta.error === "concurrency_limit_reached") throw new Refusal("yours", meta.limit);
  if (meta.error === "server_overloaded" || meta.error === "server_shutdown") throw new Refusal(meta.error);
  if (response.status === 429) throw new Refusal("too_often", response.headers.get("retry-after") ?? "60");
  throw new Refusal("refused", [meta.message ?? meta.error ?? response.status, meta.hint].filter(Boolean).join(" "));
}
