// A clip with a map over it: frames, colours, contour and strokes are drawn here, so that nothing on them waits for the server.
// What the server must know comes as events: `view` (frame, threshold, is_stretched), `stroke` (points of a stroke, piece by piece), `key`.
const SIDE = 480; // pixels of the picture that is drawn, whatever the size it is shown at
const THUMB = 72; // pixels of each frame in the strip
const PIECE_MS = 60; // a stroke is sent in pieces that are so far apart

function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Uint16Array(bytes.buffer), (value) => value / 65535);
}

// Where each of `large` pixels falls between `small` cells: torch's interpolate with align_corners=False.
function positions(small, large) {
  return Array.from({ length: large }, (_, pixel) => {
    const place = Math.max(0, ((pixel + 0.5) * small) / large - 0.5);
    const low = Math.min(Math.floor(place), small - 1);
    return [low, Math.min(low + 1, small - 1), place - low];
  });
}

function readable(canvas) {
  return canvas.getContext("2d", { willReadFrequently: true });
}

export default {
  template: `
    <div class="clip-canvas">
      <div class="stage">
        <canvas ref="picture" :width="side" :height="side" role="img" aria-label="The clip with the map over it"
          :class="{ painting: isPainting }" @pointerdown="begin" @pointermove="move" @pointerup="end" @pointercancel="end"
          @pointerleave="cursor = null"></canvas>
        <div v-if="isPainting && cursor" class="brush" :style="brushStyle"></div>
      </div>
      <div class="strip" :style="{ maxWidth: thumb * images.length + 'px' }">
        <canvas ref="strip" role="img" aria-label="All frames of the clip" @pointerdown="pick" @pointermove="drag"></canvas>
        <div v-if="images.length" class="here" :style="hereStyle"></div>
      </div>
      <div class="transport">
        <q-btn round flat dense :icon="isPlaying ? 'pause' : 'play_arrow'" :aria-label="isPlaying ? 'Pause' : 'Play'" @click="toggle" />
        <q-slider v-model="frame" :min="0" :max="Math.max(0, images.length - 1)" :step="1" snap aria-label="Frame" class="frame-slider" />
        <span class="time">{{ frameText }}</span>
      </div>
      <div class="sliders">
        <label>Opacity <q-slider v-model="opacity" :min="0" :max="1" :step="0.05" aria-label="Opacity" class="opacity-slider" /></label>
        <label>Threshold <q-slider v-model="threshold" :min="0" :max="1" :step="0.01" aria-label="Threshold" class="threshold-slider" />
          <output>{{ threshold.toFixed(2) }}</output></label>
        <q-toggle v-model="isStretched" dense label="Stretch" title="Colours and threshold from the map's least to its largest value" />
      </div>
      <div class="facts">{{ facts }}</div>
    </div>`,
  props: { radius: Number, isPainting: Boolean, uploader: Number },
  data: () => ({
    side: SIDE, thumb: THUMB, images: [], map: null, frame: 0, opacity: 0.5, threshold: 0.5, isStretched: true, isPlaying: false,
    cursor: null, share: 0,
  }),
  computed: {
    frameText() {
      if (!this.images.length) return "";
      return `${this.frame + 1} / ${this.images.length} · ${this.seconds[this.frame].toFixed(2)} s`;
    },
    facts() {
      if (!this.map) return "";
      const { grid, entropies, low, high } = this.map;
      const bits = `entropy of the frame ${entropies[this.frame].toFixed(2)} bits on ${grid[1]} × ${grid[2]} cells`;
      return `${(100 * this.share).toFixed(1)} % inside the contour · ${bits} · own values ${low.toFixed(2)} to ${high.toFixed(2)}`;
    },
    hereStyle() {
      return { left: `${(100 * this.frame) / this.images.length}%`, width: `${100 / this.images.length}%` };
    },
    brushStyle() {
      const percent = (value) => `${100 * value}%`;
      const [x, y] = this.cursor;
      return { left: percent(x), top: percent(y), width: percent(2 * this.radius), height: percent(2 * this.radius) };
    },
  },
  watch: {
    frame() { this.draw(); this.tell(); },
    opacity() { this.draw(true); },
    threshold() { this.draw(true); this.tell(); },
    isStretched() { this.draw(true); this.tell(); },
  },
  mounted() {
    document.addEventListener("keydown", this.press);
    document.addEventListener("dragover", this.hover);
    document.addEventListener("drop", this.drop);
  },
  unmounted() {
    clearInterval(this.player);
    document.removeEventListener("keydown", this.press);
    document.removeEventListener("dragover", this.hover);
    document.removeEventListener("drop", this.drop);
  },
  methods: {
    // Both are called by the server.
    async open({ frames, seconds, rate, colours }) {
      const images = frames.map((source) => Object.assign(new Image(), { src: source }));
      // The map that belongs to these frames may be here before they are decoded.
      Object.assign(this, { seconds, rate, colours, images: [], map: null, coming: images });
      await Promise.all(images.map((image) => image.decode()));
      if (this.coming !== images) return;
      this.images = Vue.markRaw(images);
      this.frame = Math.min(this.frame, images.length - 1);
      this.draw(true);
    },
    show(map) {
      this.map = Vue.markRaw({ ...map, values: unpacked(map.values) });
      this.draw(true);
    },
    draw(all = false) {
      this.isAll = this.isAll || all;
      this.pending ??= requestAnimationFrame(() => {
        this.pending = null;
        if (!this.images.length) return;
        this.share = this.paint(readable(this.$refs.picture), this.frame, 0, SIDE, true);
        if (this.isAll) this.paintStrip();
        this.isAll = false;
      });
    },
    paintStrip() {
      const strip = this.$refs.strip;
      Object.assign(strip, { width: THUMB * this.images.length, height: THUMB });
      this.images.forEach((_, frame) => this.paint(readable(strip), frame, frame * THUMB, THUMB, false));
    },
    // Draws a frame with its map at (left, 0) and returns which share of it is inside the contour.
    paint(context, frame, left, side, hasContour) {
      context.drawImage(this.images[frame], left, 0, side, side);
      if (!this.map || frame >= this.map.grid[0]) return 0;
      const picture = context.getImageData(left, 0, side, side);
      const [inside, count] = this.blend(picture.data, frame, side);
      if (hasContour) this.outline(picture.data, inside, side);
      context.putImageData(picture, left, 0);
      if (this.map.edited[frame] && !hasContour) {
        context.fillStyle = "#21ba45";
        context.fillRect(left, THUMB - 6, THUMB, 6);
      }
      return count / (side * side);
    },
    blend(pixels, frame, side) {
      const { values, grid: [, rows, columns], low, high } = this.map;
      const [start, span] = this.isStretched ? [low, high - low || 1] : [0, 1];
      const inside = new Uint8Array(side * side);
      const [ys, xs, first] = [positions(rows, side), positions(columns, side), frame * rows * columns];
      let count = 0;
      for (let y = 0; y < side; y += 1) {
        const [above, below, down] = ys[y];
        for (let x = 0; x < side; x += 1) {
          const [before, behind, right] = xs[x];
          const top = values[first + above * columns + before] * (1 - right) + values[first + above * columns + behind] * right;
          const bottom = values[first + below * columns + before] * (1 - right) + values[first + below * columns + behind] * right;
          const heat = (top * (1 - down) + bottom * down - start) / span;
          const colour = this.colours[Math.round(255 * Math.min(Math.max(heat, 0), 1))];
          const place = y * side + x;
          for (let channel = 0; channel < 3; channel += 1) {
            pixels[4 * place + channel] += this.opacity * (colour[channel] - pixels[4 * place + channel]);
          }
          inside[place] = heat >= this.threshold ? 1 : 0;
          count += inside[place];
        }
      }
      return [inside, count];
    },
    // White along the contour's inner side and dark along its outer one, to be seen on any picture.
    outline(pixels, inside, side) {
      for (let y = 1; y < side - 1; y += 1) {
        for (let x = 1; x < side - 1; x += 1) {
          const place = y * side + x;
          const around = inside[place - 1] + inside[place + 1] + inside[place - side] + inside[place + side];
          if (inside[place] ? around < 4 : around > 0) pixels.fill(inside[place] ? 255 : 30, 4 * place, 4 * place + 3);
        }
      }
    },
    tell() {
      this.$emit("view", { frame: this.frame, threshold: this.threshold, is_stretched: this.isStretched });
    },
    toggle() {
      this.isPlaying = !this.isPlaying && this.images.length > 1;
      clearInterval(this.player);
      if (this.isPlaying) this.player = setInterval(() => this.step(1), 1000 / this.rate);
    },
    step(by) {
      if (this.images.length) this.frame = (this.frame + by + this.images.length) % this.images.length;
    },
    place(event) {
      const box = event.currentTarget.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    },
    pick(event) {
      this.frame = Math.min(Math.max(Math.floor(this.place(event)[0] * this.images.length), 0), this.images.length - 1);
    },
    drag(event) {
      if (event.buttons) this.pick(event);
    },
    begin(event) {
      if (!this.isPainting || event.button) return;
      if (this.isPlaying) this.toggle();
      event.currentTarget.setPointerCapture(event.pointerId);
      Object.assign(this, { points: [this.place(event)], isNew: true });
      this.send();
    },
    move(event) {
      this.cursor = this.place(event);
      if (!this.points) return;
      this.points.push(this.cursor);
      this.sender ??= setTimeout(this.send, PIECE_MS);
    },
    end() {
      if (!this.points) return;
      this.send();
      this.points = null;
    },
    send() {
      clearTimeout(this.sender);
      this.sender = null;
      if (!this.points) return;
      this.$emit("stroke", { points: this.points, frame: this.frame, is_new: this.isNew });
      // The next piece begins where this one ends.
      Object.assign(this, { points: this.points.slice(-1), isNew: false });
    },
    press(event) {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select, .q-slider")) return;
      const steps = { ArrowLeft: -1, ArrowRight: 1 };
      if (event.key in steps) this.step(steps[event.key]);
      else if (event.key === " " && !event.target.closest("button, [role=button]")) this.toggle();
      else if (["[", "]", "z"].includes(event.key)) this.$emit("key", event.key);
      else return;
      event.preventDefault();
    },
    hover(event) {
      event.preventDefault();
    },
    drop(event) {
      event.preventDefault();
      const uploader = getElement(this.uploader).$refs.qRef;
      uploader.reset();
      uploader.addFiles([...event.dataTransfer.files].slice(0, 1));
    },
  },
};
