// The page itself: one WebSocket, what it says and what comes back.

const facts = JSON.parse(document.getElementById("facts").textContent);
const find = (id) => document.getElementById(id);
const token = new URLSearchParams(location.search).get("token") || "";
const screen_ = new Screen(find("screen"));
const link = new Link();
const watching = facts.mode === "watch";
const said = new Map();
const PATIENCE = 30; // seconds a lost server is looked for, and no less than it keeps our world
let socket = null, number = 0, session = null, first = null, latency = null, arriving = 0, tries = 0, lost = null, picture = null;
document.body.dataset.mode = facts.mode;

// A token as a subprotocol can hold it.
const sayable = (text) => encodeURIComponent(text).replace(/[()]/g, (sign) => `%${sign.charCodeAt(0).toString(16)}`);

function state(name, text) {
  document.body.dataset.state = name;
  if (text !== undefined) find("line").textContent = text;
}

function word(text) {
  find("word").textContent = text || "";
  find("word").hidden = !text;
}

function tell(kind, payload) {
  if (!socket || socket.readyState !== WebSocket.OPEN || watching) return;
  number += 1;
  said.set(number, performance.now());
  socket.send(pack({ type: "event", kind, payload, event_id: number }));
}

function seed() {
  const value = Number(find("seed").value);
  return Number.isSafeInteger(value) && value >= 0 ? value : 42;
}

function init() {
  const message = {
    type: "init", prompt: find("prompt").value, seed: seed(),
    realtime_output_format: "jpeg", realtime_output_pacing: true, camera: {},
    output_compression: link.quality(1).quality,
  };
  const key = sessionStorage.getItem("resume");
  if (key) message.resume = key;
  else if (picture) message.first_frame = picture;
  return message;
}

function connect() {
  if (!facts.model?.picture && !picture && !sessionStorage.getItem("resume") && !watching) {
    find("begin").hidden = false;
    state("choosing", "choose a picture to begin");
    return;
  }
  find("begin").hidden = true;
  state("connecting", "connecting …");
  const address = new URL(facts.route, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  socket = new WebSocket(address, ["lingbot", `token.${sayable(token)}`]);
  socket.binaryType = "arraybuffer";
  socket.onopen = () => { if (!watching) socket.send(pack(init())); };
  socket.onmessage = (event) => hear(unpack(event.data));
  socket.onclose = (event) => closed(event);
}

function closed(event) {
  socket = null;
  const gone = event.code === 4404;
  if (gone) sessionStorage.removeItem("resume");
  if (event.code === 4409) { state("ended", "this world is played in another tab"); return; }
  const over = event.code === 1000 || event.code === 1008 || event.code === 1011;
  if (over && !gone) {
    sessionStorage.removeItem("resume");
    state("ended", watching ? "the film is over" : "over: restart begins anew");
    if (event.reason) word(event.reason);
    return;
  }
  lost ??= performance.now();
  // Not for ever: Firefox lets a page that still tries hold up every other page on the same address.
  if (performance.now() - lost > 1000 * Math.max(PATIENCE, session ? session.grace : 0)) {
    lost = null;
    state("ended", "the server is gone: restart looks for it again");
    return;
  }
  tries += 1;
  state("reconnecting", "the connection is lost; trying again …");
  setTimeout(connect, gone ? 0 : Math.min(5000, 250 * 2 ** tries));
}

const hearing = {
  queue: (message) => state("waiting", `someone else plays; place ${message.position} in line`),
  error: (message) => word(message.content),
  session: (message) => {
    session = message;
    sessionStorage.setItem("resume", message.resume);
    screen_.fps = message.fps;
    if (message.state === "started" || message.state === "reset") {
      find("seed").value = message.seed;
      if (!find("prompt").value) find("prompt").value = message.prompt;
    }
    if (message.state === "reset") screen_.clear();
    if (message.state !== "ended") {
      const paused = message.paused;
      find("pause").setAttribute("aria-pressed", String(paused));
      find("pause").textContent = paused ? "go on" : "pause";
      state(paused ? "paused" : "playing", paused ? "paused" : "the first chunk is being made …");
      word("");
    }
  },
  frame_batch: (message) => {
    if (message.frame_batch_index === 0) arriving = performance.now();
    if (watching) screen_.fps = message.fps || screen_.fps;
    screen_.take(message);
  },
  chunk_stats: (message) => {
    const pose = message.pose;
    document.body.dataset.chunk = message.chunk_index;
    document.body.dataset.applied = message.event_ids.join(" ");
    document.body.dataset.prompt = message.prompt;
    // Heading and height of the view in degrees, right and up positive.
    document.body.dataset.yaw = (Math.atan2(pose[2], pose[10]) * 180 / Math.PI).toFixed(3);
    document.body.dataset.pitch = (Math.atan2(-pose[6], Math.hypot(pose[2], pose[10])) * 180 / Math.PI).toFixed(3);
    document.body.dataset.position = [pose[3], pose[7], pose[11]].map((v) => v.toFixed(4)).join(" ");
    const lasts = (1000 * message.num_frames) / screen_.fps;
    if (session && link.note(performance.now() - arriving, lasts)) tell("output", link.quality(session.width));
  },
};

function hear(message) {
  tries = 0;
  lost = null;
  const known = hearing[message.type];
  if (known) known(message);
}

screen_.onShow = (batch, now) => {
  document.body.dataset.shown = screen_.shown;
  if (batch.event_id !== null && batch.event_id !== undefined && said.has(batch.event_id)) {
    latency = now - said.get(batch.event_id);
    for (const id of [...said.keys()]) if (id <= batch.event_id) said.delete(id);
  }
  if (document.body.dataset.state !== "playing" && !watching) return;
  const parts = [`${screen_.rate().toFixed(1)} fps`];
  if (latency !== null) parts.push(`${Math.round(latency)} ms`);
  parts.push(`chunk ${batch.chunk_index}`);
  find("line").textContent = parts.join(" · ");
};

function restart() {
  word("");
  if (socket && session) { tell("reset", { seed: seed(), prompt: find("prompt").value }); return; }
  sessionStorage.removeItem("resume");
  if (!socket) connect();
}

find("bar").addEventListener("submit", (event) => {
  event.preventDefault();
  if (find("prompt").value.trim()) tell("prompt", find("prompt").value);
  find("screen").focus();
});
find("restart").addEventListener("click", () => { restart(); find("screen").focus(); });
find("pause").addEventListener("click", () => {
  tell(document.body.dataset.state === "paused" ? "resume" : "pause");
  find("screen").focus();
});
find("picture").addEventListener("change", async (event) => {
  const [file] = event.target.files;
  if (!file) return;
  picture = new Uint8Array(await file.arrayBuffer());
  connect();
});
setInterval(() => { if (session) tell("heartbeat"); }, 30000);
if (!watching) {
  find("prompt").value = facts.model.prompt;
  find("seed").value = facts.model.seed;
  new Input(find("screen"),
    (letters) => tell("camera_actions", { mode: "state", transitions: [{ actions: letters, client_ts_ms: Date.now() }] }),
    (turn) => tell("turn", turn));
}
find("screen").focus();
connect();
