// Page: one WebSocket to the server, events out, frames and session state in.

const pageData = JSON.parse(element("page-data").textContent);
const token = new URLSearchParams(location.search).get("token") || "";
const player = new FramePlayer(element("screen"));
const quality = new AdaptiveQuality();
const pathMap = new PathMap(element("map"));
const watchOnly = pageData.mode === "watch";
const sentAt = new Map(); // of events by id
const RECONNECT_TIMEOUT_S = 30; // at least the grace time of the session
const HEARTBEAT_INTERVAL_MS = 30000;
let socket = null, eventId = 0, session = null, firstImage = null, latency = null;
let arrivalStart = 0, attempts = 0, disconnectedAt = null, pendingPrompt = null, onTimeline = null;
document.body.dataset.mode = pageData.mode;

// Percent-encodes characters that a WebSocket subprotocol must not have.
const encodeToken = (text) => encodeURIComponent(text).replace(/[()]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);

// Returns the event's id, null without a connection.
function sendEvent(kind, payload) {
  if (!socket || socket.readyState !== WebSocket.OPEN || watchOnly) return null;
  eventId += 1;
  sentAt.set(eventId, performance.now());
  socket.send(pack({ type: "event", kind, payload, event_id: eventId }));
  return eventId;
}

function seed() {
  const value = Number(element("seed").value);
  return Number.isSafeInteger(value) && value >= 0 ? value : 42;
}

function cameraSettings() {
  const factor = Number(element("speed").value);
  return factor === 1 ? {} : { speed: pageData.walk_speed * factor };
}

function initMessage() {
  const message = {
    type: "init", prompt: element("prompt").value, seed: seed(),
    realtime_output_format: "jpeg", realtime_output_pacing: true, camera: cameraSettings(),
    output_compression: quality.options(1).quality,
  };
  const key = sessionStorage.getItem("resume");
  const speed = element("speed");
  if (key) {
    message.resume = key;
    speed.dataset.used ??= speed.value;
    return message;
  }
  speed.dataset.used = speed.value;
  if (firstImage) message.first_frame = firstImage;
  return message;
}

function connect() {
  if (!pageData.model?.picture && !firstImage && !sessionStorage.getItem("resume") && !watchOnly) {
    start.open(false);
    setState("choosing", "choose a first image");
    return;
  }
  setState("connecting", "connecting …");
  const address = new URL(pageData.route, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const [server, , signature] = (sessionStorage.getItem("resume") ?? "").split(".");
  if (server && signature) address.searchParams.set("server", server); // for a balancer
  const opened = socket = new WebSocket(address, ["lingbot", `token.${encodeToken(token)}`]);
  socket.binaryType = "arraybuffer";
  pendingHeader = null;
  socket.onopen = () => { if (!watchOnly) socket.send(pack(initMessage())); };
  socket.onmessage = (event) => { if (opened === socket) receive(event.data); };
  socket.onclose = (event) => { if (opened === socket) handleClose(event); };
}

// Leaves the session for a new one: another first image, or another camera.
function startAgain() {
  sendEvent("stop");
  socket?.close();
  socket = session = null;
  sessionStorage.removeItem("resume");
  attempts = 0;
  disconnectedAt = null;
  forgetFrames();
  showMessage("");
  connect();
}

function forgetFrames() {
  player.clear();
  pathMap.clear();
  sentAt.clear();
  latency = null;
  setPendingPrompt(null);
}

function handleClose(event) {
  socket = null;
  const sessionEnded = event.code === 4404 || event.code === 4421; // or its server
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
  setTimeout(() => { if (!socket) connect(); }, sessionEnded ? 0 : Math.min(5000, 250 * 2 ** attempts));
}

const handlers = {
  queue: (message) => setState("waiting", `waiting: position ${message.position} in the queue; ${message.reason}`),
  error: (message) => {
    if (message.code === "prompt_failed") setPendingPrompt(null);
    showMessage(message.content);
  },
  timeline: (message) => onTimeline?.(message.content),
  session: (message) => {
    session = message;
    sessionStorage.setItem("resume", message.resume);
    player.fps = message.fps;
    if (message.state === "started" || message.state === "reset") {
      element("seed").value = message.seed;
      if (!element("prompt").value) element("prompt").value = message.prompt;
    }
    if (message.state === "reset") forgetFrames();
    if (message.state !== "ended") {
      const paused = message.paused;
      element("pause").setAttribute("aria-pressed", String(paused));
      element("pause").ariaLabel = paused ? "Resume" : "Pause";
      setState(paused ? "paused" : "starting", paused ? "paused" : "rendering the first chunk …");
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
    pathMap.add(pose);
    markPrompt(message.prompt, message.event_ids);
    const duration = (1000 * message.num_frames) / player.fps;
    if (!session || element("quality").value === "full") return;
    if (quality.update(performance.now() - arrivalStart, duration)) sendEvent("output", quality.options(session.width));
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
