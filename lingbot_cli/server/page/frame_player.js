// Frame player: decodes frames and draws them at their rate. Adaptive quality: sizes them for the connection.

class FramePlayer {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { alpha: false });
    this.fps = 16;
    this.queue = [];
    this.shown = 0;
    this.decoding = Promise.resolve();
    this.nextFrameAt = 0;
    this.drawnAt = [];
    this.onFrame = () => {};
    const loop = (now) => { this.draw(now); requestAnimationFrame(loop); };
    requestAnimationFrame(loop);
  }

  add(batch) {
    const images = [];
    let at = 0;
    for (const length of batch.payload_lengths) {
      const data = batch.payload.slice(at, at + length);
      at += length;
      images.push(createImageBitmap(new Blob([data], { type: batch.content_type })));
    }
    // Decoding may finish in any order; frames are queued in theirs.
    this.decoding = this.decoding.then(async () => {
      for (const image of images) {
        try { this.queue.push({ image: await image, batch }); } catch { /* skip a frame that cannot be decoded */ }
      }
    });
  }

  clear() {
    this.shown = 0;
    this.decoding = this.decoding.then(() => { this.queue.length = 0; });
  }

  draw(now) {
    if (!this.queue.length) return;
    if (now < this.nextFrameAt) return;
    // After a pause of the page or a burst, older frames are skipped.
    while (this.queue.length > this.fps * 2) this.queue.shift().image.close();
    this.nextFrameAt = Math.max(this.nextFrameAt + 1000 / this.fps, now - 1000 / this.fps);
    const { image, batch } = this.queue.shift();
    if (this.canvas.width !== image.width || this.canvas.height !== image.height) {
      this.canvas.width = image.width;
      this.canvas.height = image.height;
      this.resized = true;
    }
    this.context.drawImage(image, 0, 0);
    image.close();
    this.shown += 1;
    this.drawnAt.push(now);
    while (this.drawnAt.length > 2 && now - this.drawnAt[0] > 2000) this.drawnAt.shift();
    this.onFrame(batch, now);
  }

  rate() {
    const span = this.drawnAt[this.drawnAt.length - 1] - this.drawnAt[0];
    return span > 0 ? (1000 * (this.drawnAt.length - 1)) / span : 0;
  }
}

// Lowers the quality when a chunk takes longer to arrive than half its duration, raises it after 12 fast chunks.
class AdaptiveQuality {
  constructor() {
    this.levels = [[1, 85], [0.75, 75], [0.5, 60], [0.35, 45]];
    this.level = 0;
    this.fastChunks = 0;
  }

  options(width) {
    const [scale, quality] = this.levels[this.level];
    return { max_width: Math.min(width, Math.max(96, Math.round(width * scale))), quality };
  }

  full(width) {
    this.level = this.fastChunks = 0;
    return this.options(width);
  }

  // Takes the milliseconds a chunk took to arrive and its duration; returns whether the level has changed.
  update(arrival, duration) {
    const load = arrival / Math.max(1, duration);
    this.fastChunks = load < 0.15 ? this.fastChunks + 1 : 0;
    if (load > 0.5 && this.level < this.levels.length - 1) { this.level += 1; this.fastChunks = 0; return true; }
    if (this.fastChunks >= 12 && this.level > 0) { this.level -= 1; this.fastChunks = 0; return true; }
    return false;
  }
}
