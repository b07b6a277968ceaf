// Files for the player: the frame, the walk as a timeline, the video as it is shown.

const VIDEO_TYPES = ["video/mp4;codecs=avc1.42E01E", "video/webm;codecs=vp9", "video/webm;codecs=vp8", "video/webm"];
const MIN_VIDEO_WIDTH = 640;
const VIDEO_BITS_PER_S = 8e6;

function saveFile(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

function saveFrame(canvas, name) {
  canvas.toBlob((blob) => saveFile(blob, name), "image/png");
}

// Records what the canvas shows, small frames enlarged by a whole number.
class VideoRecorder {
  constructor(canvas) {
    this.canvas = canvas;
    this.recorder = null;
  }

  get active() {
    return this.recorder !== null;
  }

  // Returns false where the browser cannot record.
  start(fps) {
    const type = globalThis.MediaRecorder && VIDEO_TYPES.find((each) => MediaRecorder.isTypeSupported(each));
    if (!type || !this.canvas.captureStream) return false;
    const scale = Math.max(1, Math.ceil(MIN_VIDEO_WIDTH / this.canvas.width));
    this.copy = document.createElement("canvas");
    [this.copy.width, this.copy.height] = [this.canvas.width * scale, this.canvas.height * scale];
    this.context = this.copy.getContext("2d", { alpha: false });
    this.context.imageSmoothingQuality = "high";
    this.context.imageSmoothingEnabled = document.body.dataset.scaling !== "pixelated";
    this.addFrame();
    this.recorder = new MediaRecorder(this.copy.captureStream(fps), { mimeType: type, videoBitsPerSecond: VIDEO_BITS_PER_S });
    const parts = [];
    this.recorder.ondataavailable = (event) => parts.push(event.data);
    this.recorder.onstop = () => saveFile(new Blob(parts, { type }), `lingbot.${type.slice(6).split(";")[0]}`);
    this.recorder.start(1000);
    return true;
  }

  addFrame() {
    if (this.copy) this.context.drawImage(this.canvas, 0, 0, this.copy.width, this.copy.height);
  }

  stop() {
    this.recorder.stop();
    this.recorder = this.copy = null;
  }
}
