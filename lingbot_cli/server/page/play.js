// Page: one WebSocket to the server, events out, frames and session state in.

const pageData = JSON.parse(document.getElementById("page-data").textContent);
const element = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token") || "";
const player = new FramePlayer(element("screen"));
const quality = new AdaptiveQuality();
const watchOnly = pageData.mode === "watch";
const sentAt = new Map(); // of events by id
const RECONNECT_TIMEOUT_S = 30; // at least the grace time of the session
const HEARTBEAT_INTERVAL_MS = 30000;
let socket = null, eventId = 0, session = null, firstImage = null, latency = null;
let arrivalStart = 0, attempts = 0, disconnectedAt = null;
document.body.dataset.mode = pageData.mode;

// Percent-encodes characters that a WebSocket subprotocol must not have.
const encodeToken = (text) => encodeURIComponent(text).replace(/[()]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);

function setState(name, text) {
  document.body.dataset.state = name;
  if (text !== undefined) element("status").textContent = text;
}

function showMessage(text) {
  element("message").textContent = text || "";
  element("message").hidden = !text;
}

function sendEvent(kind, payload) {
  if (!socket || socket.readyState !== WebSocket.OPEN || watchOnly) return;
  eventId += 1;
  sentAt.set(eventId, performance.now());
  socket.send(pack({ type: "event", kind, payload, event_id: eventId }));
}

function seed() {
  const value = Number(element("seed").value);
  return Number.isSafeInteger(value) && value >= 0 ? value : 42;
}

function initMessage() {
  const message = {
    type: "init", prompt: element("prompt").value, seed: seed(),
    realtime_output_format: "jpeg", realtime_output_pacing: true, camera: {},
    output_compression: quality.options(1).quality,
  };
  const key = sessionStorage.getItem("resume");
  if (key) message.resume = key;
  else if (firstImage) message.first_frame = firstImage;
  return message;
}

