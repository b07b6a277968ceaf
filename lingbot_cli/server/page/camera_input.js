// Camera input: keys, dragging with the pointer, touch pads.

const KEY_LETTERS = {
  KeyW: "w", KeyA: "a", KeyS: "s", KeyD: "d", KeyQ: "q", KeyE: "e",
  KeyI: "i", KeyJ: "j", KeyK: "k", KeyL: "l",
  ArrowUp: "i", ArrowDown: "k", ArrowLeft: "j", ArrowRight: "l",
};
const DEGREES_PER_PIXEL = 0.15;
const TURN_INTERVAL_MS = 80;

class CameraInput {
  constructor(canvas, onKeys, onTurn) {
    this.held = new Map();
    this.onKeys = onKeys;
    this.onTurn = onTurn;
    this.pendingTurn = { yaw: 0, pitch: 0 };
    addEventListener("keydown", (event) => this.handleKey(event, true));
    addEventListener("keyup", (event) => this.handleKey(event, false));
    addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => this.releaseAll());
    this.listenToDrag(canvas);
    document.querySelectorAll(".pad button").forEach((button) => this.listenToPad(button));
    setInterval(() => this.flush(), TURN_INTERVAL_MS);
  }

  letters() {
    return [...new Set(this.held.values())].sort();
  }

  press(source, letter) {
    const before = this.letters().join("");
    if (letter) this.held.set(source, letter);
    else this.held.delete(source);
    if (this.letters().join("") !== before) this.onKeys(this.letters());
  }

  releaseAll() {
    if (!this.held.size) return;
    this.held.clear();
    this.onKeys([]);
  }

  handleKey(event, down) {
    const letter = KEY_LETTERS[event.code];
    const typing = event.target instanceof HTMLInputElement;
    if (!letter || (down && (typing || event.ctrlKey || event.metaKey || event.altKey))) return;
    if (!typing) event.preventDefault();
    if (!event.repeat) this.press(event.code, down ? letter : null);
  }

  listenToPad(button) {
    const source = `pad ${button.dataset.key}`;
    const release = () => { button.classList.remove("held"); this.press(source, null); };
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      button.setPointerCapture(event.pointerId);
      button.classList.add("held");
      this.press(source, button.dataset.key);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(kind, release);
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("click", (event) => event.preventDefault());
  }

  listenToDrag(canvas) {
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.focus();
      canvas.setPointerCapture(event.pointerId);
      last = event;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last || last.pointerId !== event.pointerId) return;
      this.pendingTurn.yaw += (event.clientX - last.clientX) * DEGREES_PER_PIXEL;
      this.pendingTurn.pitch -= (event.clientY - last.clientY) * DEGREES_PER_PIXEL;
      last = event;
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { last = null; });
  }

  flush() {
    const { yaw, pitch } = this.pendingTurn;
    if (!yaw && !pitch) return;
    this.pendingTurn = { yaw: 0, pitch: 0 };
    this.onTurn({ yaw, pitch });
  }
}
