// The gallery: all players, what they have in common, and the clock that moves those in sight.

const SPEEDS = [0.25, 0.5, 1, 2];
const GROUPS = ["best", "worst", "most confused", "surest mistake", "runs differ", "each class"];

function showGallery(data) {
  const place = section("clips");
  if (!data.gallery.length) {
    place.append(note("This report was made without clips."));
    return;
  }
  const colours = bytes(data.heat);
  const maps = mapChoices(data);
  const isStill = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const view = { maps, map: maps[1]?.value ?? PLAIN, opacity: 0.6, threshold: 0.5, speed: 1, isPlaying: !isStill };
  const players = data.gallery.map((card) => new Player(data, card, view, colours));
  const kind = data.runs.length > 1 ? "cards beside" : "cards";
  place.append(
    toolbar(data, players, view, colours),
    element("div", { class: kind, style: { "--runs": data.runs.length } }, ...players.map((player) => player.node)),
    note("A map is stretched over its clip: dark is its lowest value, bright its highest, both named below the picture. " +
      "With a card in focus: space plays and pauses, arrows step through frames, 0 to 9 choose a map."));
  watch(players);
  keepTime(players, view);
}

// What can be laid over frames, the run's main map first: numbers on the keyboard follow this order.
function mapChoices(data) {
  const runs = data.gallery.flatMap((card) => card.runs.map((run) => (run.clip?.maps ?? []).map((map) => map.name)));
  const names = [...new Set(runs.flat())].sort((a, b) => (a === "mask") - (b === "mask"));
  const mains = new Set(runs.map(mainMap).filter(Boolean));
  const first = mains.size > 1 ? [{ value: MAIN, text: mains.size > 2 ? "main map" : [...mains].join(" or ") }] : [...mains].map((value) => ({ value, text: value }));
  const others = names.filter((name) => mains.size > 1 || !mains.has(name)).map((value) => ({ value, text: value }));
  const all = names.length > 1 ? [{ value: ALL, text: "all" }] : [];
  return [{ value: PLAIN, text: "none" }, ...first, ...others, ...all];
}

function toolbar(data, players, view, colours) {
  const redraw = () => players.forEach((player) => { player.isStale = true; });
  const slider = (name, key, describe) => {
    const value = element("output", { text: describe(view[key]) });
    const input = element("input", {
      type: "range", min: 0, max: 1, step: 0.05, value: view[key], "aria-label": name, id: `all-${key}`,
      oninput: () => {
        view[key] = Number(input.value);
        value.textContent = describe(view[key]);
        redraw();
      },
    });
    return element("label", { class: "slider" }, element("span", { text: name }), input, value);
  };
  const play = element("button", { type: "button", id: "all-play", onclick: () => setPlaying(!view.isPlaying) });
  const setPlaying = (isPlaying) => {
    view.isPlaying = isPlaying;
    play.textContent = isPlaying ? "Pause all" : "Play all";
    players.forEach((player) => player.play(isPlaying));
  };
  setPlaying(view.isPlaying);
  const map = choice("Map", "all-map", view.maps, view.map, (name) => players.forEach((player) => player.choose(name)));
  const speed = element("select", { "aria-label": "Speed", id: "all-speed", onchange: () => { view.speed = Number(speed.value); } },
    ...SPEEDS.map((times) => element("option", { value: times, text: `${times} ×`, selected: times === 1 })));
  return element("div", { class: "toolbar", role: "toolbar", "aria-label": "All clips" },
    map,
    slider("Opacity", "opacity", (value) => percent(value, 0)),
    slider("Contour", "threshold", (value) => (value > 0 ? fixed(value, 2) : "off")),
    element("div", { class: "pace" }, play, speed),
    element("div", { class: "legend", "aria-hidden": "true" }, element("span", { text: "low" }), heatScale(colours), element("span", { text: "high" })),
    groupFilter(data, players));
}

function groupFilter(data, players) {
  const groups = GROUPS.filter((group) => data.gallery.some((card) => card.groups.includes(group)));
  const options = [{ value: "", text: `all ${players.length}` }, ...groups.map((value) => ({ value, text: value }))];
  return choice("Videos", "all-videos", options, "", (group) => players.forEach((player) => {
    player.node.hidden = group !== "" && !player.card.groups.includes(group);
  }));
}

function watch(players) {
  const of = new Map(players.map((player) => [player.node, player]));
  const sight = new IntersectionObserver((entries) => entries.forEach(({ target, isIntersecting }) => {
    const player = of.get(target);
    player.isVisible = isIntersecting;
    player.isStale = true;
    if (isIntersecting) player.load();
  }), { rootMargin: "100px" });
  const size = new ResizeObserver((entries) => entries.forEach(({ target }) => { of.get(target).isStale = true; }));
  for (const player of players) {
    sight.observe(player.node);
    size.observe(player.node);
  }
}

function keepTime(players, view) {
  let before = performance.now();
  const tick = (now) => {
    // A page that was in the background goes on where it was.
    const seconds = Math.min((now - before) / 1000, 0.25) * view.speed;
    before = now;
    for (const player of players) player.step(seconds);
    requestAnimationFrame(tick);
  };
  requestAnimationFrame(tick);
}