function connect() {
  if (!pageData.model?.picture && !firstImage && !sessionStorage.getItem("resume") && !watchOnly) {
    element("image-form").hidden = false;
    setState("choosing", "choose a first image");
    return;
  }
  element("image-form").hidden = true;
  setState("connecting", "connecting …");
  const address = new URL(pageData.route, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(address, ["lingbot", `token.${encodeToken(token)}`]);
  socket.binaryType = "arraybuffer";
  pendingHeader = null;
  socket.onopen = () => { if (!watchOnly) socket.send(pack(initMessage())); };
  socket.onmessage = (event) => receive(event.data);
  socket.onclose = (event) => handleClose(event);
}

function handleClose(event) {
  socket = null;
  const sessionEnded = event.code === 4404;
  if (sessionEnded) sessionStorage.removeItem("resume");
  if (event.code === 4409) { setState("ended", "this session is played in another tab"); return; }
  const closedByServer = event.code === 1000 || event.code === 1008 || event.code === 1011;
  if (closedByServer && !sessionEnded) {
    sessionStorage.removeItem("resume");
    setState("ended", watchOnly ? "the video has ended" : "ended; restart to play again");
    if (event.reason) showMessage(event.reason);
    return;
  }
  disconnectedAt ??= performance.now();
  // A limit, because in Firefox a page that reconnects can block other pages of the same address.
  if (performance.now() - disconnectedAt > 1000 * Math.max(RECONNECT_TIMEOUT_S, session ? session.grace : 0)) {
    disconnectedAt = null;
    setState("ended", "cannot reach the server; restart to try again");
    return;
  }
  attempts += 1;
  setState("reconnecting", "connection lost; reconnecting …");
  setTimeout(connect, sessionEnded ? 0 : Math.min(5000, 250 * 2 ** attempts));
}

const handlers = {
  queue: (message) => setState("waiting", `waiting: position ${message.position} in the queue`),
  error: (message) => showMessage(message.content),
  session: (message) => {
    session = message;
    sessionStorage.setItem("resume", message.resume);
    player.fps = message.fps;
    if (message.state === "started" || message.state === "reset") {
      element("seed").value = message.seed;
      if (!element("prompt").value) element("prompt").value = message.prompt;
    }
    if (message.state === "reset") player.clear();
    if (message.state !== "ended") {
      const paused = message.paused;
      element("pause").setAttribute("aria-pressed", String(paused));
      element("pause").textContent = paused ? "resume" : "pause";
      setState(paused ? "paused" : "playing", paused ? "paused" : "rendering the first chunk …");
      showMessage("");
    }
  },
  frame_batch: (message) => {
    if (message.frame_batch_index === 0) arrivalStart = performance.now();
    if (watchOnly) player.fps = message.fps || player.fps;
    player.add(message);
  },
  chunk_stats: (message) => {
    const pose = message.pose;
    document.body.dataset.chunk = message.chunk_index;
    document.body.dataset.applied = message.event_ids.join(" ");
    document.body.dataset.prompt = message.prompt;
    // In degrees, right and up positive.
    document.body.dataset.yaw = (Math.atan2(pose[2], pose[10]) * 180 / Math.PI).toFixed(3);
    document.body.dataset.pitch = (Math.atan2(-pose[6], Math.hypot(pose[2], pose[10])) * 180 / Math.PI).toFixed(3);
    document.body.dataset.position = [pose[3], pose[7], pose[11]].map((v) => v.toFixed(4)).join(" ");
    const duration = (1000 * message.num_frames) / player.fps;
    if (session && quality.update(performance.now() - arrivalStart, duration)) sendEvent("output", quality.options(session.width));
  },
};

let pendingHeader = null; // of a frame batch whose payload is the next message

function receive(data) {
  let message;
  if (pendingHeader) {
    message = { ...pendingHeader, type: "frame_batch", payload: new Uint8Array(data) };
    pendingHeader = null;
  } else {
    message = unpack(data);
    if (message.type === "frame_batch_header") { pendingHeader = message; return; }
  }
  attempts = 0;
  disconnectedAt = null;
  if (Object.hasOwn(handlers, message.type)) handlers[message.type](message);
}

player.onFrame = (batch, now) => {
  document.body.dataset.shown = player.shown;
  if (batch.event_id !== null && batch.event_id !== undefined && sentAt.has(batch.event_id)) {
    latency = now - sentAt.get(batch.event_id);
    for (const id of [...sentAt.keys()]) if (id <= batch.event_id) sentAt.delete(id);
  }
  if (document.body.dataset.state !== "playing" && !watchOnly) return;
  const parts = [`${player.rate().toFixed(1)} fps`];
  if (latency !== null) parts.push(`${Math.round(latency)} ms`);
  parts.push(`chunk ${batch.chunk_index}`);
  element("status").textContent = parts.join(" · ");
};

function restart() {
  showMessage("");
  if (socket && session) { sendEvent("reset", { seed: seed(), prompt: element("prompt").value }); return; }
  sessionStorage.removeItem("resume");
  if (!socket) connect();
}

element("bar").addEventListener("submit", (event) => {
  event.preventDefault();
  if (element("prompt").value.trim()) sendEvent("prompt", element("prompt").value);
  element("screen").focus();
});
element("restart").addEventListener("click", () => { restart(); element("screen").focus(); });
element("pause").addEventListener("click", () => {
  sendEvent(document.body.dataset.state === "paused" ? "resume" : "pause");
  element("screen").focus();
});
element("image-file").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  firstImage = new Uint8Array(await file.arrayBuffer());
  connect();
});
setInterval(() => { if (session) sendEvent("heartbeat"); }, HEARTBEAT_INTERVAL_MS);
if (!watchOnly) {
  element("prompt").value = pageData.model.prompt;
  element("seed").value = pageData.model.seed;
  new CameraInput(element("screen"),
    (keys) => sendEvent("camera_actions", { mode: "state", transitions: [{ actions: keys, client_ts_ms: Date.now() }] }),
    (turn) => sendEvent("turn", turn));
}
element("screen").focus();
connect();
