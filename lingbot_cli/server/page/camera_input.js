// Camera input: keys, dragging with the pointer, touch pads, gamepad.

const KEY_LETTERS = {
  KeyW: "w", KeyA: "a", KeyS: "s", KeyD: "d", KeyQ: "q", KeyE: "e",
  KeyI: "i", KeyJ: "j", KeyK: "k", KeyL: "l",
  ArrowUp: "i", ArrowDown: "k", ArrowLeft: "j", ArrowRight: "l",
};
const DEGREES_PER_PIXEL = 0.15;
const TURN_INTERVAL_MS = 80;
const GAMEPAD_TURN_DEGREES = 2.5; // in one interval, about the speed of the keys
const DEAD_ZONE = 0.25;
const CLICK_HOLD_MS = 450; // of a pad button that is clicked by keyboard or screen reader
const isTyping = (event) => event.target.matches?.("input, select, textarea");

// Letters of a direction; `keys` are those of up, left, down, right. Diagonals hold two.
function directionLetters(x, y, keys) {
  const length = Math.hypot(x, y);
  if (length < DEAD_ZONE) return "";
  const [up, left, down, right] = keys, limit = Math.sin(Math.PI / 8) * length;
  return (y < -limit ? up : y > limit ? down : "") + (x < -limit ? left : x > limit ? right : "");
}

class CameraInput {
  constructor(canvas, { onKeys, onTurn, onGamepad }) {
    this.held = new Map(); // letters by their source
    Object.assign(this, { onKeys, onTurn, onGamepad });
    this.pendingTurn = { yaw: 0, pitch: 0 };
    this.gamepadPressed = new Set();
    addEventListener("keydown", (event) => this.handleKey(event, true));
    addEventListener("keyup", (event) => this.handleKey(event, false));
    addEventListener("blur", () => this.releaseAll());
    document.addEventListener("visibilitychange", () => this.releaseAll());
    this.listenToDrag(canvas);
    document.querySelectorAll("[data-ring]").forEach((ring) => this.listenToRing(ring));
    document.querySelectorAll("[data-key]").forEach((button) => this.listenToPad(button));
    setInterval(() => { this.readGamepad(); this.flush(); }, TURN_INTERVAL_MS);
  }

  letters() {
    return [...new Set([...this.held.values()].join(""))].sort();
  }

  press(source, letters) {
    const before = this.letters().join("");
    if (letters) this.held.set(source, letters);
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
    if (!letter || (down && (isTyping(event) || event.ctrlKey || event.metaKey || event.altKey))) return;
    if (!isTyping(event)) event.preventDefault();
    if (!event.repeat) this.press(event.code, down ? letter : null);
  }

  listenToRing(ring) {
    const move = (event) => {
      const { x, y, width, height } = ring.getBoundingClientRect();
      const [up, left, down, right] = ring.dataset.ring;
      this.press(ring, directionLetters(2 * (event.clientX - x) / width - 1, 2 * (event.clientY - y) / height - 1, [up, left, down, right]));
    };
    this.listenToPointer(ring, move);
  }

  listenToPad(button) {
    if (!button.closest("[data-ring]")) this.listenToPointer(button, () => this.press(button, button.dataset.key));
    button.addEventListener("contextmenu", (event) => event.preventDefault());
    button.addEventListener("click", (event) => {
      if (event.detail) return; // of a pointer, which is handled already
      this.press(button, button.dataset.key);
      setTimeout(() => this.press(button, null), CLICK_HOLD_MS);
    });
  }

  listenToPointer(target, move) {
    target.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      target.setPointerCapture(event.pointerId);
      move(event);
    });
    target.addEventListener("pointermove", (event) => { if (target.hasPointerCapture(event.pointerId)) move(event); });
    for (const kind of ["pointerup", "pointercancel", "lostpointercapture"]) target.addEventListener(kind, () => this.press(target, null));
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

  // Standard mapping: left stick walks, right stick looks, shoulder buttons move down and up.
  readGamepad() {
    const pad = [...(navigator.getGamepads?.() ?? [])].find((each) => each?.mapping === "standard");
    if (!pad) { this.press("gamepad", null); return; }
    const down = (number) => pad.buttons[number]?.pressed;
    const [x, y, turn, tilt] = pad.axes;
    this.press("gamepad", directionLetters(x, y, "wasd") + (down(4) ? "q" : "") + (down(5) ? "e" : ""));
    if (Math.hypot(turn, tilt) > DEAD_ZONE) {
      this.pendingTurn.yaw += turn * GAMEPAD_TURN_DEGREES;
      this.pendingTurn.pitch -= tilt * GAMEPAD_TURN_DEGREES;
    }
    const pressed = new Set([...pad.buttons.keys()].filter(down));
    this.onGamepad(pad.id, [...pressed].filter((number) => !this.gamepadPressed.has(number)));
    this.gamepadPressed = pressed;
  }

  flush() {
    const { yaw, pitch } = this.pendingTurn;
    if (!yaw && !pitch) return;
    this.pendingTurn = { yaw: 0, pitch: 0 };
    this.onTurn({ yaw, pitch });
  }
}
