// What hands do: keys held, the view dragged, pads touched.

const KEYS = {
  KeyW: "w", KeyA: "a", KeyS: "s", KeyD: "d", KeyQ: "q", KeyE: "e",
  KeyI: "i", KeyJ: "j", KeyK: "k", KeyL: "l",
  ArrowUp: "i", ArrowDown: "k", ArrowLeft: "j", ArrowRight: "l",
};
const DEGREES_A_PIXEL = 0.15;

class Input {
  constructor(canvas, onKeys, onLook) {
    this.held = new Map();
    this.onKeys = onKeys;
    this.onLook = onLook;
    this.turned = { yaw: 0, pitch: 0 };
    addEventListener("keydown", (event) => this.key(event, true));
    addEventListener("keyup", (event) => this.key(event, false));
    addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => this.releaseAll());
    this.drag(canvas);
    document.querySelectorAll(".pad button").forEach((button) => this.pad(button));
    setInterval(() => this.flush(), 80);
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

  key(event, down) {
    const letter = KEYS[event.code];
    const writing = event.target instanceof HTMLInputElement;
    if (!letter || (down && (writing || event.ctrlKey || event.metaKey || event.altKey))) return;
    if (!writing) event.preventDefault();
    if (!event.repeat) this.press(event.code, down ? letter : null);
  }

  pad(button) {
    const name = `pad ${button.dataset.key}`;
    const end = () => { button.classList.remove("held"); this.press(name, null); };
    button.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      button.setPointerCapture(event.pointerId);
      button.classList.add("held");
      this.press(name, button.dataset.key);
    });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) button.addEventListener(kind, end);
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("click", (event) => event.preventDefault());
  }

  drag(canvas) {
    let last = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.focus();
      canvas.setPointerCapture(event.pointerId);
      last = event;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!last || last.pointerId !== event.pointerId) return;
      this.turned.yaw += (event.clientX - last.clientX) * DEGREES_A_PIXEL;
      this.turned.pitch -= (event.clientY - last.clientY) * DEGREES_A_PIXEL;
      last = event;
    });
    for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, () => { last = null; });
  }

  flush() {
    const { yaw, pitch } = this.turned;
    if (!yaw && !pitch) return;
    this.turned = { yaw: 0, pitch: 0 };
    this.onLook({ yaw, pitch });
  }
}
