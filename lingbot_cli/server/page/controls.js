// Controls: toolbar and its keys, prompts and suggestions, settings; then the page starts.

const model = pageData.model || {};
const recorder = new VideoRecorder(element("screen"));
const start = new StartScreen(pageData, token, (bytes, prompt) => {
  firstImage = bytes;
  if (prompt !== undefined) element("prompt").value = prompt;
  startAgain();
});

function applyPrompt(text) {
  if (!text.trim()) return;
  setPendingPrompt(sendEvent("prompt", text));
  if (pendingPrompt === null) showMessage("not connected; the prompt was not sent");
  element("screen").focus();
}

function setPendingPrompt(id) {
  pendingPrompt = id;
  element("prompt-state").textContent = id === null ? "" : "pending";
}

// Shows the prompt of the chunk that has arrived, and whether the last one that was sent is in it.
function markPrompt(prompt, eventIds) {
  if (pendingPrompt !== null && eventIds.includes(pendingPrompt)) {
    setPendingPrompt(null);
    element("prompt-state").textContent = "applied";
  }
  for (const button of element("suggestions").children) button.ariaPressed = String(button.dataset.prompt === prompt);
}

for (const suggestion of pageData.scenes || []) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.prompt = suggestion.prompt;
  button.ariaPressed = "false";
  button.title = suggestion.prompt;
  if (suggestion.picture) {
    const picture = document.createElement("img");
    picture.src = suggestion.picture;
    picture.alt = "";
    button.append(picture);
  }
  button.append(suggestion.label);
  button.addEventListener("click", () => {
    element("prompt").value = suggestion.prompt;
    applyPrompt(suggestion.prompt);
  });
  element("suggestions").append(button);
}

function restart() {
  showMessage("");
  const sameCamera = element("speed").value === element("speed").dataset.used;
  if (socket && session && sameCamera) { sendEvent("reset", { seed: seed(), prompt: element("prompt").value }); return; }
  startAgain();
}

function saveWalk() {
  onTimeline = (text) => {
    onTimeline = null;
    saveFile(new Blob([text], { type: "application/jsonl" }), "walk.jsonl");
    showMessage("saved walk.jsonl; render it with: lingbot render IMAGE --timeline walk.jsonl");
  };
  if (sendEvent("timeline") === null) showMessage("not connected; the walk cannot be saved");
}

function toggleVideo() {
  if (recorder.active) recorder.stop();
  else if (!recorder.start(player.fps)) showMessage("this browser cannot record video; save the walk and render it");
  element("save-video").ariaPressed = String(recorder.active);
  element("save-video").ariaLabel = recorder.active ? "Stop recording and save the video" : "Record the video";
}

function toggleMore(open = element("more").hidden) {
  element("more").hidden = !open;
  element("more-button").ariaExpanded = String(open);
  (open ? element("seed") : element("screen")).focus();
}

const tools = {
  pause: { key: "Space", act: () => sendEvent(document.body.dataset.state === "paused" ? "resume" : "pause") },
  restart: { key: "KeyR", act: restart },
  "save-image": { key: "KeyP", act: () => saveFrame(element("screen"), `lingbot-${document.body.dataset.shown ?? 0}.png`) },
  "save-walk": { key: "KeyT", act: saveWalk },
  "save-video": { key: "KeyV", act: toggleVideo },
  fullscreen: { key: "KeyF", act: () => (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen?.()) },
  "more-button": { key: "KeyM", act: () => toggleMore() },
};
const GAMEPAD_TOOLS = { 9: "pause", 8: "restart", 3: "save-image" };

for (const [id, { act }] of Object.entries(tools)) {
  element(id).addEventListener("click", (event) => {
    act();
    if (event.detail && id !== "more-button") element("screen").focus(); // a pointer's click leaves the keys to the camera
  });
}
addEventListener("keydown", (event) => {
  if (event.code === "Escape" && !element("more").hidden) { toggleMore(false); return; }
  if (watchOnly || isTyping(event) || event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  if (!element("start").hidden || (event.code === "Space" && event.target.matches("button"))) return;
  const found = Object.values(tools).find(({ key }) => key === event.code);
  if (!found) return;
  event.preventDefault();
  found.act();
});

player.onFrame = (batch, now) => {
  document.body.dataset.shown = player.shown;
  if (player.shown === 1 || player.resized) { player.resized = false; fitScreen(); }
  if (player.shown % 4 === 1) drawGlow();
  recorder.addFrame();
  if (batch.event_id !== null && batch.event_id !== undefined && sentAt.has(batch.event_id)) {
    latency = now - sentAt.get(batch.event_id);
    for (const id of [...sentAt.keys()]) if (id <= batch.event_id) sentAt.delete(id);
  }
  if (document.body.dataset.state === "starting" || watchOnly) setState("playing", watchOnly ? "preview of the render" : `live · ${model.id}`);
  showFigures({ fps: player.rate(), latency, seconds: player.shown / player.fps, chunk: batch.chunk_index });
};

element("bar").addEventListener("submit", (event) => {
  event.preventDefault();
  applyPrompt(element("prompt").value);
});
element("prompt").addEventListener("input", () => { element("prompt-state").textContent = ""; });
element("other-image").addEventListener("click", () => { toggleMore(false); start.open(true); });
element("quality").addEventListener("change", () => {
  if (element("quality").value === "full" && session) sendEvent("output", quality.full(session.width));
});
element("scaling").addEventListener("change", () => { document.body.dataset.scaling = element("scaling").value; });
new ResizeObserver(fitScreen).observe(element("stage"));
setInterval(() => { if (session) sendEvent("heartbeat"); }, HEARTBEAT_INTERVAL_MS);
if (!watchOnly) {
  element("prompt").value = model.prompt;
  element("seed").value = model.seed;
  new CameraInput(element("screen"), {
    onKeys: (keys) => {
      showHeld(keys);
      sendEvent("camera_actions", { mode: "state", transitions: [{ actions: keys, client_ts_ms: Date.now() }] });
    },
    onTurn: (turn) => sendEvent("turn", turn),
    onGamepad: (name, pressed) => {
      element("gamepad").textContent = `Gamepad: ${name}`;
      if (element("start").hidden) for (const number of pressed) tools[GAMEPAD_TOOLS[number]]?.act();
    },
  });
}
fadeControls();
element("screen").focus();
connect();
