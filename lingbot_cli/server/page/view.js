// View: size of the picture, figures, held keys, path from above, controls that fade.

const element = (id) => document.getElementById(id);
const SMALL_WIDTH = 400; // narrower frames are enlarged by whole numbers of screen pixels
const FADE_AFTER_MS = 3000;
const MAX_PATH_POINTS = 2000; // of a longer path every other point is drawn

function setState(name, text) {
  document.body.dataset.state = name;
  if (text !== undefined) element("status").textContent = text;
}

function showMessage(text) {
  element("message").textContent = text || "";
  element("message").hidden = !text;
}

// Fits the canvas into the stage; on a narrow screen the stage is as high as the picture.
function fitScreen() {
  const screen = element("screen"), stage = element("stage"), density = devicePixelRatio || 1;
  const narrow = matchMedia("(max-width: 640px)").matches, landscape = narrow && innerHeight < innerWidth;
  const room = { width: stage.clientWidth - (narrow ? 0 : 128), height: narrow ? (landscape ? innerHeight : innerHeight * 0.5) : stage.clientHeight };
  let scale = Math.min(room.width / screen.width, room.height / screen.height);
  if (screen.width < SMALL_WIDTH && scale * density >= 2) scale = Math.floor(scale * density) / density;
  screen.style.width = `${screen.width * scale}px`;
  screen.style.height = `${screen.height * scale}px`;
}

function showFigures({ fps, latency, seconds, chunk }) {
  element("figures").hidden = false;
  element("fps").textContent = fps.toFixed(1);
  element("latency").textContent = latency === null ? "–" : `${(latency / 1000).toFixed(2)} s`;
  element("walked").textContent = `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;
  element("chunk").textContent = `walked · chunk ${chunk}`;
}

function showHeld(letters) {
  for (const light of document.querySelectorAll("[data-light], [data-key]")) {
    light.classList.toggle("held", letters.includes(light.dataset.light || light.dataset.key));
  }
}

// Blurred copy of the picture behind it.
function drawGlow() {
  const glow = element("glow").getContext("2d", { alpha: false });
  glow.drawImage(element("screen"), 0, 0, glow.canvas.width, glow.canvas.height);
}

class PathMap {
  constructor(canvas) {
    this.canvas = canvas;
    this.clear();
  }

  clear() {
    this.points = [];
    this.canvas.getContext("2d").clearRect(0, 0, this.canvas.width, this.canvas.height);
  }

  // Adds a camera-to-world pose of 16 numbers: x to the right, z ahead.
  add(pose) {
    if (this.points.length >= MAX_PATH_POINTS) this.points = this.points.filter((_, index) => index % 2 === 0);
    this.points.push([pose[3], -pose[11]]);
    const { canvas, points } = this, context = canvas.getContext("2d"), { width, height } = canvas;
    const colour = getComputedStyle(document.body).getPropertyValue("--accent");
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const middle = [xs, ys].map((values) => (Math.min(...values) + Math.max(...values)) / 2);
    const span = Math.max(1, ...[xs, ys].map((values) => Math.max(...values) - Math.min(...values)));
    const at = ([x, y]) => [width / 2 + ((x - middle[0]) * width * 0.72) / span, height / 2 + ((y - middle[1]) * height * 0.72) / span];
    context.clearRect(0, 0, width, height);
    context.strokeStyle = context.fillStyle = colour;
    context.lineWidth = 5;
    context.lineJoin = context.lineCap = "round";
    context.beginPath();
    for (const point of points) context.lineTo(...at(point));
    context.stroke();
    context.translate(...at(points[points.length - 1]));
    context.rotate(Math.atan2(pose[2], pose[10]));
    context.beginPath();
    for (const corner of [[0, -20], [13, 14], [0, 7], [-13, 14]]) context.lineTo(...corner);
    context.fill();
    context.resetTransform();
  }
}

// Controls fade while nothing is pressed or moved, and return at once.
function fadeControls() {
  let timer = null;
  const wake = () => {
    document.body.classList.remove("idle");
    clearTimeout(timer);
    timer = setTimeout(() => document.body.classList.add("idle"), FADE_AFTER_MS);
  };
  for (const kind of ["pointermove", "pointerdown", "keydown", "focusin"]) addEventListener(kind, wake);
  wake();
}
