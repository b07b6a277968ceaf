// Frames in, pictures out at their rate; and how well the link carries them.

class Screen {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.fps = 16;
    this.waiting = [];
    this.shown = 0;
    this.decoded = Promise.resolve();
    this.due = 0;
    this.times = [];
    this.onShow = () => {};
    const loop = (now) => { this.step(now); requestAnimationFrame(loop); };
    requestAnimationFrame(loop);
  }

  take(batch) {
    const pictures = [];
    let at = 0;
    for (const length of batch.payload_lengths) {
      const piece = batch.payload.slice(at, at + length);
      at += length;
      pictures.push(createImageBitmap(new Blob([piece], { type: batch.content_type })));
    }
    // Decoders may finish in any order; frames are queued in theirs.
    this.decoded = this.decoded.then(async () => {
      for (const picture of pictures) {
        try { this.waiting.push({ picture: await picture, batch }); } catch { /* one broken frame is left out */ }
      }
    });
  }

  clear() {
    this.decoded = this.decoded.then(() => { this.waiting.length = 0; });
  }

  step(now) {
    if (!this.waiting.length) return;
    if (now < this.due) return;
    // A page that was hidden, or a burst, is caught up with instead of played late.
    while (this.waiting.length > this.fps * 2) this.waiting.shift().picture.close();
    this.due = Math.max(this.due + 1000 / this.fps, now - 1000 / this.fps);
    const { picture, batch } = this.waiting.shift();
    if (this.canvas.width !== picture.width || this.canvas.height !== picture.height) {
      this.canvas.width = picture.width;
      this.canvas.height = picture.height;
    }
    this.context.drawImage(picture, 0, 0);
    picture.close();
    this.shown += 1;
    this.times.push(now);
    while (this.times.length > 2 && now - this.times[0] > 2000) this.times.shift();
    this.onShow(batch, now);
  }

  rate() {
    const span = this.times[this.times.length - 1] - this.times[0];
    return span > 0 ? (1000 * (this.times.length - 1)) / span : 0;
  }
}

// Steps down at once when a chunk takes longer to arrive than half its film, up again after calm.
class Link {
  constructor() {
    this.steps = [[1, 85], [0.75, 75], [0.5, 60], [0.35, 45]];
    this.step = 0;
    this.calm = 0;
  }

  quality(width) {
    const [share, quality] = this.steps[this.step];
    return { max_width: Math.min(width, Math.max(96, Math.round(width * share))), quality };
  }

  // Milliseconds a chunk took to arrive and lasts; true when frames should be sent otherwise from now on.
  note(arrived, lasts) {
    const load = arrived / Math.max(1, lasts);
    this.calm = load < 0.15 ? this.calm + 1 : 0;
    if (load > 0.5 && this.step < this.steps.length - 1) { this.step += 1; this.calm = 0; return true; }
    if (this.calm >= 12 && this.step > 0) { this.step -= 1; this.calm = 0; return true; }
    return false;
  }
}
