// One video of the gallery: a pane for each run and map, one time for all of them.

const PLAIN = "none";
const ALL = "all";
const MAIN = "main";

class Pane {
  constructor(run, clip, map) {
    this.run = run;
    this.clip = clip;
    this.map = map;
    this.canvas = element("canvas", { width: 10, height: 10 });
    this.figure = element("figure", { class: "pane" }, this.canvas, element("figcaption", { text: map ? map.range : "frames only" }));
  }

  draw(picture, position, view) {
    const { clip, map, canvas } = this;
    const frame = Math.min(Math.floor(position * clip.frames), clip.frames - 1);
    const { columns } = clip.sprite;
    const cellWidth = picture.naturalWidth / columns;
    const cellHeight = picture.naturalHeight / Math.ceil(clip.frames / columns);
    const width = Math.round(Math.min(canvas.clientWidth * devicePixelRatio, 640)) || 1;
    const height = Math.round(width * cellHeight / cellWidth);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d");
    context.imageSmoothingQuality = "high";
    context.drawImage(picture, (frame % columns) * cellWidth, Math.floor(frame / columns) * cellHeight, cellWidth, cellHeight, 0, 0, width, height);
    if (!map) return;
    map.show(frame);
    map.draw(context, width, height, view.opacity, view.threshold);
  }
}

class Player {
  constructor(data, card, view, colours) {
    this.data = data;
    this.card = card;
    this.view = view;
    this.clips = card.runs.map((run) => run.clip);
    this.frames = Math.max(0, ...this.clips.map((clip) => clip?.frames ?? 0));
    this.rate = Math.max(1, ...this.clips.map((clip) => clip?.frames_per_second ?? 0));
    this.maps = this.clips.map((clip) => new Map((clip?.maps ?? []).map((map) => [map.name, new HeatMap(map, colours)])));
    this.map = view.map;
    this.time = 0;
    this.isPlaying = view.isPlaying;
    this.isVisible = false;
    this.isStale = true;
    this.pictures = null;
    this.build();
  }

  build() {
    const { card, data } = this;
    const label = data.classes[card.label];
    this.columns = card.runs.map(() => element("div", { class: "panes" }));
    this.playButton = element("button", { type: "button", class: "play", onclick: () => this.play(!this.isPlaying) });
    this.scrubber = element("input", {
      type: "range", min: 0, max: Math.max(this.frames - 1, 0), step: 1, value: 0, "aria-label": `Frame of ${card.name}`, oninput: () => this.seek(Number(this.scrubber.value)),
    });
    this.counter = element("output", {});
    this.selector = element("select", { "aria-label": `Map over ${card.name}`, onchange: () => this.choose(this.selector.value) },
      ...this.view.maps.map(({ value, text }) => element("option", { value, text })));
    this.node = element("article", { class: "card", tabindex: 0, "aria-label": `${label}, ${card.name}`, onkeydown: (event) => this.press(event) },
      element("h3", { text: label }),
      element("p", { class: "chips" }, ...card.groups.map((group) => element("span", { class: "chip", text: group }))),
      element("div", { class: "runs" }, ...card.runs.map((run, number) => this.column(run, number))),
      this.frames ? element("div", { class: "transport" }, this.playButton, this.scrubber, this.counter, this.selector) : note("This clip could not be read."),
      element("p", { class: "file", title: card.name, text: card.name }));
    this.choose(this.map);
    this.play(this.isPlaying);
    this.counter.textContent = `1/${this.frames}`;
  }

  column(run, number) {
    const weights = run.clip?.weights;
    return element("div", { class: "column" },
      this.data.runs.length > 1 ? element("p", { class: "of" }, runName(this.data, number)) : null,
      this.columns[number],
      weights ? weightBars(weights) : null,
      element("ol", { class: "top" }, ...run.top.map(([label, probability]) =>
        element("li", { class: label === this.card.label ? "true" : label === run.predicted ? "mistaken" : "", style: { "--share": probability } },
          element("span", { title: this.data.classes[label], text: this.data.classes[label] }), element("span", { text: percent(probability) })))));
  }

  // Panes of one map, or of all; a run without that map shows its frames.
  choose(name) {
    this.map = name;
    this.selector.value = name;
    this.panes = this.clips.flatMap((clip, run) => {
      if (!clip) return [];
      const maps = this.maps[run];
      const wanted = name === ALL ? [PLAIN, ...maps.keys()] : [name === MAIN ? mainMap([...maps.keys()]) : name];
      return wanted.map((each) => new Pane(run, clip, maps.get(each)));
    });
    this.columns.forEach((column, run) => {
      column.replaceChildren(...this.panes.filter((pane) => pane.run === run).map((pane) => pane.figure));
      column.classList.toggle("several", name === ALL);
    });
    // At once: a canvas is blank before it is drawn on, which would be seen as a flash.
    if (this.isVisible) this.draw();
  }

  play(isPlaying) {
    this.isPlaying = isPlaying;
    this.playButton.textContent = isPlaying ? "❚❚" : "▶";
    this.playButton.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
  }

  // Moves to a frame and stays there.
  seek(frame) {
    this.play(false);
    this.time = ((frame + this.frames) % this.frames + 0.01) / this.rate;
    this.isStale = true;
  }

  get frame() {
    return Math.floor(this.time * this.rate) % this.frames;
  }

  // Pictures are decoded once a card is seen, and freed with the page only: a few megabytes each.
  load() {
    if (this.pictures) return;
    this.pictures = this.clips.map((clip) => {
      const picture = new Image();
      picture.onload = () => { this.isStale = true; };
      if (clip) picture.src = this.data.pictures[clip.sprite.picture];
      return picture;
    });
  }

  step(seconds) {
    if (!this.isVisible || !this.frames) return;
    const before = this.frame;
    if (this.isPlaying) this.time = (this.time + seconds) % (this.frames / this.rate);
    if (this.frame !== before || this.isStale) this.draw();
  }

  draw() {
    if (!this.pictures?.every((picture, run) => !this.clips[run] || picture.complete)) return;
    this.isStale = false;
    const { frame } = this;
    for (const pane of this.panes) pane.draw(this.pictures[pane.run], (frame + 0.5) / this.frames, this.view);
    this.scrubber.value = frame;
    this.counter.textContent = `${frame + 1}/${this.frames}`;
  }

  press(event) {
    const isControl = event.target.matches("input, select, button");
    const number = Number(event.key);
    if (event.altKey || event.ctrlKey || event.metaKey || !this.frames) return;
    if (event.key === " " && !isControl) this.play(!this.isPlaying);
    else if (event.key === "ArrowLeft" && !isControl) this.seek(this.frame - 1);
    else if (event.key === "ArrowRight" && !isControl) this.seek(this.frame + 1);
    else if (/^\d$/.test(event.key) && !event.target.matches("select") && number < this.view.maps.length) this.choose(this.view.maps[number].value);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

// The map that a mask loss pulled to objects, or else the first.
const mainMap = (names) => (names.includes("M_o") ? "M_o" : names.find((name) => name !== "mask"));

// How much each frame weighs, for networks that attend to time.
function weightBars(weights) {
  const most = Math.max(...weights);
  return element("div", { class: "weights", role: "img", title: "Weight of each frame", "aria-label": `Weights of the frames: ${weights.map((each) => fixed(each, 2)).join(", ")}` },
    ...weights.map((weight) => element("span", { style: { "--share": most > 0 ? weight / most : 0 } })));
}
