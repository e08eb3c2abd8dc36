// The head of the page: what was evaluated, and what came out.

const SYSTEMS = {
  abn: "ABN", object_abn: "Object-ABN", st_abn: "ST-ABN", saliency_lstm: "Saliency + ConvLSTM", gated: "Gated attention", plain: "Without attention",
};

const runColour = (run) => ({ "--run": `var(--run-${run % 6})` });
const runName = (data, run) => element("span", { class: "run", style: runColour(run), text: data.runs[run].name });

function showHead(data) {
  const names = data.runs.map((run) => run.name).join(" · ");
  document.title = `${names}: objabn report`;
  section("title").textContent = names;
  const [first] = data.runs;
  const network = `${SYSTEMS[first.system] ?? first.system} on ${first.backbone}`;
  const skipped = first.skipped ? `, ${first.skipped} could not be read` : "";
  const present = first.classCounts.length;
  const classes = present < data.classes.length ? `${present} of ${data.classes.length} classes` : plural(present, "class", "classes");
  const where = `${data.dataset}, ${data.subset}: ${plural(first.videos, "video")}${skipped}, ${classes}`;
  section("subtitle").textContent = data.runs.length === 1 ? `${network}. ${where}. Checkpoint ${first.checkpoint}.` : `${where}.`;
  section("made").textContent = `Made with ${data.made}. Maps by name: M_u is free, M_o is drawn to objects, M_b to the background.`;
}

function showResults(data) {
  const place = section("results");
  const ofNetwork = data.quantities.filter((quantity) => !quantity.map);
  if (data.runs.length > 1) {
    place.append(networkTable(data, ofNetwork), mapTable(data), differenceTable(data));
  } else {
    place.append(element("dl", { class: "tiles" }, ...ofNetwork.map((quantity) => tile(quantity))), mapTable(data));
  }
  place.append(note("Small numbers: 95 % intervals over videos (Wilson for shares, bootstrap for means). " +
    "NLL: negative log-likelihood. Entropies compare within one grid of the maps only; lower is sharper."));
}

function tile({ title, unit, digits, runs: [[value, interval]] }) {
  return element("div", {},
    element("dt", { text: title }),
    element("dd", {},
      element("strong", { text: fixed(value, digits) }),
      element("span", { text: unit && ` ${unit}` }),
      interval && element("small", { text: between(interval, digits) })));
}

const between = ([low, high], digits) => `${fixed(low, digits)} to ${fixed(high, digits)}`;
const withUnit = (title, unit) => (unit ? `${title} (${unit})` : title);

function numberWithInterval([value, interval], digits, isBest = false) {
  return element("span", { class: isBest ? "number best" : "number" },
    element("span", { text: fixed(value, digits) }),
    interval && element("small", { text: between(interval, digits) }));
}

function bestOf({ runs, better }) {
  const values = runs.map(([value]) => value).filter((value) => value !== null);
  return better && values.length > 1 ? Math[better === "higher" ? "max" : "min"](...values) : null;
}

function networkTable(data, quantities) {
  const rows = data.runs.map((run, number) => [
    runName(data, number), SYSTEMS[run.system] ?? run.system, run.backbone, run.checkpoint,
    ...quantities.map((quantity) => {
      const best = bestOf(quantity);
      return numberWithInterval(quantity.runs[number], quantity.digits, best !== null && quantity.runs[number][0] === best);
    }),
  ]);
  const titles = quantities.map(({ title, unit }) => withUnit(title, unit));
  return table("Networks; the best of a column in bold", ["Run", "System", "Backbone", "Checkpoint", ...titles], rows, "figures");
}

function mapTable(data) {
  const ofMaps = data.quantities.filter((quantity) => quantity.map);
  if (!ofMaps.length) return note("No map was measured.");
  const titles = new Map(ofMaps.map(({ title, unit }) => [title, withUnit(title, unit)]));
  const rows = data.runs.flatMap((run, number) => run.maps.map((map) => [
    ...(data.runs.length > 1 ? [runName(data, number), run.grid.join(" × ")] : []), map,
    ...[...titles.keys()].map((title) => {
      const found = ofMaps.find((each) => each.map === map && each.title === title);
      return found ? numberWithInterval(found.runs[number], found.digits) : "–";
    }),
  ]));
  return data.runs.length > 1
    ? table("Maps", ["Run", "Grid", "Map", ...titles.values()], rows, "figures")
    : table(`Maps, on a grid of ${data.runs[0].grid.join(" × ")} cells`, ["Map", ...titles.values()], rows, "figures");
}

function differenceTable(data) {
  const others = data.runs.map((_, run) => run).slice(1);
  const rows = data.quantities.filter(({ differences }) => others.some((run) => differences[run][0] !== null)).map((quantity) => [
    withUnit(quantity.map ? `${quantity.title} of ${quantity.map}` : quantity.title, quantity.unit),
    ...others.map((run) => numberWithInterval(quantity.differences[run], quantity.digits)),
  ]);
  return table(`Differences from ${data.runs[0].name}, video by video`, ["", ...others.map((run) => runName(data, run))], rows, "figures");
}
